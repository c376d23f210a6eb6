"""Orders: from `market.buy()` in a strategy actor to the bytes on the wire, and to their outcome.

A strategy places one order after another, with pauses, far from the market; runs over REST and over the exchange's
websocket alternate, and runs of a strategy that reaches the manager by Ray calls as if it were on another node
(`rest by Ray`). After that, the same from a strategy on a second raylet (`two raylets`). A strategy records when it
called `buy` and when `buy` returned; the order manager records when the order passed each stage (`timings`); all by the
monotonic clock, which the processes of a machine share:

    facade      `buy` itself: the order is made, checked by the locally known rules, and passed to the session's thread
    to_manager  over a unix socket or as a Ray call, to the manager having unpacked the command
    checks      rules, guards, budget, reservation of funds
    sign        the request's bytes
    commit      the intent is in the journal, flushed to the disk; between the rounds, as many bytes are written and
                flushed to a file of the same disk
    send        the socket has the bytes

After that: `exchange`, its answer; `outcome`, that answer journaled and returned. The bare flushes of each round give
the multiples: machines differ by a factor of two, and so do disks. A disk and a processor that rested are slower, so
the flushes have the pauses of the orders; those of `busy_flush` follow one another within 2 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import ray

from venuemesh.market.market import AsyncMarket

from . import connector_without_limits
from .harness import Json, load, median, on_node, one_node, two_nodes
from .orders_place import AMOUNT, PAIR, WAYS, Flushes, TradingPlace, flush_figures, send_by_ray, spread, trading_place

STAGES = ("facade", "to_manager", "checks", "sign", "commit", "send", "exchange", "outcome")
PAUSE_S = 0.01

Placed = list[tuple[str, int, int]]


class _Strategy:
    """Buys, and records the times."""

    def __init__(self, market: AsyncMarket, by_ray: bool = False) -> None:
        self._market = market
        if by_ray:
            send_by_ray()

    async def buy(self, price: Decimal, count: int, pause_s: float) -> Placed:
        """Place orders; return the id of each, and when `buy` was called and returned (monotonic ns)."""
        placed = []
        for _ in range(count):
            before = time.monotonic_ns()
            one = self._market.buy(PAIR, AMOUNT, price=price)
            placed.append((one, before, time.monotonic_ns()))
            await asyncio.sleep(pause_s)
        for one, _, _ in placed:
            await self._market.wait(one, "open")
        return placed


Strategy: Any = ray.remote(num_cpus=0)(_Strategy)


def measure(place: TradingPlace, account: str, strategy: Any, count: int) -> Json:
    """Place `count` orders and return ns per stage, in lists: `total` to the wire first."""
    placed = ray.get(strategy.buy.remote(place.price(), count, PAUSE_S), timeout=120)
    timings = place.ask(account, "timings", {"limit": count})
    rows = {one: times for one, *times in timings["orders"]}
    found: dict[str, list[int]] = {name: [] for name in ("total", *STAGES)}
    for one, called_ns, returned_ns in placed:
        received, judged, signed, committed, written, answered, replied = rows[one]
        points = (called_ns, returned_ns, received, judged, signed, committed, written, answered, replied)
        found["total"].append(written - called_ns)
        for stage, start, end in zip(STAGES, points, points[1:], strict=False):
            found[stage].append(end - start)
    place.cancel_all(account)
    return found


def _stages(name: str, rounds: list[Json], flushes: list[Json]) -> list[Json]:
    """Return a row per stage: medians over the rounds of p50 and p99; the total also in flushes of the same round."""
    spreads = {stage: [spread(one[stage]) for one in rounds] for stage in ("total", *STAGES)}
    spreads |= {kind: [one[kind] for one in flushes] for kind in ("bare_flush", "busy_flush")}
    rows: list[Json] = []
    for stage, found in spreads.items():
        figures = {
            f"{at}_ms": median(list(of)) for at, of in zip(("p50", "p99"), zip(*found, strict=True), strict=True)
        }
        rows.append({"orders": name, "stage": "buy_to_wire" if stage == "total" else stage, **figures})
    rows[0] |= flush_figures(spreads["total"], flushes)
    rows[0] |= {"samples": sum(len(one["total"]) for one in rounds), "load_1m": load()}
    return rows


@contextlib.contextmanager
def _strategies(place: TradingPlace, kinds: dict[str, tuple[str, bool]], node: str | None) -> Iterator[dict[str, Any]]:
    """Run a strategy per kind (name -> account, whether it uses Ray calls), after a few first orders of each."""
    started = {
        name: on_node(Strategy, node).remote(place.market(account).aio, by_ray)
        for name, (account, by_ray) in kinds.items()
    }
    for name, strategy in started.items():
        measure(place, kinds[name][0], strategy, 50)
    yield started
    for strategy in started.values():
        ray.kill(strategy)


def _rows(
    place: TradingPlace, kinds: dict[str, tuple[str, bool]], node: str | None, rounds: int, count: int
) -> list[Json]:
    """Measure the kinds in turn; return the rows of each."""
    found: dict[str, list[Json]] = {name: [] for name in kinds}
    flushes: list[Json] = []
    bare = Flushes(place.folder)
    with _strategies(place, kinds, node) as strategies:
        for _ in range(rounds):
            for name, strategy in strategies.items():
                found[name].append(measure(place, kinds[name][0], strategy, count))
            flushes.append(bare.both(count, PAUSE_S))
    bare.close()
    return [row for name, taken in found.items() for row in _stages(name, taken, flushes)]


def run(quick: bool = False) -> Json:
    """Measure; see the module."""
    rounds, count = (2, 60) if quick else (7, 300)
    with connector_without_limits.installed():
        with one_node(), trading_place({way: {"orders": way} for way in WAYS}) as place:
            kinds = {way: (way, False) for way in WAYS} | {"rest by Ray": ("rest", True)}
            rows = _rows(place, kinds, None, rounds, count)
        with (
            two_nodes() as (here, there),
            trading_place({"rest": {"orders": "rest"}}, exchange={"nodes": {"ray.io/node-id": here}}) as place,
        ):
            rows += _rows(place, {"rest two raylets": ("rest", False)}, there, max(2, rounds // 2), count)
    return {
        "title": "market.buy() in a strategy actor to bytes on the wire, SQLite flushed at each commit",
        "rows": rows,
        "expected": "rest, websocket: p50 <= 8 bare flushes of the same run (goal 5), p99 <= 3 x p50",
    }


if __name__ == "__main__":
    import sys

    print(*run(quick="--quick" in sys.argv)["rows"], sep="\n")
