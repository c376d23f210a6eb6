"""An immutable copy of a book, with exact queries.

Sides: `Side.BUY` means "I would buy", so it walks the asks; `Side.SELL` walks the bids. Sums and products are Python
integers at the scales of the snapshot, never floats; only a quotient (`vwap`) may need rounding, to 34 significant
digits. A query that reaches beyond the stored levels raises `BeyondDepth`, unless the side is complete and the
answer does not depend on more levels. Numbers and sides are read as `model.arguments` states.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Context, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..model.arguments import read_question, read_side
from ..model.errors import BeyondDepth
from ..model.events import BookState, Levels, Side
from ..model.fixed import to_decimal
from ..model.frames import require_pandas
from .records import FLOAT64, Depth, Level, count_of, wants_float

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

Number = Decimal | int | str | float  # nothing is sent: a float means its shortest text

_DIVIDE = Context(prec=34)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BookSnapshot:
    """All levels of a segment at one moment: int64 arrays of shape (n, 2), price and size, best first, read-only.

    A side is complete when no level can exist beyond its levels. `state` is the book's state at the moment of the copy:
    when it is not LIVE, the levels are the last known ones and may be wrong.
    """

    address: str
    incarnation: tuple[int, int]
    state: BookState
    version: int
    sequence: int
    ts_event_ns: int | None
    ts_recv_ns: int | None
    price_scale: int
    size_scale: int
    bids: Levels
    asks: Levels
    bids_complete: bool
    asks_complete: bool

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, tuple(getattr(self, field.name) for field in fields(self))

    def __repr__(self) -> str:
        return (
            f"<BookSnapshot {self.address} {self.state.name} sequence {self.sequence}, "
            f"{len(self.bids)} bids, {len(self.asks)} asks>"
        )

    @property
    def best_bid(self) -> Level | None:
        """The best bid; None when there is none."""
        return self._best(Side.SELL)

    @property
    def best_ask(self) -> Level | None:
        """The best ask; None when there is none."""
        return self._best(Side.BUY)

    def levels(self, side: Side | str) -> list[Level]:
        """Return the levels that an order of `side` would take (BUY: the asks), best first, exact."""
        rows, _, _ = self._walk(side)
        return [Level(to_decimal(p, self.price_scale), to_decimal(s, self.size_scale)) for p, s in rows]

    def depth(self, n: int | None = None, dtype: npt.DTypeLike = FLOAT64) -> Depth:
        """Return the best `n` levels (None: all stored) as float64 values or int64 raw.

        Raises:
            BeyondDepth: `n` reaches past what is stored of a side that is not complete.
            ValueError, TypeError: `n` is below 1 or not a whole number, or `dtype` is another type.
        """
        as_float = wants_float(dtype)
        n = None if n is None else count_of(n)
        for side in (Side.SELL, Side.BUY):
            rows, complete, name = self._walk(side)
            if n is not None and n > len(rows) and not complete:
                raise BeyondDepth(self.address, name, n, len(rows))
        bids, asks = self.bids[:n], self.asks[:n]
        if not as_float:
            return Depth(bids, asks)
        import numpy as np

        unit = np.array([10.0**self.price_scale, 10.0**self.size_scale])
        return Depth(bids / unit, asks / unit)

    def size_at(self, side: Side | str, price: Number) -> Decimal:
        """Return the size at exactly `price` (BUY: of the asks); 0 if there is no level. Raises BeyondDepth."""
        at = self._scaled(price, self.price_scale)
        rows, complete, name = self._walk(side)
        for level, size in rows:
            if level == at:
                return to_decimal(size, self.size_scale)
        if not complete and (not rows or self._is_worse(side, at, rows[-1][0])):
            raise BeyondDepth(self.address, name, price, len(rows))
        return to_decimal(0, self.size_scale)

    def volume_for_price(self, side: Side | str, price: Number) -> Decimal:
        """Return the volume for a buyer who pays up to `price` (a seller: down to `price`). Raises BeyondDepth."""
        limit = self._scaled(price, self.price_scale)
        rows, complete, name = self._walk(side)
        if not complete and (not rows or self._is_worse(side, limit, rows[-1][0])):
            raise BeyondDepth(self.address, name, price, len(rows))
        return to_decimal(
            sum(size for level, size in rows if not self._is_worse(side, Fraction(level), limit)), self.size_scale
        )

    def price_for_volume(self, side: Side | str, volume: Number) -> Decimal:
        """Return the worst price that filling `volume` reaches. Raises BeyondDepth: too few levels are stored."""
        wanted = self._scaled(volume, self.size_scale, positive=True)
        rows, _, name = self._walk(side)
        filled = 0
        for price, size in rows:
            filled += size
            if filled >= wanted:
                return to_decimal(price, self.price_scale)
        raise BeyondDepth(self.address, name, volume, len(rows))

    def price_for_quote_volume(self, side: Side | str, quote: Number) -> Decimal:
        """Return the worst price that spending (SELL: earning) `quote` quote asset reaches. Raises BeyondDepth."""
        wanted = self._scaled(quote, self.price_scale + self.size_scale, positive=True)
        rows, _, name = self._walk(side)
        spent = 0
        for price, size in rows:
            spent += price * size
            if spent >= wanted:
                return to_decimal(price, self.price_scale)
        raise BeyondDepth(self.address, name, quote, len(rows))

    def vwap(self, side: Side | str, volume: Number) -> Decimal:
        """Return the average price, weighted by volume, at which `volume` would be filled. Raises BeyondDepth."""
        wanted = self._scaled(volume, self.size_scale, positive=True)
        rows, _, name = self._walk(side)
        remaining, paid = wanted, Fraction(0)
        for price, size in rows:
            taken = min(remaining, Fraction(size))
            paid += price * taken
            remaining -= taken
            if not remaining:
                average = paid / wanted / 10**self.price_scale
                return _DIVIDE.divide(Decimal(average.numerator), Decimal(average.denominator))
        raise BeyondDepth(self.address, name, volume, len(rows))

    def imbalance(self, levels: int = 5) -> float:
        """Return (bid size - ask size) / (bid size + ask size) over the best `levels` of each side: -1 to 1.

        0 when both are empty. Raises BeyondDepth, and ValueError for less than one level."""
        bids, asks = self.depth(count_of(levels), "int64")
        bid, ask = sum(bids[:, 1].tolist()), sum(asks[:, 1].tolist())
        return (bid - ask) / (bid + ask) if bid + ask else 0.0

    def to_pandas(self, exact: bool = False) -> pd.DataFrame:
        """Return a frame with columns side ("bid", "ask"), price and size, best first: floats, or Decimals if `exact`.

        Raises:
            Misconfigured: pandas is not installed (`pip install venuemesh[pandas]`).
        """
        require_pandas()
        import pandas as pd

        names = ["bid"] * len(self.bids) + ["ask"] * len(self.asks)
        if exact:
            rows = self.levels(Side.SELL) + self.levels(Side.BUY)
            return pd.DataFrame({"side": names, "price": [r.price for r in rows], "size": [r.size for r in rows]})
        import numpy as np

        both = np.concatenate(self.depth())
        return pd.DataFrame({"side": names, "price": both[:, 0], "size": both[:, 1]})

    def _best(self, side: Side | str) -> Level | None:
        rows, complete, name = self._walk(side)
        if rows:
            return Level(to_decimal(rows[0][0], self.price_scale), to_decimal(rows[0][1], self.size_scale))
        if not complete:
            raise BeyondDepth(self.address, name, 1, 0)
        return None

    def _walk(self, side: Side | str) -> tuple[list[list[int]], bool, str]:
        """Return the levels that an order of `side` takes, whether these are all, and the name of that book side."""
        if read_side(side) is Side.BUY:
            return self.asks.tolist(), self.asks_complete, "ask"
        return self.bids.tolist(), self.bids_complete, "bid"

    def _is_worse(self, side: Side | str, price: Fraction, than: Fraction | int) -> bool:
        """Return whether an order of `side` would take `price` after `than`."""
        return price > than if read_side(side) is Side.BUY else price < than

    def _scaled(self, value: Number, scale: int, positive: bool = False) -> Fraction:
        """Raises ValueError, TypeError."""
        number = read_question(value)
        if positive and number <= 0:
            raise ValueError(f"{value!r} is not a positive number")
        return Fraction(number) * Fraction(10**scale)


def _restored(*values: Any) -> BookSnapshot:
    """Return an unpickled snapshot, read-only like the original."""
    snapshot = BookSnapshot(*values)
    for levels in (snapshot.bids, snapshot.asks):
        levels.flags.writeable = False
    return snapshot
