"""Drive the real ccxt against a local exchange; print one JSON object of what it saw. Runs in ccxt's own environment.

python ccxt_client.py REST_URL WS_URL ADMIN_URL
"""

import asyncio
import json
import sys
import urllib.request
from urllib.parse import urlsplit

import ccxt
import ccxt.pro

REST, WS, ADMIN = sys.argv[1:4]


def admin(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(ADMIN + path, data=data, method=method), timeout=30) as answer:
        return json.load(answer)


def pointed(client):
    """The client with its base URLs pointed here, as any user of ccxt may."""
    api = client.urls["api"]
    for name, url in list(api.items()):
        if isinstance(url, str):
            api[name] = REST + urlsplit(url).path
    if "ws" in api:
        api["ws"]["spot"] = WS + "/ws"
    return client


def over_rest():
    client = pointed(ccxt.binance())
    markets = client.load_markets()
    book = client.fetch_order_book("BTC/USDT", 5)
    trades = client.fetch_trades("BTC/USDT", limit=5)
    ticker = client.fetch_ticker("BTC/USDT")
    try:
        client.public_get_depth({"symbol": "NOPE"})
        refused = None
    except ccxt.BadSymbol as error:
        refused = type(error).__name__
    return {
        "markets": sorted(markets),
        "precision": markets["BTC/USDT"]["precision"],
        "book": [book["bids"], book["asks"], book["nonce"]],
        "trades": [[trade["price"], trade["amount"], trade["side"]] for trade in trades],
        "ticker": [ticker["bid"], ticker["ask"], ticker["last"]],
        "tickers": sorted(client.fetch_tickers()),
        "ohlcv": client.fetch_ohlcv("BTC/USDT", "1m"),
        "time": client.fetch_time(),
        "refused": refused,
    }


async def over_websocket():
    client = pointed(ccxt.pro.binance())
    try:
        await client.load_markets()
        trades, ticker, candles = await asyncio.gather(
            client.watch_trades("BTC/USDT"), client.watch_ticker("BTC/USDT"), client.watch_ohlcv("BTC/USDT", "1m")
        )
        for _ in range(20):
            book = await client.watch_order_book("BTC/USDT")
        rest = await asyncio.to_thread(admin, "POST", "/admin/pause", {"wait_s": 5})
        final = rest["update_ids"]["BTCUSDT"]
        while book["nonce"] < final:
            book = await client.watch_order_book("BTC/USDT")
        own = await asyncio.to_thread(admin, "GET", "/admin/book?symbol=BTCUSDT")
        return {
            "trade": [trades[-1]["price"], trades[-1]["side"]],
            "ticker": ticker["last"],
            "candle": candles[-1],
            "nonce": [book["nonce"], own["update_id"]],
            "watched": [book["bids"][:500], book["asks"][:500]],
            "own": [[[float(price), float(size)] for price, size in own[side][:500]] for side in ("bids", "asks")],
        }
    finally:
        await client.close()


print(json.dumps({"version": ccxt.__version__, "rest": over_rest(), "ws": asyncio.run(over_websocket())}))
