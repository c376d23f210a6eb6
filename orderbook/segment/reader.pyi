from pathlib import Path

from ...model.events import BookState
from ..records import Depth, Statistics, Trade
from ..snapshot import BookSnapshot
from .top import Top

class SegmentReader:
    """One segment, mapped read-only. Reads retry a bounded number of times, then raise NotSynced; they never spin.

    Holds no file descriptor; arrays it returns are copies. May be used by several threads. Does not pickle (BookView
    does).

    Raises on creation:
        SegmentMismatch: the file is no segment of this version, or is damaged.
        FileNotFoundError: there is none.
    """

    path: Path
    address: str
    incarnation: tuple[int, int]
    price_scale: int
    size_scale: int
    levels: int  # a side's capacity
    trade_slots: int
    heartbeat_limit_ns: int
    sequenced: bool
    exact: bool
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
        """Published so far: changes with every publish, every trade and the end."""

    @property
    def state(self) -> BookState:
        """The writer's; RETIRED when the segment has ended, DEAD when its heartbeat is older than its limit.

        Never raises for a publish that does not end: that is GAP until it is DEAD.
        """

    @property
    def alive(self) -> bool:
        """The heartbeat is within its limit and the segment has not ended."""

    @property
    def ended(self) -> bool:
        """Retired, by its writer or, after its death, by the node agent."""

    @property
    def heartbeat_age_ns(self) -> int: ...
    @property
    def unlinked(self) -> bool:
        """The file has lost its name, or the name is another file's. Asks the file system."""

    def top(self, stale_ok: bool = False) -> Top:
        """One consistent `Top`.

        Raises:
            NotSynced: the book is not LIVE (unless `stale_ok`), or no consistent copy could be read.
        """

    def depth(self, n: int | None = None, as_float: bool = False, stale_ok: bool = False) -> Depth:
        """The best `n` levels (None: all stored) of both sides: int64 raw, or float64 values.

        Raises:
            NotSynced: as `top`.
            BeyondDepth: more levels asked than are stored of a side that is not complete.
        """

    def snapshot(self, stale_ok: bool = False) -> BookSnapshot:
        """Everything stored, immutable. Raises as `top`."""

    def statistics(self) -> Statistics:
        """The writer's counters and reason, whatever the state."""

    @property
    def last_trade_number(self) -> int:
        """Number of the newest trade; 0 before the first."""

    def trades(self, after: int, limit: int = 1000, lost: int | None = None) -> list[Trade]:
        """Trades numbered above `after`, oldest first; each knows how many were lost just before it.

        Whatever the state of the book: a trade that happened stays true. `lost` is what the trade numbered `after`
        said was lost so far: needed only where the ring does not hold it any more; without it `missed` of the first
        may then be None.
        """

    def wait(self, after_version: int, timeout_s: float, alive: bool = True) -> int:
        """Block this thread until the version passes `after_version` or the segment's state differs from `alive`.

        Return the version now; it is still `after_version` if neither happened in time.
        """
