"""The whole suite for market data."""

from __future__ import annotations

from .books import Books
from .candle_streams import CandleStreams
from .candles import Candles
from .declared import Described
from .messages import Messages
from .order_level import OrderLevel
from .proofs import Proofs


class MarketDataConformance(Messages, Candles, CandleStreams, Proofs, OrderLevel, Books, Described):
    """Subclass it with `connector` and `samples`; pytest collects every check.

    If an exchange differs on purpose, its connector's suite overrides that check and states the reason there.
    """
