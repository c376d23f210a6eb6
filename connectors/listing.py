"""Reads a list of instruments row by row: an unreadable row is left out and named, and does not affect other rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..model.errors import DecodeError
from ..model.instrument import Instrument
from ..model.shown import is_name, shown
from .reading import LeftOut, each_row, text


class Listing(list[Instrument]):
    """The instruments that an exchange lists, and the rows of its list that were left out.

    `seconds` are the further symbols of listed pairs; their rows are left out, too.
    """

    def __init__(
        self,
        instruments: Iterable[Instrument] = (),
        left_out: Iterable[LeftOut] = (),
        seconds: Iterable[Instrument] = (),
    ) -> None:
        super().__init__(instruments)
        self._odd, self.seconds = tuple(left_out), tuple(seconds)
        kept = {instrument.name: instrument.symbol for instrument in self}
        self.left_out = (
            *self._odd,
            *(LeftOut(one.symbol, f"is a second {one.name}, besides {kept[one.name]}", False) for one in self.seconds),
        )

    def keeping(self, known: Mapping[str, Instrument]) -> Listing:
        """Return the list in which a pair with several symbols keeps its known one."""
        wanted = {one.name: one for one in self.seconds if one.name in known and one.symbol == known[one.name].symbol}
        if not wanted:
            return self
        seconds = [one for one in (*self, *self.seconds) if one.name in wanted and one is not wanted[one.name]]
        others = [one for one in self.seconds if one.name not in wanted]
        return Listing((wanted.get(one.name, one) for one in self), self._odd, [*seconds, *others])


def _symbol(row: Any) -> str:
    return text(row["symbol"])


def listing(
    rows: Iterable[Any], read: Callable[[Any], Instrument], symbol_of: Callable[[Any], str] = _symbol
) -> Listing:
    """Read the rows of a list of instruments.

    Rows that `read` cannot read are left out. So are rows without a base or quote asset, with a name that cannot be
    shown as it is, and with the symbol of another pair. Of several rows with the same base and quote asset one is kept:
    the first that trades, else the first. `symbol_of` finds the exchange's symbol in a row.

    Raises DecodeError: the list has rows, and none can be read.
    """
    pairs: dict[str, str] = {}  # by symbol: the pair that has it

    def judged(row: Any) -> Instrument:
        found = read(row)
        if not (found.base and found.quote and found.symbol):
            raise ValueError("the symbol, the base or the quote asset is empty")
        if not (is_name(found.base) and is_name(found.quote)) or shown(found.symbol) != found.symbol:
            raise ValueError("a name has a space, a slash, a control character or over 64 characters")
        if pairs.setdefault(found.symbol, found.name) != found.name:
            raise ValueError(f"{found.symbol} is the symbol of {pairs[found.symbol]}")
        return found

    read_rows, odd = each_row(rows, judged, symbol_of)
    if odd and not read_rows:
        raise DecodeError(f"none of {len(odd)} rows can be read; the last one {odd[-1].reason}", None)
    found: dict[str, Instrument] = {}
    seconds = []
    for instrument in read_rows:
        known = found.get(instrument.name)
        if known is None:
            found[instrument.name] = instrument
            continue
        if instrument.is_trading and not known.is_trading:
            found[instrument.name], instrument = instrument, known
        seconds.append(instrument)
    return Listing(found.values(), odd, seconds)
