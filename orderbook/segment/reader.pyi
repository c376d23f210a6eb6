from pathlib import Path

from ...model.events import BookState
from ..records import Content, Depth, Statistics, Trade
from ..snapshot import BookSnapshot
from .top import Top

class SegmentReader:
    """One segment, mapped read-only. A read tries a bounded number of times, then raises NotSynced; it never spins.

    A reader holds no file descriptor; returned arrays are copies. Several threads may use it. It does not pickle
    (BookView does).

    Raises on creation:
        SegmentMismatch: the file is not a segment of this version, or is damaged.
        FileNotFoundError: there is no such file.
    """

    path: Path
    address: str
    incarnation: tuple[int, int]
    price_scale: int
    size_scale: int
    levels: int  # capacity of each side
    trade_slots: int
    heartbeat_limit_ns: int
    sequenced: bool
    exact: bool
    mirrored: bool  # the writer is a mirror, which copies a book of another node
    redundant: bool  # two actors keep this book: the other one has a segment, too
    replica: bool  # of a redundant book: this is the second actor's
    comparable: bool  # the sequence numbers are the exchange's, the same on all connections
    writer_pid: int
    writer_start: int
    def __init__(self, path: Path) -> None: ...
    def close(self) -> None:
        """Release the mapping; every later read raises NotSynced. Idempotent."""

    @property
    def identity(self) -> tuple[int, int]:
        """(device, inode) of the file: no other file has it while this reader is open."""

    @property
    def closed(self) -> bool: ...
    @property
    def version(self) -> int:
        """The number of publications: it changes with every publish, trade and end."""

    @property
    def state(self) -> BookState:
        """The writer's state; RETIRED when the segment has ended, DEAD when the heartbeat is too old.

        A publish that does not end raises nothing: the state is GAP, and later DEAD.
        """

    @property
    def alive(self) -> bool:
        """Whether the writer's heartbeat is within its limit and the segment has not ended."""

    @property
    def ended(self) -> bool:
        """Whether the segment was retired, by its writer or, after its death, by the node agent."""

    @property
    def heartbeat_age_ns(self) -> int: ...
    @property
    def unlinked(self) -> bool:
        """Whether the file's name is gone or belongs to another file. Asks the file system."""

    def top(self, stale_ok: bool = False) -> Top:
        """Return one consistent `Top`.

        Raises:
            NotSynced: the book is not LIVE (unless `stale_ok`), or no consistent copy could be read.
        """

    def depth(self, n: int | None = None, as_float: bool = False, stale_ok: bool = False) -> Depth:
        """Return `Depth(bids, asks)`, best first: int64 raw, or float64 values. `n` None means all stored levels.

        Raises:
            NotSynced: the book is not LIVE (unless `stale_ok`), or no consistent copy could be read.
            BeyondDepth: `n` is more than the stored levels of a side that is not complete.
        """

    def snapshot(self, stale_ok: bool = False) -> BookSnapshot:
        """Return all stored levels as one immutable `BookSnapshot`. Raises as `top`."""

    def content(self) -> Content:
        """Return all that the writer published last, in any state; does not judge whether the writer lives.

        Raises:
            NotSynced: no consistent copy could be read.
        """

    def statistics(self) -> Statistics:
        """Return the writer's counters and reason, in any state."""

    @property
    def last_trade_number(self) -> int:
        """Number of the newest trade; 0 before the first."""

    def trades(self, after: int, limit: int = 1000, lost: int | None = None) -> list[Trade]:
        """Return the trades numbered above `after`, oldest first, each with the number of trades lost just before it.

        The book may be in any state: a trade that happened stays true. `lost` is the field `lost` of the trade numbered
        `after`. It is needed only if the ring no longer holds that trade; without it `missed` of the first trade may
        then be None.
        """

    def wait(self, after_version: int, timeout_s: float, alive: bool = True) -> int:
        """Block this thread until the version passes `after_version` or the segment's state differs from `alive`.

        Return the version now; it is still `after_version` if neither happened in time.
        """

def ahead(current: SegmentReader, other: SegmentReader) -> SegmentReader | None:
    """Return the one of two segments of the same book to read now; None: neither book is LIVE.

    It is the current one, unless that is not LIVE, or the other one has a higher sequence number (`comparable`).
    """
