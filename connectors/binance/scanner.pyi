from ...model.events import Levels
from ...orderbook.l2 import OrderBook

class DepthScanner:
    """Reads raw depth frames of the kind `depthUpdate` directly into fixed-point levels: no Python object per level.

    Keys may come in any order. All or nothing per frame: any deviation (an unknown, missing or repeated key,
    whitespace, an escape, an exponent, a minus, a number that does not fit the scale or int64, a price of zero, U > u,
    trailing bytes, an unbound symbol, more than 64 MiB, ...) makes the frame NOT_RECOGNISED: no book changes, and there
    is nothing to apply. Accepts the bare event and the combined form {"stream":...,"data":{...}}. The codec's JSON path
    reads exactly the same symbol, numbers and levels from a recognised frame.

    Use: `scan`, decide by `first` and `last`, then `apply`.
    """

    first: int  # U of the last recognised frame
    last: int  # u
    previous: int | None  # always None: no frame names the number before `first`
    checksum: int | None  # always None
    ts_event_ns: int  # E (milliseconds on the wire), as nanoseconds
    slot: int  # slot of the last given frame, or NOT_RECOGNISED
    def bind(self, symbol: str, book: OrderBook) -> int:
        """Set the book of a symbol (1 to 64 bytes of UTF-8, else ValueError). Return the symbol's slot, counted from
        0."""

    def scan(self, frame: bytes | bytearray | memoryview) -> int:
        """Return the slot of the frame's symbol, or NOT_RECOGNISED."""

    def apply(self) -> None:
        """Apply the last scanned levels (all or none) to the bound book; its sequence becomes `last`. Raises BookError,
        also when the last given frame was NOT_RECOGNISED."""

    def levels(self) -> tuple[Levels, Levels]:
        """Return copies of the last scanned levels (bids, asks), in the frame's order. Raises BookError: no levels."""

class SnapshotScanner:
    """Reads a REST depth body {"lastUpdateId":..,"bids":[[p,s],..],"asks":[..]} in bulk, by the same rules."""

    sequence: int
    def scan(self, body: bytes | bytearray | memoryview, price_scale: int, size_scale: int) -> bool:
        """Read a body. Return False for a body of any other form: then the JSON path reads it."""

    def levels(self) -> tuple[Levels, Levels]:
        """Copies of the levels scanned last (bids, asks), in the body's order. BookError when there are none."""

    def load(self, book: OrderBook, limit: int) -> None:
        """Load what was scanned last; a side with fewer than `limit` levels is complete. All or BookError."""
