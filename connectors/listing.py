"""Reads a list of instruments row by row: an unreadable row is left out and named, and does not affect other rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..model.errors import DecodeError
from ..model.instrument import Instrument
from .reading import LeftOut, each_row, text


class Listing(list[Instrument]):
    """The instruments that an exchange lists, and the rows of its list that were left out."""

    def __init__(self, instruments: Iterable[Instrument] = (), left_out: Iterable[LeftOut] = ()) -> None:
        super().__init__(instruments)
        self.left_out = tuple(left_out)


def _symbol(row: Any) -> str:
    return text(row["symbol"])


def listing(
    rows: Iterable[Any], read: Callable[[Any], Instrument], symbol_of: Callable[[Any], str] = _symbol
) -> Listing:
    """Read the rows of a list of instruments.

    Rows that `read` cannot read are left out. Of several rows with the same base and quote asset one is kept: the first
    that trades, else the first. `symbol_of` finds the exchange's symbol in a row.

    Raises DecodeError: the list has rows, and none can be read.
    """
    read_rows, odd = each_row(rows, read, symbol_of)
    if odd and not read_rows:
        raise DecodeError(f"none of {len(odd)} rows can be read; the last one {odd[-1].reason}", None)
    found: dict[str, Instrument] = {}
    left_out = list(odd)
    for instrument in read_rows:
        known = found.get(instrument.name)
        if known is None:
            found[instrument.name] = instrument
            continue
        if instrument.is_trading and not known.is_trading:
            found[instrument.name], instrument = instrument, known
        kept = found[instrument.name].symbol
        left_out.append(LeftOut(instrument.symbol, f"is a second {instrument.name}, besides {kept}", False))
    return Listing(found.values(), left_out)
