"""The records of sampler and host, one msgpack array per row, readable up to the cut of a kill.

    sampler   live   [LIVE, book, epoch, counter, sequence, bid, ask, first, last, reads]
              other  [STATE, book, state, first, last, reads]
              depth  [DEPTH, book, epoch, counter, sequence, read, bids, asks, bids_complete, asks_complete]
              trade  [TRADE, book, trade_id, price, size, side]
    host      frame  [FRAME, began_ns, done_ns, raw, symbols of the connection it came over]
              snap   [SNAPSHOT, began_ns, done_ns, symbol, sequence]
              close  [CLOSED, began_ns, done_ns, symbol]
              start  [STARTED, ns]

Times are CLOCK_MONOTONIC in ns, the same in all processes of a machine. A read has two times, before and after it; a
frame's `done_ns` is after all its consequences. A row of LIVE or STATE represents `reads` equal answers in sequence;
`first` and `last` are their times. Levels are int64 rows (price, size) as raw bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack

NOTHING_PROVEN = (-1, -1)  # a best level that the reader was refused: no claim
LIVE, STATE, DEPTH, TRADE = 1, 2, 3, 4
FRAME, SNAPSHOT, CLOSED, STARTED = 11, 12, 13, 14


class Rows:
    """Append rows to a file; `flush` hands them to the operating system, so that killing the writer keeps them."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=1 << 16)
        self._pack = msgpack.Packer(autoreset=True).pack

    def add(self, *row: Any) -> None:
        self._file.write(self._pack(row))

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_rows(path: Path) -> Iterator[list[Any]]:
    """Yield every complete row of a file."""
    with path.open("rb") as file:
        yield from msgpack.Unpacker(file, max_buffer_size=1 << 30)
