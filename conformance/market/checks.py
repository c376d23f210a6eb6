"""The whole suite for market data."""

from __future__ import annotations

from .books import Books
from .candles import Candles
from .declared import Described
from .messages import Messages
from .proofs import Proofs


class MarketDataConformance(Messages, Candles, Proofs, Books, Described):
    """Subclass it with `connector` and `samples`; pytest collects every check.

    A connector whose exchange differs on purpose overrides the one check and says why there.
    """
