"""Reports: from the exchange's frame received by the user stream to the strategy awake with the event.

Orders of the account rest, and the exchange fills one at a time, with a pause between. The stream role records when it
got the frame with the fill (`raw`), the order manager when it got the message and when the whole message was journaled
(`timings`), and the strategy, which iterates over `market.events()`, when it got the event: all by the wall clock of
one machine.

    to_manager   decoded, and sent to the order manager
    commit       the order, its fill and the event are in the journal, flushed
    wake         the long poll is answered, and the strategy has the event

The bare flushes of each round have the pauses of the fills; those of `busy_flush` follow one another within 2 ms. Runs
of a strategy that polls by Ray calls, as if it were on another node, alternate (`by Ray`); after that, the same
with a strategy on a second raylet.
"""

from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import Any

import ray

from venuemesh.market.market import AsyncMarket
from venuemesh.model.order import EventType

from . import connector_without_limits
from .harness import EXCHANGE, Json, load, median, on_node, one_node, two_nodes
from .orders_place import AMOUNT, PAIR, SYMBOL, Flushes, TradingPlace, flush_figures, send_by_ray, spread, trading_place

ACCOUNT = "main"
STAGES = ("to_manager", "commit", "wake")
PAUSE_S = 0.02
FILLS = 60  # fills of a round: the stream keeps its last 500 frames, and a fill makes two frames


class _Strategy:
    """Follows the account's events, and records when each fill arrived."""

    def __init__(self, market: AsyncMarket, by_ray: bool = False) -> None:
        self._market = market
        if by_ray:
            send_by_ray()

    async def rest(self, price: Decimal, count: int) -> list[int]:
        """Place orders that rest; return their exchange ids."""
        orders = [self._market.new_order("buy", PAIR, AMOUNT, price=price) for _ in range(count)]
        placed = await self._market.place_orders(orders)
        return [int(order.exchange_order_id or 0) for order in placed]

    async def follow(self, fills: int) -> dict[str, int]:
        """Return the arrival time of each of `fills` fills, ns since the Unix epoch, by trade id."""
        seen: dict[str, int] = {}
        async for event in self._market.events():
            now_ns = time.time_ns()
            if event.type is EventType.FILLED and event.fill is not None:
                seen[event.fill.trade_id] = now_ns
                if len(seen) == fills:
                    break
        return seen


Strategy: Any = ray.remote(num_cpus=0)(_Strategy)


def measure(place: TradingPlace, strategy: Any, fills: int) -> Json:
    """Fill `fills` orders one by one; return ns per stage, in lists, `total` first."""
    place.admin.pause()  # pause the participants, which would trade with us
    best_ask = Decimal(place.admin.book(SYMBOL)["asks"][0][0])
    price = place.market(ACCOUNT).quantize_price(PAIR, best_ask * Decimal("0.99999"))
    orders = ray.get(strategy.rest.remote(price, fills), timeout=60)
    following = strategy.follow.remote(fills)
    time.sleep(0.5)
    for one in sorted(orders):  # in the book's order of price
        place.admin.fill(SYMBOL, one)
        time.sleep(PAUSE_S)
    place.admin.resume()
    seen: dict[str, int] = ray.get(following, timeout=60)
    address = f"stream/{EXCHANGE}/{ACCOUNT}"
    raw = place.market(ACCOUNT).ask_role(address, "poll:raw", {"after": 0, "limit": 500}, 5.0)
    received = _received(raw["frames"])
    messages = sorted((received, durable) for *_, received, durable in place.ask(ACCOUNT, "timings")["reports"])
    found: dict[str, list[int]] = {name: [] for name in ("total", *STAGES)}
    for trade_id, seen_ns in seen.items():
        recv_ns = received[trade_id]
        received_ns, durable_ns = next((received, durable) for received, durable in messages if received > recv_ns)
        found["total"].append(seen_ns - recv_ns)
        for stage, start, end in zip(
            STAGES, (recv_ns, received_ns, durable_ns), (received_ns, durable_ns, seen_ns), strict=True
        ):
            found[stage].append(end - start)
    return found


def _received(frames: list[Json]) -> dict[str, int]:
    """Return when the frames with fills arrived, by trade id."""
    found = {}
    for frame in frames:
        if '"executionReport"' in frame["raw"]:
            event = json.loads(frame["raw"])
            event = event.get("event", event)
            if event["x"] == "TRADE":
                found[str(event["t"])] = frame["ts_recv_ns"]
    return found


def _rows(place: TradingPlace, kinds: dict[str, bool], node: str | None, rounds: int, fills: int) -> list[Json]:
    """Measure strategies (name -> whether it uses Ray calls) in turn; return a row per stage and strategy."""
    found: dict[str, list[Json]] = {name: [] for name in kinds}
    flushes: list[Json] = []
    bare = Flushes(place.folder)
    market = place.market(ACCOUNT).aio
    strategies = {name: on_node(Strategy, node).remote(market, by_ray) for name, by_ray in kinds.items()}
    for strategy in strategies.values():
        measure(place, strategy, min(20, fills))
    for _ in range(rounds):
        for name, strategy in strategies.items():
            found[name].append(measure(place, strategy, fills))
        flushes.append(bare.both(fills, PAUSE_S))
    for strategy in strategies.values():
        ray.kill(strategy)
    bare.close()
    rows: list[Json] = []
    for name, taken in found.items():
        for stage in ("total", *STAGES):
            row = {"strategy": name, "stage": stage, **_medians([spread(one[stage]) for one in taken])}
            if stage == "total":
                row["stage"] = "frame to strategy awake"
                row |= flush_figures([spread(one["total"]) for one in taken], flushes)
                row |= {"samples": sum(len(one["total"]) for one in taken), "load_1m": load()}
            rows.append(row)
        for kind in ("bare_flush", "busy_flush"):
            rows.append({"strategy": name, "stage": kind, **_medians([one[kind] for one in flushes])})
    return rows


def run(quick: bool = False) -> Json:
    """Measure; see the module."""
    rounds, fills = (1, 30) if quick else (9, FILLS)
    with connector_without_limits.installed():
        with one_node(), trading_place({ACCOUNT: {}}) as place:
            rows = _rows(place, {"same node": False, "by Ray": True}, None, rounds, fills)
        with (
            two_nodes() as (here, there),
            trading_place({ACCOUNT: {}}, exchange={"nodes": {"ray.io/node-id": here}}) as place,
        ):
            rows += _rows(place, {"two raylets": False}, there, max(1, rounds // 3), fills)
    return {
        "title": "frame of a fill received by the user stream to the strategy awake with the event",
        "rows": rows,
        "expected": "same node: p50 <= 8 bare flushes of the same run (goal 5)",
    }


def _medians(spreads: list[tuple[float, float]]) -> Json:
    return {"p50_ms": median([one[0] for one in spreads]), "p99_ms": median([one[1] for one in spreads])}


if __name__ == "__main__":
    import sys

    print(*run(quick="--quick" in sys.argv)["rows"], sep="\n")
