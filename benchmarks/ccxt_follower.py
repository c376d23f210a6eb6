"""Follow books with ccxt's `watch_order_book` in one process; print one JSON object. Runs in ccxt's environment.

    python ccxt_follower.py < {"urls": {EXCHANGE: {...}}, "pairs": [...], "seconds": n}

After every book was seen once, it follows the books for `seconds`, then prints the age of each update on arrival (by
the exchange's own time), the number of updates, the CPU time of the process and its resident memory.
"""

import asyncio
import json
import sys
import time

import ccxt.pro

WAIT_S = 120


def binance(urls):
    client = ccxt.pro.binance({"options": {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}}})
    api = client.urls["api"]
    for name, url in list(api.items()):
        if isinstance(url, str):
            api[name] = urls["rest"] + (url[url.index("/api/v") :] if "/api/v" in url else "/elsewhere")
    api["ws"]["spot"] = urls["ws"] + "/ws"
    return client


def kraken(urls):
    client = ccxt.pro.kraken()
    client.urls["api"].update({"public": urls["rest"], "private": urls["rest"], "zendesk": urls["rest"] + "/elsewhere"})
    client.urls["api"]["ws"]["publicV2"] = urls["ws"]
    return client


def okx(urls):
    client = ccxt.pro.okx({"options": {"fetchMarkets": {"types": ["spot"]}}})
    client.urls["api"].update({"rest": urls["rest"], "ws": urls["ws"] + "/ws/v5"})
    return client


def bybit(urls):
    client = ccxt.pro.bybit({"options": {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False}})
    client.urls["api"].update(dict.fromkeys(("spot", "public", "private"), urls["rest"]))
    client.urls["api"]["ws"]["public"]["spot"] = urls["ws"] + "/v5/public/spot"
    return client


CLIENTS = {"binance": binance, "kraken": kraken, "okx": okx, "bybit": bybit}


async def main(asked):
    lags, seen, measuring = {name: [] for name in asked["urls"]}, set(), False
    everything = asyncio.Event()
    wanted = {(name, pair) for name in asked["urls"] for pair in asked["pairs"]}

    async def follow(name, client, pair):
        while True:
            book = await client.watch_order_book(pair)
            if measuring and book["timestamp"] is not None:
                lags[name].append(time.time_ns() - book["timestamp"] * 1_000_000)
            if not everything.is_set():
                seen.add((name, pair))
                if seen == wanted:
                    everything.set()

    clients = {name: CLIENTS[name](urls) for name, urls in asked["urls"].items()}
    try:
        for client in clients.values():
            client.enableRateLimit = False
            await client.load_markets()
        began = time.monotonic()
        tasks = [
            asyncio.create_task(follow(name, client, pair))
            for name, client in clients.items()
            for pair in asked["pairs"]
        ]
        async with asyncio.timeout(WAIT_S):
            watch = asyncio.ensure_future(everything.wait())
            await asyncio.wait([watch, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()  # raises the error that ended it
        live_s = time.monotonic() - began
        cpu, started, measuring = time.process_time(), time.monotonic(), True
        await asyncio.sleep(asked["seconds"])
        measuring = False
        cpu, seconds = time.process_time() - cpu, time.monotonic() - started
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        for client in clients.values():
            await client.close()
    return {"live_s": live_s, "cpu_s": cpu, "seconds": seconds, "lags_ns": lags}


found = asyncio.run(main(json.load(sys.stdin)))
with open("/proc/self/statm") as memory:
    found["rss"] = int(memory.read().split()[1]) * 4096
print(json.dumps(found))
