from ..model.events import Levels, Side

def use_wide(on: bool | None = None) -> bool:
    """Choose AVX2 code for books and scanners, or portable code; return whether the choice is AVX2.

    None takes the default: AVX2 where the processor has it, unless the environment says VENUEMESH_PORTABLE=1.
    """

class OrderBook:
    """Price-aggregated (L2) book of one instrument.

    Units: price and size are int64 fixed-point, value x 10**scale of the instrument. Levels come out as int64 arrays of
    shape (n, 2): price, size; best first. An empty side has best price None. Every method either succeeds in full or
    raises and leaves the book unchanged. Not thread safe: one writer, which holds the GIL.

    Proven levels: a snapshot that is not complete proves a side only down to its own worst level. The book holds levels
    that deltas add beyond that level, but does not count them as proven, and `depth` and `best_bid`/`best_ask` do not
    return them. A book that was never loaded has no proven level.

    A `window` is for an exchange that keeps its readers at the best `window` levels a side: levels that fall out are
    forgotten after every delta and every load, and all levels held are proven, down to the worst. A side that holds
    fewer levels after a delta is complete, because the exchange would have sent the levels that moved in.

    Checksums of the best levels are in checksum.pyi.
    """

    price_scale: int
    size_scale: int
    sequence: int
    max_levels: int  # largest number of levels of a side; one more is a BookError
    window: int  # number of best levels kept on each side; 0: all
    def __init__(
        self, price_scale: int, size_scale: int, capacity: int = 1024, max_levels: int = 1048576, window: int = 0
    ) -> None:
        """Make an empty book with room for `capacity` levels a side before it grows. Scales are 0 to 18, else
        ValueError."""

    @property
    def n_bids(self) -> int: ...
    @property
    def n_asks(self) -> int: ...
    @property
    def proven_bids(self) -> int: ...  # number of levels from the touch that are proven
    @property
    def proven_asks(self) -> int: ...
    @property
    def bids_complete(self) -> bool: ...  # no level can exist beyond those held
    @property
    def asks_complete(self) -> bool: ...
    @property
    def crossed(self) -> bool: ...  # best bid >= best ask
    @property
    def best_bid(self) -> tuple[int, int] | None:
        """(price, size) raw; None when no bid is held. Raises BeyondDepth when the best bid held is not proven."""

    @property
    def best_ask(self) -> tuple[int, int] | None: ...
    @property
    def memory_bytes(self) -> int: ...
    def clear(self) -> None:
        """Forget all levels, the proven depth and the sequence."""

    def load(
        self,
        bids: Levels,
        asks: Levels,
        sequence: int,
        bids_complete: bool = False,
        asks_complete: bool = False,
    ) -> None:
        """Replace the book by a snapshot (best first, strictly ordered, sizes > 0, not crossed) or raise BookError."""

    def apply(self, bids: Levels, asks: Levels, sequence: int) -> None:
        """Set absolute sizes, or raise BookError (negative size, price <= 0, a side that would exceed `max_levels`) and
        change nothing. A size of zero removes the level; removing an absent level is not an error; if a price is given
        twice, its last size counts. Fastest when each side is best first. The book may be crossed afterwards: see
        `crossed`."""

    def size_at(self, side: Side, price: int) -> int:
        """Return the size at a price, 0 where there is no level. Raises BeyondDepth for a price that is not proven."""

    def levels(self, side: Side, n: int | None = None) -> Levels:
        """Return a side's levels, best first: all (proven or not) when n is None, else at most n."""

    def depth(self, n: int) -> tuple[Levels, Levels]:
        """Return the best n bids and asks. A complete side with fewer levels gives fewer rows.

        Raises:
            BeyondDepth: n reaches past the proven levels of a side that is not complete.
        """
