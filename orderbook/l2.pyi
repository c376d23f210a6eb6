from ..model.events import Levels, Side

def use_wide(on: bool | None = None) -> bool:
    """Choose AVX2 code for books and scanners, or portable code; return whether the choice is AVX2.

    None takes the default: AVX2 where the processor has it, unless the environment says VENUEMESH_PORTABLE=1.
    """

class OrderBook:
    """Price-aggregated (L2) book of one instrument.

    Units: price and size are int64 fixed-point, value x 10**scale of the instrument. Levels come out as int64 arrays of
    shape (n, 2): price, size; best first. An empty side has best price None. Every method either does all it says or
    raises and leaves the book as it was. Not thread safe: one writer, which holds the GIL.

    What is proven: a snapshot that is not complete proves a side only down to its own worst level. Levels that deltas
    add beyond are held, and are neither counted as proven nor given out by `depth` and `best_bid`/`best_ask`. A book
    that was never loaded proves nothing.

    A `window` is for an exchange that keeps its readers at the best `window` levels a side: levels that fall out are
    forgotten after every delta and every load, and all levels held are proven, down to the worst. A side that holds
    fewer after a delta is complete, for the exchange would have sent what moved in.

    Checksums of the best levels are in checksum.pyi.
    """

    price_scale: int
    size_scale: int
    sequence: int
    max_levels: int  # most that one side may hold; beyond it BookError
    window: int  # best levels a side that are kept; 0: all
    def __init__(
        self, price_scale: int, size_scale: int, capacity: int = 1024, max_levels: int = 1048576, window: int = 0
    ) -> None:
        """An empty book with room for `capacity` levels a side before it grows. Scales are 0 to 18, else ValueError."""

    @property
    def n_bids(self) -> int: ...
    @property
    def n_asks(self) -> int: ...
    @property
    def proven_bids(self) -> int: ...  # levels from the touch that the snapshot's depth proves
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
        """(price, size) raw, None when no bid is held. BeyondDepth when the best bid held is not a proven one."""

    @property
    def best_ask(self) -> tuple[int, int] | None: ...
    @property
    def memory_bytes(self) -> int: ...
    def clear(self) -> None:
        """Forget all levels, what was proven and the sequence."""

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
        change nothing. Zero removes; removing an absent level is not an error; of a price given twice the last size
        counts.
        Fastest when each side is best first. A book may be crossed after it: see `crossed`."""

    def size_at(self, side: Side, price: int) -> int:
        """The size at a price, 0 where there is no level. Raises BeyondDepth for a price that is not proven."""

    def levels(self, side: Side, n: int | None = None) -> Levels:
        """Best first; all of them (proven or not) when n is None, else at most n."""

    def depth(self, n: int) -> tuple[Levels, Levels]:
        """The best n bids and asks. A side that ends sooner and is complete gives fewer rows.

        Raises:
            BeyondDepth: n reaches past the proven levels of a side that is not complete.
        """
