"""The suite every connector passes. In a connector's own tests:

    from venuemesh.conformance import MarketDataConformance

    class TestAcme(MarketDataConformance):
        connector = CONNECTOR
        samples = SAMPLES

pytest runs it as it is; `venuemesh conformance EXCHANGE` runs the same checks from the command line.
"""

from __future__ import annotations

from ..connectors.samples import ErrorSample, MarketDataSamples, RefusalSample, TradeSample
from .market_data import MarketDataConformance
from .running import Outcome, Result, run_checks

__all__ = [
    "ErrorSample",
    "MarketDataConformance",
    "MarketDataSamples",
    "Outcome",
    "RefusalSample",
    "Result",
    "TradeSample",
    "run_checks",
]
