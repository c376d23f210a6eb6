"""Binance's connectors pass the suite that every connector passes."""

from venuemesh.conformance import MarketDataConformance
from venuemesh.connectors.binance import BINANCE_US, CONNECTOR


class TestBinance(MarketDataConformance):
    connector = CONNECTOR
    samples = CONNECTOR.samples()


class TestBinanceUs(MarketDataConformance):
    connector = BINANCE_US
    samples = BINANCE_US.samples()
