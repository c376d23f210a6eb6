"""Drive ccxt's own okx classes against a local exchange; print one JSON object of what they saw. Runs in ccxt's own
environment.

python ccxt_okx.py REST_URL WS_URL ADMIN_URL < KEYS    (KEYS is {"apiKey", "secret", "password"} as JSON)
"""

import asyncio
import contextlib
import json
import sys
import urllib.request

import ccxt
import ccxt.pro

REST, WS, ADMIN = sys.argv[1:4]
KEYS = json.load(sys.stdin)
PAIR, SYMBOL = "BTC/USDT", "BTCUSDT"
OPTIONS = {"fetchMarkets": {"types": ["spot"]}}
LEVELS = 50  # of a side of the book that are compared
WAIT_S = 30
LOOK_S = 0.2


def admin(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(ADMIN + path, data=data), timeout=30) as answer:
        return json.load(answer)


def pointed(client):
    """The client with its base URLs pointed here, as any user of ccxt may."""
    client.urls["api"]["rest"] = REST
    if "ws" in client.urls["api"]:
        client.urls["api"]["ws"] = WS + "/ws/v5"
    client.has["fetchCurrencies"] = False
    client.enableRateLimit = False
    return client


def heard():
    """The topics to which connections to the exchange are subscribed."""
    return {topic for each in admin("/admin/connections")["connections"] for topic in each.get("subscriptions", ())}


def refused(call, *arguments, **named):
    """The name of ccxt's error, or what the call returned where it did not fail."""
    try:
        return call(*arguments, **named)
    except ccxt.BaseError as error:
        return type(error).__name__


def over_rest():
    client = pointed(ccxt.okx({**KEYS, "options": OPTIONS}))
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
    return {
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


async def over_websocket():
    client = pointed(ccxt.pro.okx({**KEYS, "options": OPTIONS}))
    moved = asyncio.Event()
    told = {}

    async def follow(watch, *arguments):
        while True:
            found = await watch(*arguments)
            if watch == client.watch_balance:
                told.update({name: found[name]["total"] for name in ("BTC", "USDT") if name in found})
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
            client.watch_order_book(PAIR),
            client.watch_ticker(PAIR),
            client.watch_trades(PAIR),
            client.watch_ohlcv(PAIR, "1m"),
        )
        for _ in range(20):
            await client.watch_order_book(PAIR)
        await asyncio.to_thread(admin, "/admin/pause", {"wait_s": 5})
        own = await asyncio.to_thread(admin, f"/admin/book?symbol={SYMBOL}")
        truth = {side: [[float(price), float(size)] for price, size in own[side][:LEVELS]] for side in ("bids", "asks")}
        following = asyncio.create_task(follow(client.watch_order_book, PAIR))
        await until(
            lambda: {side: [level[:2] for level in client.orderbooks[PAIR][side][:LEVELS]] for side in truth} == truth
        )
        following.cancel()

        # The private topics send nothing when they begin
        await until(lambda: {"orders", "account"} <= heard())
        bid, ahead = truth["bids"][0]
        maker = await client.create_order(PAIR, "limit", "buy", 0.05, bid)
        sale = {"symbol": SYMBOL, "side": "SELL", "price": f"{bid:.2f}", "quantity": f"{ahead + 0.02:.5f}"}
        await asyncio.to_thread(admin, "/admin/order", sale | {"time_in_force": "IOC"})
        taker = await client.create_order(PAIR, "limit", "buy", 0.003, round(truth["asks"][0][0] * 1.001, 2))
        await client.cancel_order(maker["id"], PAIR)

        def seen(number, status):
            return any(order["id"] == number and order["status"] == status for order in client.orders or ())

        await until(lambda: seen(maker["id"], "canceled") and seen(taker["id"], "closed"))
        await until(lambda: {maker["id"], taker["id"]} <= {fill["order"] for fill in client.myTrades or ()})
        now = await client.fetch_balance()
        await until(lambda: all(told.get(name) == now[name]["total"] for name in ("BTC", "USDT")))
        for task in watchers:
            task.cancel()
        await asyncio.gather(*watchers, following, return_exceptions=True)
        return {
            "ticker": ticker["last"],
            "candle": candles[-1],
            "trade": [trades[-1]["price"], trades[-1]["side"]],
            "maker": maker["id"],
            "taker": taker["id"],
            "fills": list(client.myTrades),
            "balance": told,
        }
    finally:
        await client.close()


rest = over_rest()
ws = asyncio.run(over_websocket())
print(json.dumps({"rest": rest, "ws": ws, "ledger": admin("/admin/ledger?account=main")}))
