from ..model.events import Levels
from .l2 import OrderBook

NOT_MINE: int  # -1: this frame is not exactly what the scanner knows; give it to the codec's JSON path
APPLIED: int  # 0: in the book
STALE: int  # 1: the book has it already; unchanged
GAP: int  # 2: frames are missing before it; unchanged, and its slot is disarmed
HELD: int  # 3: its slot is not armed; unchanged
CROSSED: int  # 4: in the book, which is crossed now

def use_wide(on: bool | None = None) -> bool:
    """Choose AVX2 code where the processor has it (the default), or portable code; return whether it is AVX2.

    None takes the default: wide, unless the environment says VENUEMESH_PORTABLE=1.
    """

class DepthScanner:
    """Reads raw depth frames of the `depthUpdate` kind straight into fixed-point levels: no Python object per level.

    Keys may come in any order. All or nothing per frame: what it does not recognise exactly (an unknown, missing or
    repeated key, whitespace, an escape, an exponent, a minus, a number that does not fit the scale or int64, a price of
    zero, U > u, trailing bytes, an unbound symbol, more than 64 MiB, ...) is NOT_MINE: no book changes, and there is
    nothing to apply. Accepts the bare event and the combined form {"stream":...,"data":{...}}. Where it does recognise
    a frame, the codec's JSON path reads exactly the same symbol, numbers and levels from it.

    Two ways to use it. `scan`, look at `first` and `last`, then `apply`. Or, for a slot that was armed, `feed`, which
    does all in one call by the rule of exchanges that number each change: STALE when `last` <= the book's sequence, GAP
    when `first` > sequence + 1, else applied (an overlap does no harm: sizes are absolute).
    """

    first: int  # U of the frame recognised last
    last: int  # u
    ts_event_ns: int  # E (milliseconds on the wire), as nanoseconds
    slot: int  # slot of the frame given last, or NOT_MINE
    def bind(self, symbol: str, book: OrderBook) -> int:
        """Give a symbol (1 to 64 bytes of UTF-8, else ValueError) its book, or another book. Return its slot, counted
        from 0 and not armed."""

    def arm(self, slot: int, on: bool = True) -> None:
        """Let `feed` apply to this slot's book, or not."""

    def scan(self, frame: bytes | bytearray | memoryview) -> int:
        """Return the slot of the frame's symbol, or NOT_MINE."""

    def apply(self) -> None:
        """Apply the levels scanned last to the bound book and set its sequence to `last`; all or BookError (also when
        the frame given last was NOT_MINE)."""

    def feed(self, frame: bytes | bytearray | memoryview) -> int:
        """Scan, classify and apply in one call. Returns APPLIED, STALE, GAP, HELD, CROSSED or NOT_MINE.

        Raises:
            BookError: the levels do not go into the book, which is unchanged (see `OrderBook.apply`).
        """

    def levels(self) -> tuple[Levels, Levels]:
        """Copies of the levels scanned last (bids, asks), in the frame's order. BookError when there are none."""

class SnapshotScanner:
    """Reads a REST depth body {"lastUpdateId":..,"bids":[[p,s],..],"asks":[..]} in bulk, by the same rules."""

    sequence: int
    def scan(self, body: bytes | bytearray | memoryview, price_scale: int, size_scale: int) -> bool:
        """Read a body; False when it is not exactly what is known (then the JSON path reads it)."""

    def levels(self) -> tuple[Levels, Levels]:
        """Copies of the levels scanned last (bids, asks), in the body's order. BookError when there are none."""

    def load(self, book: OrderBook, limit: int) -> None:
        """Load what was scanned last; a side with fewer than `limit` levels is complete. All or BookError."""
