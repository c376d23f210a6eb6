from ..model.events import Levels
from .l2 import OrderBook

class FrameScanner:
    """The shared part of byte scanners; alone it recognises nothing. See `Scanner` in market_codec.py."""

    first: int  # of the last frame recognised; 0 where the exchange numbers nothing
    last: int
    depth: int  # 0: the frame is a delta; otherwise it is a whole book of at most so many levels a side
    previous: int | None  # number of the delta before, where the exchange states it
    checksum: int | None  # of the book after the frame, where the exchange states it
    ts_event_ns: int | None  # the exchange's time, ns since the Unix epoch, where the exchange states it
    is_proven: bool | None  # after `apply`: whether the book has this checksum; None: the scanner does not compute it
    slot: int  # slot of the last frame given, or NOT_RECOGNISED
    def bind(self, symbol: str, book: OrderBook) -> int:
        """Bind a symbol (1 to 64 bytes of UTF-8, else ValueError) to its book, or to another book. Return the symbol's
        slot, counted from 0."""

    def scan(self, frame: bytes | bytearray | memoryview) -> int:
        """Return the slot of the frame's symbol, or NOT_RECOGNISED."""

    def apply(self) -> None:
        """Apply the last scanned delta to the bound book, or load the last scanned book into the bound book; the
        sequence becomes `last`. BookError: nothing changed (also when the last frame was NOT_RECOGNISED)."""

    def levels(self) -> tuple[Levels, Levels]:
        """Return copies of the last levels scanned (bids, asks), in the frame's order. BookError when there are
        none."""
