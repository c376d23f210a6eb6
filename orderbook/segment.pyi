from decimal import Decimal
from pathlib import Path
from typing import Literal

from ..model.events import BookState, Levels, PublicTrade
from .book import OrderBook
from .records import Depth, Level, Statistics, Trade
from .snapshot import BookSnapshot

FORMAT_VERSION: int

def monotonic_ns() -> int:
    """CLOCK_MONOTONIC, the clock of heartbeats, in nanoseconds."""

def process_start(pid: int) -> int:
    """When process `pid` started, in clock ticks since boot; 0 when it is dead, a zombie too, or nobody can know."""

def mark_ended(path: Path) -> None:
    """Mark a segment RETIRED and wake its readers. Only for one whose writer is surely dead (`place.mark_retired`)."""

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

    def publish(
        self, book: OrderBook, state: BookState | int, ts_event_ns: int | None, ts_recv_ns: int, applied: int = 1
    ) -> None:
        """One seqlock write: best proven levels, sequence, state, times, heartbeat; then wake whoever waits.

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
    ) -> None:
        """The same from arrays (best first), all of them proven: what mirrors republish. BookError: a wrong shape."""

    def set_state(self, state: BookState | int, reason: str | None = None) -> None:
        """Change the state alone, as one publish. Readers that read after it returned see it.

        `reason` (at most 64 bytes) stays until another is given; "" clears it.
        """

    def beat(self) -> int:
        """Heartbeat: CLOCK_MONOTONIC now. Not a publish: it wakes nobody.

        Return how long the heartbeat before had lasted, in ns: above the limit, readers took this writer for dead.
        """

    def trade(self, trade: PublicTrade) -> int:
        """Append to the trade ring (numbered 1, 2, ... within this incarnation), wake; return its number."""

    def retire(self) -> None:
        """Publish RETIRED, once and for all. Idempotent."""

    def close(self, unlink: bool = True) -> None:
        """Retire, remove the file unless told otherwise, unmap. Idempotent."""

    def _begin_publish(self) -> None:
        """For tests: enter a publish and never leave it."""

class Top:
    """Best bid and ask of one moment, with what was known of the book then. Raw integers; Decimals are made when asked.

    `version` is what to wait after. `update` counts publishes of book or state (not trades): two tops of one
    incarnation with the same `update` say the same, but for a heartbeat. Pickles.
    """

    address: str
    incarnation: tuple[int, int]
    version: int
    update: int
    sequence: int
    price_scale: int
    size_scale: int
    sequence_known: bool  # False before the first publish of a book
    @property
    def live(self) -> bool: ...
    @property
    def state(self) -> BookState: ...
    @property
    def ts_event_ns(self) -> int | None:
        """The exchange's time of the last frame; None where it gives none."""

    @property
    def ts_recv_ns(self) -> int | None:
        """Our wall-clock time of the last frame; None before the first."""

    @property
    def publish_ns(self) -> int | None:
        """CLOCK_MONOTONIC of the last publish of the book on this node; None before the first."""

    @property
    def bid_raw(self) -> tuple[int, int] | None:
        """(price, size) of the best bid; None when there is none. Raises BeyondDepth when nothing is proven."""

    @property
    def ask_raw(self) -> tuple[int, int] | None: ...
    @property
    def best_bid(self) -> Level | None: ...
    @property
    def best_ask(self) -> Level | None: ...
    @property
    def mid(self) -> Decimal | None:
        """Half of best bid plus best ask, exact; None when a side is empty."""

    @property
    def spread(self) -> Decimal | None: ...

def empty_top(
    address: str,
    price_scale: int,
    size_scale: int,
    state: BookState = BookState.ABSENT,
    incarnation: tuple[int, int] = (0, 0),
) -> Top:
    """A top that knows nothing but the state: of a book without a segment, or without a consistent copy."""

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
        """Let go of the mapping; every later read raises NotSynced. Idempotent."""

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
            NotSynced: the book is not LIVE (unless `stale_ok`), or no consistent copy can be had.
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

    def trades(self, after: int, limit: int = 1000) -> list[Trade]:
        """Trades numbered above `after`, oldest first; the first knows how many the ring had already lost.

        Whatever the state of the book: a trade that happened stays true.
        """

    def wait(self, after_version: int, timeout_s: float, alive: bool = True) -> int:
        """Block this thread until the version passes `after_version` or `alive` is no longer what it was said to be.

        Return the version now; it is `after_version` still when neither happened in time.
        """

class WaitSet:
    """Up to 127 segments that one thread waits for at once. `waiter.Waiter` owns and explains it."""

    ROOM: Literal[127]
    def __init__(self, poll: bool | None = None) -> None: ...
    def __len__(self) -> int: ...
    @property
    def polling(self) -> bool: ...
    def add(self, reader: SegmentReader) -> int: ...
    def remove(self, slot: int) -> None: ...
    def call(self) -> None: ...
    def control(self) -> int: ...
    def look(self) -> list[tuple[int, int, bool]]: ...
    def wait(self, control: int, timeout_s: float) -> None: ...
