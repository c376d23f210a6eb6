"""The connector passes the suite that every connector passes."""

from venuemesh.conformance import MarketDataConformance
from venuemesh.connectors.okx import CONNECTOR


class TestOkx(MarketDataConformance):
    connector = CONNECTOR
    samples = CONNECTOR.samples()
