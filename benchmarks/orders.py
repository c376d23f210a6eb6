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
    commit      the intent is in the journal, flushed to the disk; alternating with commits, as many bytes are
                written and flushed to a file of the same disk
    send        the socket has the bytes

After that: `exchange`, its answer; `outcome`, that answer journaled and returned. The bare flushes of each round give
the multiples: machines differ by a factor of two, and so do disks.
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
from .orders_place import AMOUNT, PAIR, WAYS, Flushes, TradingPlace, send_by_ray, spread, times, trading_place

STAGES = ("facade", "to_manager", "checks", "sign", "commit", "send", "exchange", "outcome")
BEFORE_WIRE = 6
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


def _row(name: str, rounds: list[Json], flushes: list[tuple[float, float]]) -> Json:
    """Medians over the rounds of each stage's p50 and p99, and of the total in bare flushes of the same round."""
    row: Json = {"orders": name, "rounds": len(rounds), "samples": sum(len(one["total"]) for one in rounds)}
    for stage in ("total", *STAGES):
        spreads = [spread(one[stage]) for one in rounds]
        label = "buy_to_wire" if stage == "total" else stage
        row[f"{label}_p50_ms"] = median([one[0] for one in spreads])
        row[f"{label}_p99_ms"] = median([one[1] for one in spreads])
    row["bare_flush_p50_ms"] = median([one[0] for one in flushes])
    row["bare_flush_p99_ms"] = median([one[1] for one in flushes])
    totals = [spread(one["total"]) for one in rounds]
    row["flushes_p50"] = times([total[0] for total in totals], [bare[0] for bare in flushes])
    row["p99_of_p50"] = times([total[1] for total in totals], [total[0] for total in totals])
    return {**row, "load_1m": load()}


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


def _rows(place: TradingPlace, kinds: dict[str, tuple[str, bool]], node: str | None, rounds: int, count: int) -> Json:
    """Measure the kinds in turn; return a row per kind, and the bytes of a bare flush."""
    found: dict[str, list[Json]] = {name: [] for name in kinds}
    flushes: list[tuple[float, float]] = []
    bare = Flushes(place.folder)
    with _strategies(place, kinds, node) as strategies:
        for _ in range(rounds):
            for name, strategy in strategies.items():
                found[name].append(measure(place, kinds[name][0], strategy, count))
            flushes.append(spread(bare.measure(count)))
    bare.close()
    return {"rows": [_row(name, taken, flushes) for name, taken in found.items()], "flushed_bytes": bare.size}


def run(quick: bool = False) -> Json:
    """Measure; see the module."""
    rounds, count = (2, 60) if quick else (7, 300)
    with connector_without_limits.installed():
        with one_node(), trading_place({way: {"orders": way} for way in WAYS}) as place:
            near = _rows(
                place, {way: (way, False) for way in WAYS} | {"rest_by_ray": ("rest", True)}, None, rounds, count
            )
        with (
            two_nodes() as (here, there),
            trading_place({"rest": {"orders": "rest"}}, exchange={"nodes": {"ray.io/node-id": here}}) as place,
        ):
            far = _rows(place, {"rest_two_raylets": ("rest", False)}, there, max(2, rounds // 2), count)
    rows = near["rows"] + far["rows"]
    return {
        "title": "market.buy() in a strategy actor to bytes on the wire, SQLite flushed at each commit",
        "rows": _by_stage(rows),
        "rows_by_way": rows,
        "flushed_bytes": near["flushed_bytes"],
        "expected": "rest, websocket: p50 <= 8 bare flushes of the same run (goal 5), p99 <= 3 x p50",
    }


def _by_stage(rows: list[Json]) -> list[Json]:
    """Return the table: a line per stage, a column per kind of strategy."""
    names = ["buy_to_wire", *STAGES[:BEFORE_WIRE], "bare_flush", *STAGES[BEFORE_WIRE:]]
    table = []
    for name in names:
        line: Json = {"stage": name}
        for row in rows:
            for at in ("p50_ms", "p99_ms"):
                line[f"{row['orders']}_{at}"] = row[f"{name}_{at}"]
        table.append(line)
    for row in rows:
        table[0] |= {f"{row['orders']}_{name}": row[name] for name in ("flushes_p50", "p99_of_p50")}
    table[0] |= {"samples": [row["samples"] for row in rows], "load_1m": rows[0]["load_1m"]}
    return table


if __name__ == "__main__":
    import sys

    print(*run(quick="--quick" in sys.argv)["rows"], sep="\n")
