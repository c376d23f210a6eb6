"""Order-level (L3) books: events a second and bytes an order, against dictionaries that do the same work.

Both get the same decoded events of a book of 50,000 orders, as tuples: orders enter (half of the events), leave, are
matched, and change, most of them near the touch and soon after they entered. Both keep each order, its queue and the
total of each level; ours also keeps the levels sorted and hands them over after every 20 events, as after a frame. Runs
alternate; bytes are those that a fresh process got for the snapshot, by its resident memory.
"""

from __future__ import annotations

import gc
import random
import subprocess
import sys
import time
import uuid
from typing import Any

from venuemesh.model.events import Side
from venuemesh.orderbook.l3 import L3Book
from venuemesh.orderbook.records import ADD, CHANGE, MATCH, REMOVE

from .harness import Json, load, median, ratio

ORDERS = 50_000
PER_FRAME = 20
MIDDLE = 6_000_000  # price, in ticks
FAR, NEAR = (
    1_000,
    60,
)  # mean distance from the touch, in ticks: of the orders of the snapshot, and of those that enter later
RECENT = 2_000  # the orders that leave, trade or change are among so many that entered last, but one in ten
WAYS = ("l3", "dict")
Event = tuple[Any, ...]


class DictBook:
    """The same in dictionaries, as a Python program would write it."""

    def __init__(self) -> None:
        self.orders: dict[str, list[Any]] = {}  # id -> [side, price, size, time]
        self.queues: dict[Side, dict[int, dict[str, None]]] = {Side.BUY: {}, Side.SELL: {}}
        self.sizes: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}

    def apply(self, events: list[Event]) -> None:
        for event in events:
            kind, name = event[0], event[1]
            if kind == ADD:
                self._add(name, *event[2:])
            elif kind == REMOVE:
                self._remove(name)
            elif kind == MATCH:
                self._resize(name, self.orders[name][2] - event[2])
            else:
                self._resize(name, event[2])

    def commit(self, sequence: int) -> None:
        """Nothing is left to do: the totals follow each event."""

    @property
    def n_orders(self) -> int:
        return len(self.orders)

    def _add(self, name: str, side: Side, price: int, size: int, time_ns: int) -> None:
        if name in self.orders or price <= 0 or size <= 0:
            raise ValueError(name)
        self.orders[name] = [side, price, size, time_ns]
        queue = self.queues[side].get(price)
        if queue is None:
            queue = self.queues[side][price] = {}
        queue[name] = None
        self.sizes[side][price] = self.sizes[side].get(price, 0) + size

    def _remove(self, name: str) -> None:
        order = self.orders.pop(name, None)
        if order is None:
            return
        side, price, size, _ = order
        queue = self.queues[side][price]
        del queue[name]
        if queue:
            self.sizes[side][price] -= size
        else:
            del self.queues[side][price], self.sizes[side][price]

    def _resize(self, name: str, size: int) -> None:
        if size < 0:
            raise ValueError(name)
        if not size:
            self._remove(name)
            return
        order = self.orders[name]
        self.sizes[order[0]][order[1]] += size - order[2]
        order[2] = size


def events_of(count: int, orders: int, seed: int = 1) -> tuple[list[Event], list[list[Event]]]:
    """Return the orders of a snapshot as events, and the frames of events that follow."""
    draw = random.Random(seed)
    there: list[tuple[str, int]] = []

    def enter(number: int, distance: int) -> Event:
        name, side, size = (
            str(uuid.UUID(int=draw.getrandbits(128))),
            draw.choice((Side.BUY, Side.SELL)),
            draw.randint(10, 999),
        )
        away = 1 + int(draw.expovariate(1 / distance))
        there.append((name, size))
        return ADD, name, side, MIDDLE - away if side is Side.BUY else MIDDLE + away, size, number

    snapshot = [enter(number, FAR) for number in range(orders)]
    events: list[Event] = []
    for number in range(count):
        at = draw.randrange(0 if draw.random() < 0.1 else max(0, len(there) - RECENT), len(there))
        name, size = there[at]
        chance = draw.random()
        if chance < 0.5:
            events.append(enter(number, NEAR))
        elif chance < 0.9:
            there[at] = there[-1]
            there.pop()
            events.append((REMOVE, name))
        elif chance < 0.96 and size > 1:
            there[at] = name, size - 1
            events.append((MATCH, name, 1))
        else:
            there[at] = name, size + 1
            events.append((CHANGE, name, size + 1))
    return snapshot, [events[at : at + PER_FRAME] for at in range(0, count, PER_FRAME)]


def once(way: str, snapshot: list[Event], frames: list[list[Event]]) -> tuple[float, int]:
    """Return ns per event, the decoding not counted, and the orders at the end."""
    book = L3Book(2, 8) if way == "l3" else DictBook()
    book.apply(snapshot)
    book.commit(0)
    took_ns = 0
    gc.disable()  # what it costs depends on all other objects of the process
    for sequence, frame in enumerate(frames, 1):
        events = decoded(frame)
        began = time.perf_counter_ns()
        book.apply(events)
        book.commit(sequence)
        took_ns += time.perf_counter_ns() - began
    gc.enable()
    return took_ns / sum(map(len, frames)), book.n_orders


def decoded(frame: list[Event]) -> list[Event]:
    """Return a frame's events as a decoder has just made them: new objects, whose texts are in the cache."""
    return [(event[0], event[1].encode().decode(), *event[2:]) for event in frame]


MEMORY = """
import sys
from benchmarks.order_level import DictBook, L3Book, events_of
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
snapshot, _ = events_of(0, int(sys.argv[2]))
names = [event[1] for event in snapshot]
before = resident()
book = L3Book(2, 8) if sys.argv[1] == "l3" else DictBook()
book.apply([(*event[:1], str(event[1]), *event[2:]) for event in snapshot])
print((resident() - before) / len(snapshot))
"""


def bytes_an_order(way: str, orders: int) -> float:
    """Return what an order costs in resident memory, in a fresh process; the text of its id not counted."""
    command = [sys.executable, "-c", MEMORY, way, str(orders)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def run(quick: bool = False) -> Json:
    """Measure; see the module."""
    rounds, count = (2, 20_000) if quick else (7, 400_000)
    snapshot, frames = events_of(count, ORDERS)
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    left = set()
    for _ in range(rounds):
        for way in WAYS:
            took, orders = once(way, snapshot, frames)
            found[way].append(took)
            left.add(orders)
    if len(left) != 1:
        raise RuntimeError(f"the books do not agree: {left} orders")
    ns = {way: median(taken) for way, taken in found.items()}
    held = {way: bytes_an_order(way, ORDERS) for way in WAYS}
    rows = [
        {
            "book": way,
            "ns_an_event": ns[way],
            "events_per_s": round(1e9 / ns[way]),
            "times_dict": ratio(ns[way], ns["dict"]),
            "bytes_an_order": round(held[way]),
            "rounds_ns": [round(one) for one in found[way]],
            "load_1m": load(),
        }
        for way in WAYS
    ]
    return {
        "title": f"an order-level book of {ORDERS:,} orders, events already decoded",
        "rows": rows,
        "expected": "at least 5 times the events a second of dictionaries",
    }
