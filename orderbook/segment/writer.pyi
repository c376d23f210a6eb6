from pathlib import Path

from ...model.events import BookState, Levels, PublicTrade
from ..l2 import OrderBook

class SegmentWriter:
    """The one writer of one book's shared-memory segment. Not thread safe, never blocks, never waits for a reader.

    The file `<directory>/<address with / as ~>@<epoch>.<counter>` is allocated in full before use, mode 0600, in a
    directory of mode 0700, and gets its name when its header is complete. The first state is CONNECTING.

    Raises on creation:
        Misconfigured: the directory is not private, the disk has no room for the file, or an argument is wrong.
        Fenced: this incarnation of the address has a segment already.
    Every method but `close` and `retire` raises Fenced once this writer or the node agent has retired the segment.
    """

    path: Path
    address: str
    incarnation: tuple[int, int]
    price_scale: int
    size_scale: int
    levels: int
    trades: int
    sequenced: bool
    exact: bool
    mirrored: bool  # whether this is a mirror's copy of a book of another node
    redundant: bool  # see `SegmentReader`, for this and the next two
    replica: bool  # the address is that of a replica; readers see the address of the book
    comparable: bool
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
        exact: bool = True,
        mirrored: bool = False,
        redundant: bool = False,
        comparable: bool = False,
    ) -> None: ...
    @property
    def published(self) -> int:
        """The number of publications: books, states and trades."""

    @property
    def state(self) -> BookState:
        """The last state published."""

    @property
    def reason(self) -> str:
        """The last reason given, as readers see it; empty when there is no reason."""

    def publish(
        self, book: OrderBook, state: BookState | int, ts_event_ns: int | None, ts_recv_ns: int, applied: int = 1
    ) -> None:
        """Publish the best proven levels of `book`, its sequence, the state and the times, as one; wake the waiters.

        `applied` counts the frames since the last publish.
        """

    def publish_levels(
        self,
        bids: Levels,
        asks: Levels,
        bids_complete: bool,
        asks_complete: bool,
        sequence: int,
        state: BookState | int,
        ts_event_ns: int | None,
        ts_recv_ns: int,
        applied: int = 1,
        reason: str | None = None,
    ) -> None:
        """Publish from int64 arrays of shape (n, 2), best first; every given level counts as proven. For mirrors.

        Raises:
            BookError: arrays of another shape. Nothing was published.
        """

    def set_state(self, state: BookState | int, reason: str | None = None) -> None:
        """Publish a state alone; reads that begin after the return see it.

        `reason` (at most 64 bytes) stays until the next reason; "" clears it.
        """

    def beat(self) -> int:
        """Set the heartbeat to now (CLOCK_MONOTONIC) without waking readers.

        Return the age of the previous heartbeat in ns: more than the limit means that readers considered this writer
        dead.
        """

    def trade(self, trade: PublicTrade, missed: int | None = 0) -> int:
        """Append to the trade ring (numbered 1, 2, ... within this incarnation) and wake. Return the trade's number.

        `missed` is the number of trades known to be lost just before this one; None if the number is unknown.
        """

    def retire(self) -> None:
        """Publish RETIRED for good: any later publish raises Fenced. Idempotent."""

    def close(self, unlink: bool = True) -> None:
        """Retire, remove the file (unless `unlink` is False), and unmap. Idempotent."""

    def _begin_publish(self) -> None:
        """For tests: begin a publish and never end it, like a writer that is killed during a publish."""
