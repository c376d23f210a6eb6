from decimal import Decimal

from ...model.events import BookState
from ..records import Level

class Top:
    """Best bid and ask of one moment, with the book's state then. Raw integers; Decimals are made on request.

    Pass `version` to a wait for the next change. `update` counts publishes of book or state (not trades), so two tops
    of the same incarnation and `replica` with the same `update` are equal. `live` alone answers whether the top may be
    trusted. Pickles.
    """

    address: str
    incarnation: tuple[int, int]
    version: int
    update: int
    sequence: int
    price_scale: int
    size_scale: int
    sequence_known: bool  # False before the first publish of a book
    replica: bool  # of a redundant book: the second actor wrote it
    @property
    def live(self) -> bool: ...
    @property
    def state(self) -> BookState: ...
    @property
    def ts_event_ns(self) -> int | None:
        """The exchange's time of the last frame; None if it states no time."""

    @property
    def ts_recv_ns(self) -> int | None:
        """Our wall-clock time of the last frame; None before the first."""

    @property
    def publish_ns(self) -> int | None:
        """CLOCK_MONOTONIC of the last publish of the book on this node; None before the first."""

    @property
    def bid_raw(self) -> tuple[int, int] | None:
        """(price, size) of the best bid; None when there is no bid. Raises BeyondDepth when nothing is proven."""

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
    """Return a top with the state only: for a book without a segment, or without a consistent copy."""
