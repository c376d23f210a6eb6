"""Six exchanges at once: the books of each exchange that has its own connector, one actor for the pairs of each.

The local exchange serves all six protocols over one market, so that each reports a level change in its own form.
Recorded books of these exchanges got 5 to 11 messages a second and pair (`captures/README.md`); the market here changes
`CHANGES` levels a second and pair. Lag is the age of an update, by the exchange's own time, when it reaches the
strategy: it includes the exchange's batching of updates, the network, the book and the wake of the strategy. One
strategy actor follows all books.

For comparison, after the end of the mesh and against another exchange with the same seed: ccxt's `watch_order_book` in
one process, with as many pairs as it keeps up with, each at its default depth. Two exchanges are missing there: ccxt
subscribes to Coinbase's books only with a key, and it requests HTX's whole books faster than HTX permits.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import ray

from venuemesh.exchange.launch import serving
from venuemesh.market.market import AsyncMarket

from .ccxt_environment import ccxt_python
from .harness import Json, cpu_ns, load, memory, mesh_of, mib, one_node, percentiles, rows_of

EXCHANGES = ("binance", "kraken", "okx", "bybit", "coinbase", "htx")
BY_CCXT = ("binance", "kraken", "okx", "bybit")
PAIRS, CHANGES = 25, 10
KEPT_UP_MS = 1000.0  # a client whose p99 lag is above this does not keep up
FEWER = (1, 2, 5)  # divisors of the number of pairs for ccxt, until it keeps up
HURT = ("gaps", "resyncs", "snapshots_failed", "overflowed", "bad_checksums", "unreadable")


class _Strategy:
    """Follows every book of its markets and records the time of each update."""

    async def pid(self) -> int:
        return os.getpid()

    async def follow(self, markets: dict[str, AsyncMarket], pairs: list[str], seconds: float) -> dict[str, Any]:
        """Return, by exchange, the age of each update on arrival, in ns."""
        lags: dict[str, list[int]] = {name: [] for name in markets}
        until = time.monotonic() + seconds

        async def one(name: str, market: AsyncMarket, pair: str) -> None:
            kept = lags[name]
            async for top in market.order_book(pair).changes():
                if top.ts_event_ns is not None:
                    kept.append(time.time_ns() - top.ts_event_ns)
                if time.monotonic() >= until:
                    return

        await asyncio.gather(*(one(name, market, pair) for name, market in markets.items() for pair in pairs))
        return {name: np.array(kept) for name, kept in lags.items()}


Strategy: Any = ray.remote(num_cpus=0)(_Strategy)


def _symbols(pairs: int) -> str:
    return f"BTCUSDT,ETHUSDT,+{pairs - 2}"


def _settings(name: str, urls: Json) -> Json:
    known = {key: urls[key] for key in ("rest", "ws", "ws_api") if key in urls}
    return {"connector": name, "pairs": ["*"], "pairs_per_actor": PAIRS, **known}


def _ours(options: list[str], pairs: int, seconds: float) -> tuple[list[Json], list[str]]:
    """Measure the mesh; return its rows and the pairs by name."""
    with one_node(), serving("venuemesh.exchange", *options) as (_, urls):
        began = time.monotonic()
        exchanges = {name: _settings(name, urls[name]) for name in EXCHANGES}
        with mesh_of("bench-exchanges", exchanges, {"spares_per_node": 1}) as mesh:
            live_s = time.monotonic() - began
            markets = {name: mesh.aio.market(name) for name in EXCHANGES}
            names = sorted(mesh.market(EXCHANGES[0]).trading_pairs)
            strategy = Strategy.remote()
            pids = {name: rows_of(mesh, f"book/{name}/")[0]["pid"] for name in EXCHANGES}
            reader = ray.get(strategy.pid.remote())
            ray.get(strategy.follow.remote(markets, names, 1.0))
            before = {pid: cpu_ns(pid) for pid in (*pids.values(), reader)}
            counted, started = _counted(mesh), time.monotonic()
            lags = ray.get(strategy.follow.remote(markets, names, seconds))
            passed_s = time.monotonic() - started
            used = {pid: (cpu_ns(pid) - then) / 1e9 / passed_s for pid, then in before.items()}
            after = _counted(mesh)
            rows = [
                {
                    "what": f"{name}, {pairs} books in an actor",
                    "books": pairs,
                    "updates_per_s": round((after[name]["updates"] - counted[name]["updates"]) / passed_s),
                    "cpu_percent": round(100 * used[pids[name]], 1),
                    "pss_mib": mib(memory(pids[name]).pss),
                    "lag": percentiles(lags[name], "ms"),
                    "hurt": {key: after[name][key] for key in HURT if after[name][key]} or "none",
                }
                for name in EXCHANGES
            ]
            everything = np.concatenate([lags[name] for name in EXCHANGES])
            rows.append(
                {
                    "what": "strategy that follows all of them",
                    "books": pairs * len(EXCHANGES),
                    "cpu_percent": round(100 * used[reader], 1),
                    "pss_mib": mib(memory(reader).pss),
                    "lag": percentiles(everything, "ms"),
                    "live_s": round(live_s, 1),
                }
            )
            ray.kill(strategy)
        return rows, names


def _counted(mesh: Any) -> dict[str, dict[str, int]]:
    """Return the sums of the counters of each exchange's books."""
    found = {}
    for name in EXCHANGES:
        pairs = [pair for row in rows_of(mesh, f"book/{name}/") for pair in row["status"]["pairs"].values()]
        found[name] = {key: sum(int(pair[key]) for pair in pairs) for key in ("updates", *HURT)}
    return found


def _ccxt(urls: Json, pairs: list[str], seconds: float) -> Json:
    asked = {
        "urls": {name: urls[name] for name in BY_CCXT},
        "pairs": [pair.replace("-", "/") for pair in pairs],
        "seconds": seconds,
    }
    script = Path(__file__).with_name("ccxt_follower.py")
    done = subprocess.run(
        [ccxt_python(), script], input=json.dumps(asked), capture_output=True, text=True, timeout=seconds + 240
    )
    if done.returncode:
        raise RuntimeError(f"ccxt failed: {done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    lags = np.array([lag for kept in found["lags_ns"].values() for lag in kept])
    return {
        "what": f"ccxt, one process, {len(BY_CCXT)} exchanges",
        "books": len(pairs) * len(BY_CCXT),
        "updates_per_s": round(len(lags) / found["seconds"]),
        "cpu_percent": round(100 * found["cpu_s"] / found["seconds"], 1),
        "rss_mib": mib(found["rss"]),
        "lag": percentiles(lags, "ms"),
        "live_s": round(found["live_s"], 1),
    }


def run(quick: bool = False) -> Json:
    """Measure; see the module."""
    pairs, seconds = (4, 3.0) if quick else (PAIRS, 20.0)
    options = ["--json", "--parent", str(os.getpid()), "--seed", "1", "--rate", str(CHANGES * pairs)]
    options += ["--protocols", ",".join(EXCHANGES), "--symbols", _symbols(pairs)]
    rows, names = _ours(options, pairs, seconds)
    with serving("venuemesh.exchange", *options) as (_, urls):
        for part in FEWER:
            row = _ccxt(urls, names[: pairs // part], seconds)
            rows.append(row)
            if row["lag"]["p99_ms"] <= KEPT_UP_MS:
                break
    for row in rows:
        row.update({f"lag_{key}": value for key, value in row.pop("lag", {}).items()})
    rows[0]["load_1m"] = load()
    title = f"{len(EXCHANGES)} exchanges of {pairs} pairs, {CHANGES} level changes a second and pair"
    return {"title": title, "rows": rows}


if __name__ == "__main__":
    import sys

    print(*run(quick="--quick" in sys.argv)["rows"], sep="\n")
