from ...model.events import Levels
from ...orderbook.frame import FrameScanner
from ...orderbook.l2 import OrderBook

class DepthScanner(FrameScanner):
    """Reads raw depth frames of the kind `depthUpdate` directly into fixed-point levels: no Python object per level.

    Keys may come in any order. All or nothing per frame: any deviation (an unknown, missing or repeated key,
    whitespace, an escape, an exponent, a minus, a number that does not fit the scale or int64, a price of zero, U > u,
    trailing bytes, an unbound symbol, more than 64 MiB, ...) makes the frame NOT_RECOGNISED: no book changes, and there
    is nothing to apply. Accepts the bare event and the combined form {"stream":...,"data":{...}}. The codec's JSON path
    reads exactly the same symbol, numbers and levels from a recognised frame.

    Use: `scan`, decide by `first` (U) and `last` (u), then `apply`. `previous` and `checksum` are always None: no frame
    has them.
    """

class SnapshotScanner:
    """Reads a REST depth body {"lastUpdateId":..,"bids":[[p,s],..],"asks":[..]} in bulk, with the same rules."""

    sequence: int
    def scan(self, body: bytes | bytearray | memoryview, price_scale: int, size_scale: int) -> bool:
        """Read a body. Return False for a body of any other form, which the JSON path must read."""

    def levels(self) -> tuple[Levels, Levels]:
        """Return copies of the last levels scanned (bids, asks), in the body's order. BookError when there are none."""

    def load(self, book: OrderBook, limit: int) -> None:
        """Load the last levels scanned, or raise BookError; a side with fewer than `limit` levels is complete."""
