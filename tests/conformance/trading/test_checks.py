"""Connectors pass the trading suite, on the local exchange in a separate process."""

import pytest

from venuemesh.cli.local_venue import local_venue
from venuemesh.conformance import TradingConformance
from venuemesh.connectors.binance import CONNECTOR
from venuemesh.connectors.kraken import CONNECTOR as KRAKEN
from venuemesh.connectors.okx import CONNECTOR as OKX


class TestBinanceTrades(TradingConformance):
    connector = CONNECTOR

    @classmethod
    def venue(cls):
        return local_venue("binance")


class TestKrakenTrades(TradingConformance):
    connector = KRAKEN

    @classmethod
    def venue(cls):
        return local_venue("kraken")


class TestOkxTrades(TradingConformance):
    connector = OKX

    @classmethod
    def venue(cls):
        return local_venue("okx", orders="websocket")


@pytest.mark.soak
class TestOkxTradesByPolling(TradingConformance):
    """Orders go over REST here. Takes minutes, like the next class."""

    connector = OKX

    @classmethod
    def venue(cls):
        return local_venue("okx", stream="polling")


@pytest.mark.soak
class TestBinanceTradesByPolling(TradingConformance):
    """Takes minutes, because polling requests everything within the rate budget."""

    connector = CONNECTOR

    @classmethod
    def venue(cls):
        return local_venue("binance", stream="polling")
