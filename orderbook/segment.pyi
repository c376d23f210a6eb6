from collections.abc import Sequence
from pathlib import Path

from ..model.events import BookState, Levels, PublicTrade
from .book import OrderBook

FORMAT_VERSION: int

class SegmentWriter:
    """The one writer of one book's shared-memory segment. Not thread safe, never blocks, never waits for a reader.

    The file `<directory>/<address with / as ~>@<epoch>.<counter>` is allocated in full before use, mode 0600, in a
    directory of mode 0700.
    """

    path: Path
    published: int  # how many versions were published
    def __init__(
        self,
        directory: Path,
        address: str,
        incarnation: tuple[int, int],
        price_scale: int,
        size_scale: int,
        levels: int = 200,
        trades: int = 1024,
        heartbeat_limit_ns: int = 250_000_000,
        sequenced: bool = True,
    ) -> None: ...
    def publish(self, book: OrderBook, state: BookState | int, ts_event_ns: int, ts_recv_ns: int) -> None:
        """One seqlock write: top levels, sequence, state, times, heartbeat; then wake whoever waits."""

    def publish_levels(
        self,
        bids: Levels,
        asks: Levels,
        bids_complete: bool,
        asks_complete: bool,
        sequence: int,
        state: BookState | int,
        ts_event_ns: int,
        ts_recv_ns: int,
    ) -> None:
        """The same from arrays (best first): what a mirror republishes."""

    def set_state(self, state: BookState | int) -> None:
        """Change the state alone, as one publish. Readers that read after it returned see it."""

    def beat(self) -> None:
        """Heartbeat: CLOCK_MONOTONIC now. Not a publish: it wakes nobody."""

    def trade(self, trade: PublicTrade) -> None:
        """Append to the trade ring (numbered 1, 2, ... within this incarnation), set the last trade, wake."""

    def retire(self) -> None:
        """Publish RETIRED, once and for all."""

    def close(self, unlink: bool = True) -> None: ...

class SegmentReader:
    """Maps a segment read-only. Reads retry a bounded number of times, then raise NotSynced; they never spin.

    Raises SegmentMismatch when the file is no segment of this version, FileNotFoundError when there is none.
    """

    path: Path
    address: str
    incarnation: tuple[int, int]
    price_scale: int
    size_scale: int
    version: int  # published so far: changes with every publish and every trade
    state: BookState  # the writer's, or DEAD when its heartbeat is older than its limit
    def __init__(self, path: Path) -> None: ...
    def close(self) -> None: ...

class Waiter:
    """One thread (futex_waitv) that waits for changes of all segments of this process and wakes asyncio loops.

    `await waiter.wait(reader, after_version, timeout_s)` returns the version; see segment.py docs. Falls back to short
    polling where the kernel has no futex_waitv, and on macOS.
    """
