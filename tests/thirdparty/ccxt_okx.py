"""Drive ccxt's own okx class over REST against a local exchange; print one JSON object of what it saw. Runs in ccxt's
own environment.

python ccxt_okx.py REST_URL ADMIN_URL < KEYS    (KEYS is {"apiKey", "secret", "password"} as JSON)
"""

import json
import sys
import urllib.request

import ccxt

REST, ADMIN = sys.argv[1:3]
KEYS = json.load(sys.stdin)
PAIR = "BTC/USDT"


def refused(call, *arguments, **named):
    """The name of ccxt's error, or what the call returned where it did not fail."""
    try:
        return call(*arguments, **named)
    except ccxt.BaseError as error:
        return type(error).__name__


client = ccxt.okx({**KEYS, "options": {"fetchMarkets": {"types": ["spot"]}}})
client.urls["api"]["rest"] = REST
client.has["fetchCurrencies"] = False
client.enableRateLimit = False
markets = client.load_markets()
book = client.fetch_order_book(PAIR, 5)
bid, ask = book["bids"][0][0], book["asks"][0][0]
far = round(bid * 0.9, 2)
made = {
    "resting": client.create_order(PAIR, "limit", "buy", 0.01, far, {"clientOrderId": "ccxtresting"}),
    "crossing": client.create_order(PAIR, "limit", "buy", 0.002, round(ask * 1.001, 2)),
    "market": client.create_order(PAIR, "market", "sell", 0.001),
    "cost": client.create_order(PAIR, "market", "buy", 100, None, {"tgtCcy": "quote_ccy"}),
    "ioc": client.create_order(PAIR, "limit", "buy", 0.01, far, {"timeInForce": "IOC"}),
    "taking": client.create_order(PAIR, "limit", "sell", 0.01, far, {"postOnly": True}),
    "doomed": client.create_order(PAIR, "limit", "sell", 0.02, round(ask * 1.2, 2)),
}
errors = {
    "no funds": refused(client.create_order, PAIR, "limit", "sell", 100, round(ask * 1.1, 2)),
    "same id": refused(client.create_order, PAIR, "limit", "buy", 0.01, far, {"clientOrderId": "ccxtresting"}),
    "unknown": refused(client.cancel_order, "1", PAIR),
    "lookup": refused(client.fetch_order, "1", PAIR),
}
client.cancel_order(made["doomed"]["id"], PAIR)
found = {
    "markets": sorted(markets),
    "precision": markets[PAIR]["precision"],
    "book": [book["bids"], book["asks"]],
    "trades": [[trade["price"], trade["amount"], trade["side"]] for trade in client.fetch_trades(PAIR, limit=5)],
    "ticker": client.fetch_ticker(PAIR)["last"],
    "candles": client.fetch_ohlcv(PAIR, "1m"),
    "made": {name: order["id"] for name, order in made.items()},
    "errors": errors,
    "open": client.fetch_open_orders(PAIR),
    "one": client.fetch_order(made["market"]["id"], PAIR),
    "closed": client.fetch_closed_orders(PAIR),
    "fills": client.fetch_my_trades(PAIR),
    "balance": client.fetch_balance(),
}
print(json.dumps({"rest": found, "ledger": json.load(urllib.request.urlopen(f"{ADMIN}/admin/ledger?account=main"))}))
