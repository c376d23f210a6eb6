"""Bybit's connector passes the suite that every connector passes."""

from venuemesh.conformance import MarketDataConformance
from venuemesh.connectors.bybit import CONNECTOR


class TestBybit(MarketDataConformance):
    connector = CONNECTOR
    samples = CONNECTOR.samples()
