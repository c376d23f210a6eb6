"""Trade with the real ccxt on a local exchange at rest; print one JSON object with its results. Runs in ccxt's
environment.

python ccxt_trader.py REST_URL WS_URL WS_API_URL ADMIN_URL < KEYS

KEYS is a JSON list of {"apiKey", "secret"}: the first trades, the others, of the same account, show that they may.
"""

import asyncio
import contextlib
import json
import sys
import urllib.request
from urllib.parse import urlsplit

import ccxt
import ccxt.pro

REST, WS, WS_API, ADMIN = sys.argv[1:5]
CREDENTIALS, *OTHERS = json.load(sys.stdin)
PAIR, SYMBOL = "BTC/USDT", "BTCUSDT"
WAIT_S = 30
LOOK_S = 0.2


def admin(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(ADMIN + path, data=data), timeout=30) as answer:
        return json.load(answer)


def pointed(client):
    """The client with its base URLs pointed here, as any user of ccxt may."""
    api = client.urls["api"]
    for name, url in list(api.items()):
        if isinstance(url, str):
            api[name] = REST + urlsplit(url).path
    if "ws" in api:
        api["ws"]["spot"] = WS + "/ws"
        api["ws"]["ws-api"]["spot"] = WS_API
    return client


def refused(call, *arguments, **named):
    """The name of ccxt's error, or what the call returned where it did not fail."""
    try:
        return call(*arguments, **named)
    except ccxt.BaseError as error:
        return type(error).__name__


def over_rest():
    client = pointed(ccxt.binance(CREDENTIALS))
    client.load_markets()
    fee = client.fetch_trading_fee(PAIR)
    book = client.fetch_order_book(PAIR, 5)
    bid, ask = book["bids"][0][0], book["asks"][0][0]
    far = round(bid * 0.9, 2)
    made = {
        "resting": client.create_order(PAIR, "limit", "buy", 0.01, far, {"clientOrderId": "ccxt-resting"}),
        "crossing": client.create_order(PAIR, "limit", "buy", 0.002, round(ask * 1.001, 2)),
        "market": client.create_order(PAIR, "market", "sell", 0.001),
        "cost": client.create_market_buy_order_with_cost(PAIR, 100),
        "ioc": client.create_order(PAIR, "limit", "buy", 0.01, far, {"timeInForce": "IOC"}),
        "fok": client.create_order(PAIR, "limit", "buy", 0.01, far, {"timeInForce": "FOK"}),
        "post_only": client.create_order(PAIR, "limit", "sell", 0.01, round(ask * 1.1, 2), {"postOnly": True}),
        "stop": client.create_order(
            PAIR, "limit", "sell", 0.01, round(bid * 0.8, 2), {"stopLossPrice": round(bid * 0.85, 2)}
        ),
        "doomed": client.create_order(PAIR, "limit", "sell", 0.02, round(ask * 1.2, 2)),
        "edited": client.create_order(PAIR, "limit", "buy", 0.01, round(bid * 0.7, 2)),
    }
    errors = {
        "would take": refused(client.create_order, PAIR, "limit", "sell", 0.01, far, {"postOnly": True}),
        "no funds": refused(client.create_order, PAIR, "limit", "sell", 100, round(ask * 1.1, 2)),
        "too small": refused(client.create_order, PAIR, "limit", "buy", 0.00001, far),
        "same id": refused(client.create_order, PAIR, "limit", "buy", 0.01, far, {"clientOrderId": "ccxt-resting"}),
        "unknown": refused(client.cancel_order, "1", PAIR),
    }
    cancelled = client.cancel_order(made["doomed"]["id"], PAIR)
    replaced = client.edit_order(made["edited"]["id"], PAIR, "limit", "buy", 0.02, round(bid * 0.71, 2))
    again = refused(client.cancel_order, made["doomed"]["id"], PAIR)
    still_open = client.fetch_open_orders(PAIR)
    found = {
        "currencies": {code: currency["id"] for code, currency in client.currencies.items()},
        "fee": [fee["maker"], fee["taker"]],
        "made": made,
        "errors": errors,
        "cancelled": cancelled,
        "again": again,
        "replaced": replaced,
        "open": still_open,
        "one": client.fetch_order(made["market"]["id"], PAIR),
        "by_client_id": client.fetch_order(None, PAIR, {"origClientOrderId": "ccxt-resting"}),
        "orders": client.fetch_orders(PAIR),
        "trades": client.fetch_my_trades(PAIR),
        "balance": client.fetch_balance(),
    }
    client.cancel_all_orders(PAIR)
    found["left"] = client.fetch_open_orders(PAIR)
    return found


async def over_websocket():
    client = pointed(ccxt.pro.binance(CREDENTIALS))
    moved = asyncio.Event()

    async def follow(watch, *arguments):
        while True:
            await watch(*arguments)
            moved.set()

    async def until(condition):
        """Wait for `condition`, also between messages: of two at once, a watcher sees the first only."""
        async with asyncio.timeout(WAIT_S):
            while not condition():
                moved.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(moved.wait(), LOOK_S)

    try:
        await client.load_markets()
        watchers = [
            asyncio.create_task(follow(client.watch_orders, PAIR)),
            asyncio.create_task(follow(client.watch_balance)),
            asyncio.create_task(follow(client.watch_my_trades, PAIR)),
        ]
        await client.authenticate()
        bid, ahead = (await client.fetch_order_book(PAIR, 5))["bids"][0][:2]
        maker = await client.create_order_ws(PAIR, "limit", "buy", 0.05, bid, {"newClientOrderId": "ccxt-maker"})
        # Sold to everyone ahead in the queue, and 0.02 to ours.
        sale = {"symbol": SYMBOL, "side": "SELL", "price": f"{bid:.2f}", "quantity": f"{ahead + 0.02:.5f}"}
        await asyncio.to_thread(admin, "/admin/order", sale | {"time_in_force": "IOC"})
        taker = await client.create_order_ws(PAIR, "market", "buy", 0.003)
        open_orders = await client.fetch_open_orders_ws(PAIR)
        cancelled = await client.cancel_order_ws(maker["id"], PAIR)

        def seen(number, status):
            return any(order["id"] == number and order["status"] == status for order in client.orders or ())

        await until(lambda: seen(maker["id"], "canceled") and seen(taker["id"], "closed"))
        await until(lambda: len(client.myTrades or ()) >= 2)
        now = await client.fetch_balance()

        def balance():
            return {asset: client.balance["spot"].get(asset) for asset in ("BTC", "USDT")}

        await until(lambda: balance() == {asset: now[asset] for asset in ("BTC", "USDT")})
        for task in watchers:
            task.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
        return {
            "maker": maker,
            "taker": taker,
            "cancelled": cancelled,
            "open": open_orders,
            "orders": list(client.orders),
            "trades": list(client.myTrades),
            "balance": balance(),
            "my_trades": await client.fetch_my_trades_ws(PAIR),
        }
    finally:
        await client.close()


async def with_other_keys():
    """An order placed and cancelled over each transportand reported, with each of the other keys."""
    seen_rows = []
    for credentials in OTHERS:
        client = pointed(ccxt.pro.binance(credentials))
        try:
            await client.load_markets()
            far = round((await client.fetch_order_book(PAIR, 5))["bids"][0][0] * 0.9, 2)
            watching = asyncio.create_task(client.watch_orders(PAIR))
            await client.authenticate()
            rest = await client.create_order(PAIR, "limit", "buy", 0.01, far, {"clientOrderId": "a-b_c"})
            async with asyncio.timeout(WAIT_S):
                heard = (await watching)[0]["id"]
            gone = await client.cancel_order(rest["id"], PAIR)
            ws = await client.create_order_ws(PAIR, "limit", "buy", 0.01, far)
            also = await client.cancel_order_ws(ws["id"], PAIR)
            seen_rows.append([rest["id"], heard, gone["id"], gone["status"], ws["id"], also["id"], also["status"]])
        finally:
            await client.close()
    return seen_rows


admin("/admin/pause", {"wait_s": 5})
first = over_rest()
second = asyncio.run(over_websocket())
before = admin("/admin/ledger?account=main")
others = asyncio.run(with_other_keys())
print(json.dumps({"version": ccxt.__version__, "rest": first, "ws": second, "others": others, "ledger": before}))
