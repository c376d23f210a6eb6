from ...model.events import Levels
from ...orderbook.l2 import OrderBook

class DepthScanner:
    """Reads raw depth frames of the `depthUpdate` kind straight into fixed-point levels: no Python object per level.

    Keys may come in any order. All or nothing per frame: what the scanner does not recognise exactly (an unknown,
    missing or repeated key, whitespace, an escape, an exponent, a minus, a number that does not fit the scale or int64,
    a price of zero, U > u, trailing bytes, an unbound symbol, more than 64 MiB, ...) is NOT_RECOGNISED: no book
    changes, and there is nothing to apply. Accepts the bare event and the combined form {"stream":...,"data":{...}}.
    From a frame that the scanner recognises, the codec's JSON path reads exactly the same symbol, numbers and levels.

    Use: `scan`, decide by `first` and `last`, then `apply`.
    """

    first: int  # U of the frame recognised last
    last: int  # u
    previous: int | None  # always None: no frame names the number before `first`
    ts_event_ns: int  # E (milliseconds on the wire), as nanoseconds
    slot: int  # slot of the frame given last, or NOT_RECOGNISED
    def bind(self, symbol: str, book: OrderBook) -> int:
        """Give a symbol (1 to 64 bytes of UTF-8, else ValueError) its book, or another book. Return its slot, counted
        from 0."""

    def scan(self, frame: bytes | bytearray | memoryview) -> int:
        """Return the slot of the frame's symbol, or NOT_RECOGNISED."""

    def apply(self) -> None:
        """Apply the levels scanned last to the bound book and set its sequence to `last`; all or BookError (also when
        the frame given last was NOT_RECOGNISED)."""

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
