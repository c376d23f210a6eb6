"""Drive ccxt's own kraken classes against a local exchange; print one JSON object of what they saw. Runs in ccxt's own
environment.

python ccxt_kraken.py REST_URL WS_URL WS_PRIVATE_URL ADMIN_URL < KEYS    (KEYS is {"apiKey", "secret"} as JSON)
"""

import asyncio
import contextlib
import json
import sys
import urllib.request

import ccxt
import ccxt.pro

REST, WS, WS_PRIVATE, ADMIN = sys.argv[1:5]
KEYS = json.load(sys.stdin)
PAIR, SYMBOL = "BTC/USDT", "BTCUSDT"
WAIT_S = 30
LOOK_S = 0.2


def admin(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(ADMIN + path, data=data), timeout=30) as answer:
        return json.load(answer)


def pointed(client):
    """The client with its base URLs pointed here, as any user of ccxt may; its pace of one call a second is off."""
    api = client.urls["api"]
    api["public"] = api["private"] = REST
    api["zendesk"] = REST + "/elsewhere"
    if "ws" in api:
        api["ws"].update(dict.fromkeys(api["ws"], "ws://127.0.0.1:9/elsewhere"))
        api["ws"].update({"publicV2": WS, "privateV2": WS_PRIVATE})
    client.enableRateLimit = False
    return client


def refused(call, *arguments, **named):
    """The name of ccxt's error, or what the call returned where it did not fail."""
    try:
        return call(*arguments, **named)
    except ccxt.BaseError as error:
        return type(error).__name__


def over_rest():
    client = pointed(ccxt.kraken(dict(KEYS)))
    markets = client.load_markets()
    book = client.fetch_order_book(PAIR, 5)
    bid, ask = book["bids"][0][0], book["asks"][0][0]
    far = round(bid * 0.9, 2)
    made = {
        "resting": client.create_order(PAIR, "limit", "buy", 0.01, far, {"clientOrderId": "ccxt-resting"}),
        "crossing": client.create_order(PAIR, "limit", "buy", 0.002, round(ask * 1.001, 2)),
        "market": client.create_order(PAIR, "market", "sell", 0.001),
        "cost": client.create_order(PAIR, "market", "buy", None, None, {"cost": 100}),
        "ioc": client.create_order(PAIR, "limit", "buy", 0.01, far, {"timeInForce": "IOC"}),
        "passive": client.create_order(PAIR, "limit", "sell", 0.01, round(ask * 1.1, 2), {"postOnly": True}),
        "taking": client.create_order(PAIR, "limit", "sell", 0.01, far, {"postOnly": True}),
        "doomed": client.create_order(PAIR, "limit", "sell", 0.02, round(ask * 1.2, 2)),
    }
    errors = {
        "no funds": refused(client.create_order, PAIR, "limit", "sell", 100, round(ask * 1.1, 2)),
        "too small": refused(client.create_order, PAIR, "limit", "buy", 0.00001, far),
        "same id": refused(client.create_order, PAIR, "limit", "buy", 0.01, far, {"clientOrderId": "ccxt-resting"}),
        "unknown": refused(client.cancel_order, "OUF4EM-FRGI2-MQMWZD", PAIR),
        "symbol": refused(client.public_get_depth, {"pair": "NOPE"}),
    }
    found = {
        "markets": sorted(markets),
        "precision": markets[PAIR]["precision"],
        "book": [book["bids"], book["asks"]],
        "trades": [[trade["price"], trade["amount"], trade["side"]] for trade in client.fetch_trades(PAIR, limit=5)],
        "ticker": client.fetch_ticker(PAIR)["last"],
        "candles": client.fetch_ohlcv(PAIR, "1m"),
        "time": client.fetch_time(),
        "made": {name: order["id"] for name, order in made.items()},
        "errors": errors,
        "cancelled": refused(client.cancel_order, made["doomed"]["id"], PAIR)["status"],
        "open": client.fetch_open_orders(PAIR),
        "one": client.fetch_order(made["market"]["id"], PAIR),
        "closed": client.fetch_closed_orders(PAIR),
        "fills": client.fetch_my_trades(PAIR),
        "balance": client.fetch_balance(),
    }
    client.cancel_all_orders(PAIR)
    found["left"] = client.fetch_open_orders(PAIR)
    return found


async def over_websocket():
    client = pointed(ccxt.pro.kraken(dict(KEYS)))
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
            asyncio.create_task(follow(client.watch_orders)),
            asyncio.create_task(follow(client.watch_my_trades, PAIR)),
            asyncio.create_task(follow(client.watch_balance)),
        ]
        _, ticker, trades, candles = await asyncio.gather(
            client.watch_order_book(PAIR, 25),
            client.watch_ticker(PAIR),
            client.watch_trades(PAIR),
            client.watch_ohlcv(PAIR, "1m"),
        )
        for _ in range(20):
            await client.watch_order_book(PAIR, 25)
        await asyncio.to_thread(admin, "/admin/pause", {"wait_s": 5})
        await until(lambda: "spot" in client.balance)
        own = await asyncio.to_thread(admin, f"/admin/book?symbol={SYMBOL}")
        truth = {side: [[float(price), float(size)] for price, size in own[side][:25]] for side in ("bids", "asks")}
        following = asyncio.create_task(follow(client.watch_order_book, PAIR, 25))
        await until(lambda: {side: [level[:2] for level in client.orderbooks[PAIR][side]] for side in truth} == truth)
        following.cancel()
        bid, ahead = truth["bids"][0]
        maker = await client.create_order_ws(PAIR, "limit", "buy", 0.05, bid)
        sale = {"symbol": SYMBOL, "side": "SELL", "price": f"{bid:.2f}", "quantity": f"{ahead + 0.02:.5f}"}
        await asyncio.to_thread(admin, "/admin/order", sale | {"time_in_force": "IOC"})
        taker = await client.create_order_ws(PAIR, "market", "buy", 0.003)
        await client.cancel_order_ws(maker["id"])

        def seen(number, status):
            return any(order["id"] == number and order["status"] == status for order in client.orders or ())

        await until(lambda: seen(maker["id"], "canceled") and seen(taker["id"], "closed"))
        await until(lambda: {maker["id"], taker["id"]} <= {fill["order"] for fill in client.myTrades or ()})
        now = await client.fetch_balance()

        def total(name):
            """Return the total of the messages so far; the client keeps it independently of its watcher."""
            return client.balance["spot"][name]["total"]

        await until(lambda: all(total(name) == now[name]["total"] for name in ("BTC", "USDT")))
        for task in watchers:
            task.cancel()
        await asyncio.gather(*watchers, following, return_exceptions=True)
        return {
            "book": truth,
            "ticker": ticker["last"],
            "candle": candles[-1],
            "trade": [trades[-1]["price"], trades[-1]["side"]],
            "maker": maker["id"],
            "taker": taker["id"],
            "orders": list(client.orders),
            "fills": list(client.myTrades),
            "balance": {name: total(name) for name in ("BTC", "USDT")},
        }
    finally:
        await client.close()


first = over_rest()
second = asyncio.run(over_websocket())
print(json.dumps({"rest": first, "ws": second, "ledger": admin("/admin/ledger?account=main")}))
