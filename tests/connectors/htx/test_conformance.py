"""The connector passes the suite that every connector passes."""

from venuemesh.conformance import MarketDataConformance
from venuemesh.connectors.htx import CONNECTOR


class TestHtx(MarketDataConformance):
    connector = CONNECTOR
    samples = CONNECTOR.samples()
