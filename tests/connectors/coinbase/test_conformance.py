"""The connector passes the suite that every connector passes."""

from venuemesh.conformance import MarketDataConformance
from venuemesh.connectors.coinbase import CONNECTOR


class TestCoinbase(MarketDataConformance):
    connector = CONNECTOR
    samples = CONNECTOR.samples()
