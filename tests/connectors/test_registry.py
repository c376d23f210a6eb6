"""Connectors are found by entry point."""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace

import pytest

from venuemesh.connectors import registry
from venuemesh.connectors.binance import CONNECTOR
from venuemesh.model.errors import Misconfigured, UnknownExchange


def test_binance_is_found_under_its_name():
    assert "binance" in registry.known()
    assert registry.connector("binance") is CONNECTOR


def test_an_unknown_exchange_names_those_that_are_known():
    with pytest.raises(UnknownExchange) as caught:
        registry.connector("binanse")
    assert caught.value.exchange == "binanse"
    assert "binance" in caught.value.known


@pytest.mark.parametrize("value", ["nowhere.at.all:CONNECTOR", "venuemesh.connectors.binance:NOTHING", "json:dumps"])
def test_what_is_no_connector_is_misconfigured(monkeypatch, value):
    entry = importlib.metadata.EntryPoint("acme", value, registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
    with pytest.raises(Misconfigured, match="acme"):
        registry.connector("acme")


def test_a_connector_that_two_have_lent_is_known_until_both_took_it_back():
    lent = replace(CONNECTOR, spec=replace(CONNECTOR.spec, exchange="acme"))
    registry.lend(lent)
    registry.lend(lent)
    registry.take_back(lent)
    assert registry.connector(lent.name) is lent
    registry.take_back(lent)
    assert lent.name not in registry.known()
    registry.take_back(lent)  # nothing is left to take back


def test_books_are_comparable_across_connections_where_rest_counts_with_the_same_numbers() -> None:
    feeds = {
        name: registry.connector(name).codec().spec.book
        for name in ("binance", "kraken", "okx", "bybit", "coinbase", "htx")
    }
    assert {name for name, feed in feeds.items() if feed.is_comparable} == {"binance"}
