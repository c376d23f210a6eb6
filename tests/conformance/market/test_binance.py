"""Our own connector passes the suite that every connector passes."""

from venuemesh.conformance import MarketDataConformance
from venuemesh.connectors.binance import CONNECTOR


class TestBinance(MarketDataConformance):
    connector = CONNECTOR
    samples = CONNECTOR.samples()
