from ..model.events import Levels
from .book import OrderBook

NOT_MINE: int  # -1: this frame is not exactly what the scanner knows; give it to the codec's JSON path

class DepthScanner:
    """Reads raw depth frames of the `depthUpdate` kind straight into fixed-point levels: no Python object per level.

    Order-free in the keys, all or nothing per frame: what it does not recognise exactly (an unknown key shape, an escape,
    an exponent, a number that does not fit the scale, trailing bytes, an unbound symbol, ...) is NOT_MINE and changes
    nothing. Accepts the bare event and the combined form {"stream":...,"data":{...}}. Where it does recognise a frame,
    the codec's JSON path reads exactly the same symbol, numbers and levels from it.
    """

    first: int  # U of the frame scanned last
    last: int  # u
    ts_event_ns: int  # E, as nanoseconds
    def bind(self, symbol: str, book: OrderBook) -> int:
        """Give a symbol its book; return its slot (0, 1, ...)."""

    def scan(self, frame: bytes | bytearray | memoryview) -> int:
        """Return the slot of the frame's symbol, or NOT_MINE."""

    def apply(self) -> None:
        """Apply the levels scanned last to the bound book and set its sequence to `last`; all or BookError."""

    def levels(self) -> tuple[Levels, Levels]:
        """Copies of the levels scanned last (bids, asks), in the frame's order."""

class SnapshotScanner:
    """Reads a REST depth body {"lastUpdateId":..,"bids":[[p,s],..],"asks":[..]} in bulk."""

    sequence: int
    def scan(self, body: bytes, price_scale: int, size_scale: int) -> bool: ...
    def levels(self) -> tuple[Levels, Levels]: ...
    def load(self, book: OrderBook, limit: int) -> None:
        """Load what was scanned last; a side with fewer than `limit` levels is complete."""
