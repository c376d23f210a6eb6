"""Reads HTX's sizes and levels: JSON numbers, also with an exponent, in messages that were read with `exact`.

Sizes have up to 17 significant digits, as double numbers do: one pair's sizes do not all fit an int64 with one scale.
A size that has more decimals than the scale of its pair is rounded to the nearest unit, and never to zero
(docs/adr/0017-sizes-of-doubles.md). Prices are exact.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import numpy as np

from ...model.errors import DecodeError
from ...model.events import Levels
from ...model.fixed import to_raw
from ...model.instrument import Instrument
from ..reading import EXACT, EXCERPT, exponent_number, rows


def size_raw(instrument: Instrument, value: Any) -> int:
    """Return a size at the pair's scale, rounded to the nearest unit; a size above zero is at least one unit."""
    exact = Decimal(exponent_number(value)).scaleb(instrument.size_scale, EXACT)
    rounded = exact.quantize(Decimal(1), ROUND_HALF_UP, EXACT)
    return to_raw(rounded, 0) or int(exact > 0)


def levels(instrument: Instrument, value: Any) -> Levels:
    """Read a list of [price, size]."""
    read = rows(value)
    array = np.empty((len(read), 2), dtype=np.int64)
    for at, row in enumerate(read):
        if not isinstance(row, list) or len(row) != 2:
            raise DecodeError(f"{row!r:.{EXCERPT}} is not a level", None)
        array[at, 0] = instrument.price_raw(exponent_number(row[0]))
        array[at, 1] = size_raw(instrument, row[1])
    return array
