from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from ..model.events import Levels, Side

class OrderBook:
    """Price-aggregated (L2) book of one instrument.

    Units: price and size are int64 fixed-point, value x 10**scale of the instrument. Levels come out as int64 arrays of
    shape (n, 2): price, size; best first. An empty side has best price None. Every method either does all it says or
    raises and leaves the book as it was.
    """

    price_scale: int
    size_scale: int
    sequence: int
    def __init__(self, price_scale: int, size_scale: int, capacity: int = 1024) -> None: ...
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
    def best_bid(self) -> tuple[int, int] | None: ...  # (price, size) raw
    @property
    def best_ask(self) -> tuple[int, int] | None: ...
    @property
    def memory_bytes(self) -> int: ...
    def clear(self) -> None: ...
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
        """Set absolute sizes (0 removes; removing an absent level is no error), or raise BookError (negative size,
        price <= 0) and change nothing. A book may be crossed after it: see `crossed`."""

    def size_at(self, side: Side, price: int) -> int: ...
    def levels(self, side: Side, n: int | None = None) -> Levels:
        """Best first; all of them (proven or not) when n is None, else at most n."""

    def depth(self, n: int) -> tuple[Levels, Levels]:
        """The best n of both sides. A side that ends sooner and is complete gives fewer rows.

        Raises:
            BeyondDepth: n reaches past the proven levels of a side that is not complete.
        """

    def checksum(self, text: bytes) -> int: ...  # CRC-32 of text an exchange's rule made of the levels; see docs
