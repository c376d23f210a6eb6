"""The checks that every connector passes. In a connector's own tests:

    from venuemesh.conformance import MarketDataConformance

    class TestAcme(MarketDataConformance):
        connector = CONNECTOR
        samples = SAMPLES

A connector that trades also subclasses `TradingConformance`, which needs an exchange to trade on. pytest runs both
suites; `venuemesh conformance EXCHANGE` runs the same checks from the command line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..connectors.samples import ErrorSample, MarketDataSamples, RefusalSample, TradeSample
from .market.checks import MarketDataConformance
from .runner import Outcome, Result, run_checks

if TYPE_CHECKING:
    from .trading.checks import TradingConformance
    from .trading.venue import Ledger, Venue

__all__ = [
    "ErrorSample",
    "Ledger",
    "MarketDataConformance",
    "MarketDataSamples",
    "Outcome",
    "RefusalSample",
    "Result",
    "TradeSample",
    "TradingConformance",
    "Venue",
    "run_checks",
]
_LATER = {
    "Ledger": "conformance.trading.venue",
    "TradingConformance": "conformance.trading.checks",
    "Venue": "conformance.trading.venue",
}


def __getattr__(name: str) -> Any:
    """Import the trading classes at first use: they import every role and the journal."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"..{_LATER[name]}", __name__), name)
