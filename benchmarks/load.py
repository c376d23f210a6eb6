"""What one strategy's load costs the others: many readers of events in a process, and a flood of orders of one owner.

    readers   the time from `place` to the answer, with 0 and with 1,000 readers of `market.events()` in one process:
              in that process, and in another one
    flood     the time of a cancel and of an order of one owner, without and with the flood of another owner in another
              process, which calls `buy` without pause. The flood's orders that are refused are counted

Both parts compare figures of the same run, round by round. The local exchange runs on the same cores, and so does the
process of the flood, so a part of each difference is the lack of cores.
"""

from __future__ import annotations

import asyncio
import threading
import time
from decimal import Decimal
from typing import Any

import ray

from venuemesh.market.market import AsyncMarket
from venuemesh.model.errors import MeshError

from . import connector_without_limits
from .harness import Json, load, one_node, ratio
from .orders_place import AMOUNT, PAIR, TradingPlace, spread, trading_place

ACCOUNT = "rest"
READERS = 1_000
FLOOD_S = 1.0  # of flood before the first measured order
PAUSE_S = 0.01
CLEAR_S = 120.0


class _Strategy:
    """One owner in one process: reads events, floods, or measures its own orders."""

    def __init__(self, market: AsyncMarket) -> None:
        self._market = market
        self._tasks: list[asyncio.Task[None]] = []
        self._seen = 0
        self._stop = threading.Event()
        self._flood: threading.Thread | None = None
        self._ids: list[str] = []

    async def read(self, readers: int) -> None:
        """Follow the account's events this many times from now on; return when the readers have begun."""
        self._tasks = [asyncio.create_task(self._follow()) for _ in range(readers)]
        await asyncio.sleep(PAUSE_S)

    async def _follow(self) -> None:
        async for _ in self._market.events():
            self._seen += 1

    async def stop_reading(self) -> int:
        """End the readers; return how many events they saw together."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        return self._seen

    async def flood(self, price: Decimal) -> None:
        """Call `buy` without pause from now on."""
        from loguru import logger

        logger.remove()  # every refused order is logged
        self._stop.clear()
        self._ids = []

        def hand_over() -> None:
            while not self._stop.is_set():
                self._ids.append(self._market.buy(PAIR, AMOUNT, price=price))

        self._flood = threading.Thread(target=hand_over, daemon=True)
        self._flood.start()

    async def stop_flood(self) -> int:
        """Return the number of orders that were handed over."""
        self._stop.set()
        if self._flood is not None:
            await asyncio.to_thread(self._flood.join)
        return len(self._ids)

    async def prepare(self, price: Decimal, count: int) -> None:
        """Place orders for `measure` to cancel."""
        orders = [self._market.new_order("buy", PAIR, AMOUNT, price=price) for _ in range(count)]
        self._ids = [order.client_order_id for order in await self._market.place_orders(orders)]

    async def measure(self, price: Decimal) -> tuple[list[int], list[int], int]:
        """Place an order and cancel a prepared one, until all are cancelled.

        Return how long each order took, and each cancel, in ns, and how many of both were not done.
        """
        placed, cancelled, failed = [], [], 0
        for name in self._ids:
            before = time.monotonic_ns()
            try:
                await self._market.place("buy", PAIR, AMOUNT, price=price)
            except MeshError:
                failed += 1
            between = time.monotonic_ns()
            try:
                await self._market.cancel_and_wait(name)
            except MeshError:
                failed += 1
            placed.append(between - before)
            cancelled.append(time.monotonic_ns() - between)
            await asyncio.sleep(PAUSE_S)
        return placed, cancelled, failed


Strategy: Any = ray.remote(num_cpus=0)(_Strategy)


def _measured(what: str, took: list[int], base: list[int], **more: Any) -> Json:
    p50, p99 = spread(took)
    before50, before99 = spread(base)
    return {
        "what": what,
        "p50_ms": p50,
        "p99_ms": p99,
        "max_ms": round(max(took) / 1e6, 1),
        "times_p50": ratio(before50, p50),
        "times_p99": ratio(before99, p99),
        "samples": len(took),
        **more,
        "load_1m": load(),
    }


def _readers(place: TradingPlace, calm: Any, count: int, rounds: int) -> list[Json]:
    """Measure orders without and with readers, in the process of the readers and in another one."""
    price = place.price()
    reading = Strategy.remote(place.market(ACCOUNT, "reading").aio)
    took: dict[tuple[str, int], list[int]] = {}
    for _ in range(rounds):
        for readers in (0, READERS):
            ray.get(reading.read.remote(readers))
            for who, strategy in (("its", reading), ("another", calm)):
                ray.get(strategy.prepare.remote(price, count))
                placed, _, _ = ray.get(strategy.measure.remote(price))
                took.setdefault((who, readers), []).extend(placed)
            ray.get(reading.stop_reading.remote())
        _clear(place)
    ray.kill(reading)
    return [
        _measured(f"an order of {who} process, {readers} readers", found, took[who, 0])
        for (who, readers), found in took.items()
    ]


def _flood(place: TradingPlace, calm: Any, count: int, rounds: int) -> list[Json]:
    """Measure cancels and orders without and with the flood of another owner."""
    price = place.price()
    took: dict[tuple[str, bool], list[int]] = {}
    handed, seconds, failures = 0, 0.0, 0
    for _ in range(rounds):
        for is_flooded in (False, True):
            flooding = Strategy.remote(place.market(ACCOUNT, "flood").aio)
            ray.get(calm.prepare.remote(price, count))
            began = time.monotonic()
            if is_flooded:
                ray.get(flooding.flood.remote(price))
                time.sleep(FLOOD_S)
            placed, cancelled, failed = ray.get(calm.measure.remote(price))
            took.setdefault(("order", is_flooded), []).extend(placed)
            took.setdefault(("cancel", is_flooded), []).extend(cancelled)
            if is_flooded:
                failures += failed
                handed += ray.get(flooding.stop_flood.remote())
                seconds += time.monotonic() - began
            ray.kill(flooding)
        _clear(place)
    return [
        _measured(
            f"{what} of another owner, {'with' if is_flooded else 'without'} a flood",
            found,
            took[what, False],
            **({"flood_per_s": round(handed / seconds), "not_done": failures} if is_flooded else {}),
        )
        for (what, is_flooded), found in took.items()
    ]


def _clear(place: TradingPlace) -> None:
    """Cancel the orders of the account until none is left: those of a flood arrive for a while."""
    deadline = time.monotonic() + CLEAR_S
    while place.ask(ACCOUNT, "account")["open_orders"]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"orders of the flood are still open after {CLEAR_S:g} s")
        place.admin.cancel_all(ACCOUNT)
        time.sleep(0.2)


def run(quick: bool = False) -> Json:
    """Measure; see the module."""
    count, rounds = (10, 1) if quick else (60, 3)
    with (
        connector_without_limits.installed(),
        one_node(),
        trading_place({ACCOUNT: {"orders": "rest"}}) as place,
    ):
        calm = Strategy.remote(place.market(ACCOUNT, "calm").aio)
        ray.get(calm.prepare.remote(place.price(), 5))
        ray.get(calm.measure.remote(place.price()))
        rows = _readers(place, calm, count, rounds) + _flood(place, calm, count, rounds)
        ray.kill(calm)
    return {
        "title": "what readers of events and a flood of orders cost other orders and cancels",
        "rows": rows,
        "expected": "times_p50 near 1 with readers; cancels and orders of another owner wait for few orders",
    }


if __name__ == "__main__":
    import sys

    print(*run(quick="--quick" in sys.argv)["rows"], sep="\n")
