from ..model.events import Levels
from .l2 import OrderBook

class FrameScanner:
    """What the byte scanners of deltas share; alone it recognises nothing. See `DeltaScanner` in market_codec.py."""

    first: int  # of the frame recognised last; 0 where the exchange numbers nothing
    last: int
    previous: int | None  # number of the delta before, where the exchange states it
    checksum: int | None  # of the book after the delta, where the exchange states it
    ts_event_ns: int  # the exchange's time, ns since the Unix epoch
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
