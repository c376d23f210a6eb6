"""A reader in a separate process: reads books through `BookView` as fast as it can and records every answer.

    python -m tests.truth.sampler      one JSON line on standard input: segments, out, instruments, depth_every_ms

Answers any further line with the number of LIVE sequences that it saw of each book; ends when standard input ends.
`samples` describes its rows; prices and sizes have scale 8, for any scale of the segment.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.truth.samples import DEPTH, LIVE, NOTHING_PROVEN, STATE, TRADE, Rows
from venuemesh.model.errors import BeyondDepth, NotSynced
from venuemesh.model.events import BookState
from venuemesh.model.instrument import Instrument
from venuemesh.orderbook.segment import Top
from venuemesh.orderbook.view import BookView

SCALE = 8
LOOK_EVERY = 64  # rounds between looks at standard input
FLUSH_NS = 50_000_000

Seen = tuple[Any, ...]


class Reader:
    """One book: equal answers in a row become one row."""

    def __init__(self, number: int, view: BookView, rows: Rows, depth_every_ns: int) -> None:
        self._depth_every_ns = depth_every_ns  # between reads of all that the segment stores
        self._number, self._view, self._rows = number, view, rows
        self._units = 10 ** (SCALE - view.instrument.price_scale), 10 ** (SCALE - view.instrument.size_scale)
        self._seen: Seen | None = None
        self._first = self._last = (0, 0)  # before and after a read, ns
        self._reads = 0
        self.sequences, self._sequence = 0, -1
        self._depth_ns = 0
        self._trades: tuple[Any, int] = (None, 0)

    def read(self) -> None:
        began_ns = time.monotonic_ns()
        try:
            top = self._view.top()
            if top.sequence != self._sequence:
                self.sequences, self._sequence = self.sequences + 1, top.sequence
            seen: Seen = (*top.incarnation, top.sequence, self._level(top, "bid_raw"), self._level(top, "ask_raw"))
        except NotSynced as refusal:
            seen = (refusal.state,)
        read = (began_ns, time.monotonic_ns())
        if seen != self._seen:
            self.end_run()
            self._seen, self._first = seen, read
        self._last = read
        self._reads += 1
        if began_ns - self._depth_ns >= self._depth_every_ns:
            self._depth_ns = began_ns
            self._depth()
            self._trade()

    def _level(self, top: Top, name: str) -> tuple[int, int] | None:
        try:
            level = getattr(top, name)
        except BeyondDepth:
            return NOTHING_PROVEN
        return None if level is None else (level[0] * self._units[0], level[1] * self._units[1])

    def _depth(self) -> None:
        began_ns = time.monotonic_ns()
        try:
            book = self._view.snapshot()
        except NotSynced:
            return
        done_ns = time.monotonic_ns()
        if book.state is not BookState.LIVE:
            raise AssertionError(f"snapshot() returned a book that is {book.state.name}")
        bids, asks = ((side * np.array(self._units)).tobytes() for side in (book.bids, book.asks))
        # Everything that waits to be written was read before this.
        self.end_run()
        self._seen = None
        self._rows.add(
            DEPTH,
            self._number,
            *book.incarnation,
            book.sequence,
            (began_ns, done_ns),
            bids,
            asks,
            book.bids_complete,
            book.asks_complete,
        )

    def _trade(self) -> None:
        reader = self._view._serving()
        if reader is None:
            return
        incarnation, after = self._trades
        if reader.incarnation != incarnation:
            after = 0
        for trade in reader.trades(after):
            after = trade.number
            self._rows.add(
                TRADE,
                self._number,
                trade.trade_id,
                trade.price_raw * self._units[0],
                trade.size_raw * self._units[1],
                trade.side.value,
            )
        self._trades = (reader.incarnation, after)

    def end_run(self) -> None:
        seen, reads, self._reads = self._seen, self._reads, 0
        if seen is None or not reads:
            return
        if len(seen) == 1:
            self._rows.add(STATE, self._number, seen[0], self._first, self._last, reads)
        else:
            self._rows.add(LIVE, self._number, *seen, self._first, self._last, reads)


def main() -> None:
    asked = json.loads(sys.stdin.buffer.readline())
    os.nice(10)  # what it looks at has right of way
    rows = Rows(Path(asked["out"]))
    instruments = [Instrument.from_dict(plain) for plain in asked["instruments"]]
    directory, every_ns = Path(asked["segments"]), int(asked["depth_every_ms"] * 1e6)
    readers = [
        Reader(number, BookView(directory, found, f"book/{found.exchange}/{found.name}"), rows, every_ns)
        for number, found in enumerate(instruments)
    ]
    print(json.dumps({"ready": os.getpid()}), flush=True)
    seen = select.poll()
    seen.register(sys.stdin, select.POLLIN | select.POLLHUP)
    flush_ns = 0
    rounds = 0
    while True:
        for reader in readers:
            reader.read()
        rounds += 1
        if rounds % LOOK_EVERY == 0:
            now_ns = time.monotonic_ns()
            if now_ns >= flush_ns:
                flush_ns = now_ns + FLUSH_NS
                rows.flush()
            if seen.poll(0):
                if not os.read(sys.stdin.fileno(), 4096):
                    break
                print(json.dumps([reader.sequences for reader in readers]), flush=True)
        os.sched_yield()
    for reader in readers:
        reader.end_run()
    rows.close()


if __name__ == "__main__":
    main()
