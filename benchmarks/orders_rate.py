"""Orders a second through one order manager, with group commit, and the limiting resource.

Strategy actors place limit orders that rest, in batches (`place_orders`), several batches at a time each, and wait for
each batch to be answered before the next; runs over REST and over the exchange's websocket alternate, and with two
orders under way also runs of strategies that use Ray calls. An order counts when its caller knows that the exchange has
it: the intent was journaled and flushed before the request, the outcome after it. Further figures: how many bare
flushes take as long as one order; the orders, and commits of the manager, that shared a flush of the journal; and the
cores that each process used (a Python process can use one core at most). The local exchange and the strategies run on
the same cores.
"""

from __future__ import annotations

import asyncio
import os
import time
from decimal import Decimal
from typing import Any

import ray

from venuemesh.market.market import AsyncMarket

from . import connector_without_limits
from .harness import Json, load, median, one_node, ratio
from .orders_place import AMOUNT, PAIR, WAYS, Cpu, Flushes, TradingPlace, send_by_ray, spread, trading_place

STRATEGIES = 2
BY_RAY = "rest by Ray"  # strategies that reach the manager by Ray calls, as if they were on another node
LOADS = ((1, 1), (4, 10), (2, 50))  # tasks in a strategy, orders in a batch


class _Strategy:
    """Places a batch as soon as the previous one is answered."""

    def __init__(self, market: AsyncMarket, by_ray: bool = False) -> None:
        self._market = market
        if by_ray:
            send_by_ray()

    async def pid(self) -> int:
        return os.getpid()

    async def place(self, price: Decimal, tasks: int, batch: int, seconds: float) -> tuple[int, int, list[int]]:
        """Place the batches; return the number of accepted and of failed orders, and the duration of each batch, in
        ns."""
        until = time.monotonic() + seconds
        placed, other = 0, 0
        took: list[int] = []

        async def work() -> None:
            nonlocal placed, other
            while time.monotonic() < until:
                orders = [self._market.new_order("buy", PAIR, AMOUNT, price=price) for _ in range(batch)]
                before = time.monotonic_ns()
                found = await self._market.place_orders(orders)
                took.append(time.monotonic_ns() - before)
                there = sum(order.exchange_order_id is not None for order in found)
                placed, other = placed + there, other + len(found) - there

        await asyncio.gather(*(work() for _ in range(tasks)))
        return placed, other, took


Strategy: Any = ray.remote(num_cpus=0)(_Strategy)


def measure(place: TradingPlace, account: str, strategies: list[Any], tasks: int, batch: int, seconds: float) -> Json:
    """Let all strategies place at the same time; return their results and the CPU time."""
    pids = dict(zip(("strategy", "strategy 2"), ray.get([one.pid.remote() for one in strategies]), strict=False))
    price = place.price()
    cpu = Cpu({**place.processes(account), **pids})
    before = place.ask(account, "account")["commits"]
    began = time.monotonic()
    results = ray.get([one.place.remote(price, tasks, batch, seconds) for one in strategies], timeout=120)
    took_s = time.monotonic() - began
    shares = cpu.shares()
    after = place.ask(account, "account")["commits"]
    flushes = after["transactions"] - before["transactions"]
    placed = sum(one[0] for one in results)
    place.cancel_all(account)
    p50, p99 = spread([one for _, _, took in results for one in took])
    return {
        "orders_per_s": round(placed / took_s),
        "not_placed": sum(one[1] for one in results),
        "batch_p50_ms": p50,
        "batch_p99_ms": p99,
        "orders_per_flush": round(placed / flushes, 2) if flushes else None,
        "batches_per_flush": round((after["batches"] - before["batches"]) / flushes, 1) if flushes else None,
        "cores": shares,
    }


def _row(way: str, tasks: int, batch: int, rounds: list[Json], flush_ms: float | None) -> Json:
    row: Json = {"orders": way, "under_way": STRATEGIES * tasks * batch, "batch": batch}
    for key in ("orders_per_s", "batch_p50_ms", "batch_p99_ms", "orders_per_flush", "batches_per_flush"):
        row[key] = median([one[key] for one in rounds])
    row["flushes_an_order"] = ratio(flush_ms, 1e3 / row["orders_per_s"]) if row["orders_per_s"] else None
    row["not_placed"] = sum(one["not_placed"] for one in rounds)
    for name in rounds[0]["cores"]:
        row[f"{name}_cores"] = median([one["cores"][name] for one in rounds])
    row["rounds_orders_per_s"] = [one["orders_per_s"] for one in rounds]
    return {**row, "load_1m": load()}


def run(quick: bool = False) -> Json:
    """Measure; see the module."""
    rounds, seconds = (1, 1.0) if quick else (3, 3.0)
    found: dict[tuple[str, int, int], list[Json]] = {}
    flushes: list[float] = []
    with (
        connector_without_limits.installed(),
        one_node(),
        trading_place({way: {"orders": way} for way in WAYS}) as place,
    ):
        bare = Flushes(place.folder)
        accounts = {way: way for way in WAYS} | {BY_RAY: "rest"}
        strategies = {
            name: [Strategy.remote(place.market(account).aio, name == BY_RAY) for _ in range(STRATEGIES)]
            for name, account in accounts.items()
        }
        for name, account in accounts.items():
            measure(place, account, strategies[name], 1, 5, 0.5)
        for _ in range(rounds):
            for tasks, batch in LOADS:
                for name, account in accounts.items():
                    if name == BY_RAY and batch > 1:
                        continue
                    one = measure(place, account, strategies[name], tasks, batch, seconds)
                    found.setdefault((name, tasks, batch), []).append(one)
            flushes.append(spread(bare.measure(100))[0])
        bare.close()
        for strategy in [one for both in strategies.values() for one in both]:
            ray.kill(strategy)
    return {
        "title": "orders a second through one order manager, journaled, sent and answered",
        "rows": [_row(*which, taken, median(flushes)) for which, taken in found.items()],
        "expected": ">= 500 orders/s sustained with group commit",
    }


if __name__ == "__main__":
    import sys

    print(*run(quick="--quick" in sys.argv)["rows"], sep="\n")
