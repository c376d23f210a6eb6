from pathlib import Path

from ...model.events import BookState, Levels, PublicTrade
from ..l2 import OrderBook

class SegmentWriter:
    """The one writer of one book's shared-memory segment. Not thread safe, never blocks, never waits for a reader.

    The file `<directory>/<address with / as ~>@<epoch>.<counter>` is allocated in full before use, mode 0600, in a
    directory of mode 0700, and gets its name when its header is complete. The state is CONNECTING until told.

    Raises on creation:
        Misconfigured: the directory is not private, there is no room for the whole file, or a bad argument.
        Fenced: this incarnation of the address has a segment already.
    Every method but `close` and `retire` raises Fenced once the segment has ended, here or by the node agent.
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
    ) -> None: ...
    @property
    def published(self) -> int:
        """How many versions were published: books, states and trades."""

    @property
    def state(self) -> BookState:
        """The state published last."""

    @property
    def reason(self) -> str:
        """The reason given last, as readers see it; empty when there is none."""

    def publish(
        self, book: OrderBook, state: BookState | int, ts_event_ns: int | None, ts_recv_ns: int, applied: int = 1
    ) -> None:
        """One seqlock write: best proven levels, sequence, state, times, heartbeat; then wake the waiters.

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
        """The same from arrays (best first), all of them proven: what mirrors republish. `reason` as in `set_state`.

        Raises:
            BookError: arrays of another shape. Nothing was published.
        """

    def set_state(self, state: BookState | int, reason: str | None = None) -> None:
        """Change the state alone, as one publish. Readers that read after it returned see it.

        `reason` (at most 64 bytes) stays until another is given; "" clears it.
        """

    def beat(self) -> int:
        """Heartbeat: CLOCK_MONOTONIC now. Not a publish: it wakes nobody.

        Return how long the heartbeat before had lasted, in ns: above the limit, readers took this writer for dead.
        """

    def trade(self, trade: PublicTrade, missed: int | None = 0) -> int:
        """Append to the trade ring (numbered 1, 2, ... within this incarnation), wake; return its number.

        `missed` says how many trades are known to be lost just before this one; None where nobody can know.
        """

    def retire(self) -> None:
        """Publish RETIRED, once and for all. Idempotent."""

    def close(self, unlink: bool = True) -> None:
        """Retire, remove the file unless told otherwise, unmap. Idempotent."""

    def _begin_publish(self) -> None:
        """For tests: enter a publish and never leave it."""
