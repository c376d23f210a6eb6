"""A list of instruments, row by row: an odd row is left out and named, and holds no other back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ..model.instrument import Instrument
from .reading import UNREADABLE


class LeftOut(NamedTuple):
    """A row that is not an instrument we can use. `symbol` is the exchange's, where the row names one."""

    symbol: str | None
    reason: str
    is_unreadable: bool = True


class Listing(list[Instrument]):
    """The instruments that an exchange lists, and the rows of its list that were left out."""

    def __init__(self, instruments: Iterable[Instrument] = (), left_out: Iterable[LeftOut] = ()) -> None:
        super().__init__(instruments)
        self.left_out = tuple(left_out)


def listing(
    rows: Iterable[Any], read: Callable[[Any], Instrument], symbol_of: Callable[[Any], Any] = lambda row: row["symbol"]
) -> Listing:
    """Read the rows of a list of instruments.

    Left out are rows that `read` cannot read, and of several rows with one base and quote asset all but one: a trading
    one before one that does not trade, else the first.

    Raises the error of the last odd row when there are rows and none can be read.
    """
    found: dict[str, Instrument] = {}
    left_out: list[LeftOut] = []
    wrong: Exception | None = None
    for row in rows:
        try:
            instrument = read(row)
        except UNREADABLE as error:
            wrong = error
            left_out.append(LeftOut(_symbol(row, symbol_of), f"cannot be read: {error!r}"))
            continue
        known = found.get(instrument.name)
        if known is None:
            found[instrument.name] = instrument
            continue
        if instrument.is_trading and not known.is_trading:
            found[instrument.name], instrument = instrument, known
        kept = found[instrument.name].symbol
        left_out.append(LeftOut(instrument.symbol, f"is a second {instrument.name}, beside {kept}", False))
    if wrong is not None and not found:
        raise wrong
    return Listing(found.values(), left_out)


def _symbol(row: Any, symbol_of: Callable[[Any], Any]) -> str | None:
    try:
        symbol = symbol_of(row)
    except UNREADABLE:
        return None
    return symbol if isinstance(symbol, str) else None
