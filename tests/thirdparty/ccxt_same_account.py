"""Another client of the account that the mesh trades on: ccxt, controlled by lines. Runs in ccxt's environment.

python ccxt_same_account.py REST_URL; on stdin {"apiKey", "secret"} and commands as JSON lines, each answered by a line:
["open"], ["place", side, amount, price, id], ["cancel", id], ["trades"], ["balance"], ["order", id]
"""

import json
import sys
from urllib.parse import urlsplit

import ccxt

REST = sys.argv[1]
PAIR = "BTC/USDT"
client = ccxt.binance(json.loads(sys.stdin.readline()))
api = client.urls["api"]
for name, url in list(api.items()):
    if isinstance(url, str):
        api[name] = REST + urlsplit(url).path
client.load_markets()


def plain(order):
    return {
        "id": order["clientOrderId"],
        "exchange": order["id"],
        "status": order["status"],
        "filled": str(order["filled"]),
    }


def answer(what, *arguments):
    if what == "open":
        return [plain(order) for order in client.fetch_open_orders(PAIR)]
    if what == "place":
        side, amount, price, name = arguments
        return plain(client.create_order(PAIR, "limit", side, amount, price, {"clientOrderId": name}))
    if what == "cancel":
        return client.cancel_order(None, PAIR, {"clientOrderId": arguments[0]})["status"]
    if what == "order":
        return plain(client.fetch_order(None, PAIR, {"clientOrderId": arguments[0]}))
    if what == "trades":
        return [[str(trade["id"]), str(trade["info"]["qty"]), trade["order"]] for trade in client.fetch_my_trades(PAIR)]
    if what == "balance":
        return {asset: [row["free"], row["locked"]] for asset, row in balances()}
    raise ValueError(what)


def balances():
    return [(row["asset"], row) for row in client.fetch_balance()["info"]["balances"]]


print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    print(json.dumps(answer(*json.loads(line))), flush=True)
