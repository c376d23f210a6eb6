"""Order-level books of Coinbase Exchange in a whole mesh against the local exchange."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.fakes.local_books import SHARED, seen, undisturbed, until
from venuemesh.model.errors import ConfigError
from venuemesh.model.events import BookState
from venuemesh.testing import LocalExchange, LocalMesh, local_exchange

PAIR, BOOK = "BTC-USDT", "book/coinbase/BTC-USDT"


@pytest.fixture(scope="module")
def exchange() -> Iterator[LocalExchange]:
    with local_exchange([PAIR, "ETH-BTC"], protocol="coinbase") as running:
        yield running


def config(exchange: LocalExchange, **table: Any) -> dict[str, Any]:
    made = exchange.config()
    made["exchanges"]["coinbase"] |= {"books": "orders", **table}
    return made


@pytest.fixture(scope="module")
def mesh(exchange: LocalExchange) -> Iterator[LocalMesh]:
    with LocalMesh(config(exchange)) as running:
        yield running
        assert not running.failures


@pytest.fixture(autouse=True)
def live(exchange: LocalExchange, mesh: LocalMesh) -> Iterator[None]:
    with undisturbed(exchange, mesh):
        yield


def agree(exchange: LocalExchange, mesh: LocalMesh) -> None:
    """Wait until levels and orders of the mesh are those of the exchange at rest."""
    market = mesh.market("coinbase")
    exchange.admin.pause(wait_s=5)
    truth = exchange.admin.book("BTCUSDT")
    wanted = {name: [[Decimal(p), Decimal(s)] for p, s in truth[name][:SHARED]] for name in ("bids", "asks")}

    def found() -> dict[str, Any]:
        book = market.order_book(PAIR).snapshot()
        return {"bids": [[*row] for row in book.levels("sell")], "asks": [[*row] for row in book.levels("buy")]}

    until(lambda: market.order_book(PAIR).is_live and found() == wanted)
    book = market.l3_book(PAIR, SHARED)
    assert book.state is BookState.LIVE
    with urllib.request.urlopen(f"{exchange.urls['rest']}/products/{PAIR}/book?level=3") as answer:
        orders = json.load(answer)
    for name, rows in (("bids", book.bids), ("asks", book.asks)):
        held = [(book.price(row["price"].item()), book.size(row["size"].item()), row["id"].decode()) for row in rows]
        assert len(held) > SHARED // 2
        assert held == [(Decimal(price), Decimal(size), name) for price, size, name in orders[name][: len(held)]]


def test_levels_orders_and_trades_are_those_of_the_exchange(exchange: LocalExchange, mesh: LocalMesh) -> None:
    until(lambda: seen(mesh)["updates"] > 100 and seen(mesh)["trades"] > 0)
    agree(exchange, mesh)
    now = seen(mesh)
    assert (now["unreadable"], now["missed_trades"], now["resyncs"]) == (0, 0, 0)


def test_an_own_order_has_its_place(exchange: LocalExchange, mesh: LocalMesh) -> None:
    market = mesh.market("coinbase", owner="l3")
    exchange.admin.pause(wait_s=5)
    book = market.l3_book(PAIR)
    here = book.bids[book.bids["price"] == book.bids["price"][0]]
    name = market.buy(PAIR, "0.01", price=book.price(book.bids["price"][0]))
    order = market.wait(name, "open")
    assert order.exchange_order_id is not None
    until(lambda: bool(market.l3_book(PAIR).bids["own"].any()))
    ahead = market.l3_book(PAIR).ahead(order.exchange_order_id)
    assert ahead is not None
    assert (ahead.orders, ahead.size) == (len(here), book.size(int(here["size"].sum())))
    market.cancel_all()
    until(lambda: market.l3_book(PAIR).ahead(order.exchange_order_id) is None)


@pytest.mark.parametrize("kind", ["drop", "reorder"])
def test_a_lost_message_is_a_gap_and_heals(exchange: LocalExchange, mesh: LocalMesh, kind: str) -> None:
    before = seen(mesh)
    exchange.admin.fault(kind=kind, symbol="BTCUSDT", stream="full:BTC-USDT", count=1)
    until(lambda: seen(mesh)["resyncs"] > before["resyncs"])
    agree(exchange, mesh)


def test_a_lost_connection_heals_with_a_new_proof(exchange: LocalExchange, mesh: LocalMesh) -> None:
    before = mesh.role_status(BOOK)["socket"]["connections"]
    exchange.admin.fault(kind="cut", stream="full:BTC-USDT", count=1)
    until(lambda: mesh.role_status(BOOK)["socket"]["connections"] > before)
    mesh.wait_ready()
    agree(exchange, mesh)


def test_no_key_is_in_a_status(exchange: LocalExchange, mesh: LocalMesh) -> None:
    assert "signature" not in str(mesh.role_status(BOOK)).lower()


def test_without_an_account_the_configuration_is_refused(exchange: LocalExchange) -> None:
    with pytest.raises(ConfigError, match=r"add a table \[exchanges\.coinbase\.accounts\.NAME\]"):
        LocalMesh(config(exchange, accounts={}))
