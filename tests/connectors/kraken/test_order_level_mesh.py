"""Order-level books of Kraken in a whole mesh against the local exchange: what readers see, and what fails."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from tests.fakes.local_books import seen, undisturbed, until
from venuemesh.model.errors import ConfigError, NotOffered, NotSynced, UnknownInstrument
from venuemesh.model.events import BookState, Side
from venuemesh.testing import LocalExchange, LocalMesh, local_exchange

PAIR, BOOK, ORDERS = "BTC-USDT", "book/kraken/BTC-USDT", "orders/kraken/main"


@pytest.fixture(scope="module")
def exchange() -> Iterator[LocalExchange]:
    with local_exchange([PAIR, "ETH-BTC"], protocol="kraken") as running:
        yield running


def config(exchange: LocalExchange, **table: Any) -> dict[str, Any]:
    made = exchange.config()
    made["exchanges"]["kraken"] |= {"books": "orders", **table}
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


def test_levels_and_orders_are_those_of_the_exchange(exchange: LocalExchange, mesh: LocalMesh) -> None:
    market = mesh.market("kraken")
    exchange.admin.pause(wait_s=5)
    truth = exchange.admin.book("BTCUSDT")
    wanted = {name: [[Decimal(p), Decimal(s)] for p, s in truth[name][:10]] for name in ("bids", "asks")}

    def levels() -> dict[str, Any]:
        book = market.order_book(PAIR)
        return {
            "bids": [[*row] for row in book.snapshot().levels("sell")],
            "asks": [[*r] for r in book.snapshot().levels("buy")],
        }

    until(lambda: levels() == wanted)
    book = market.l3_book(PAIR)
    assert book.state is BookState.LIVE
    assert book.sequence == market.order_book(PAIR).sequence
    for name, rows in (("bids", book.bids), ("asks", book.asks)):
        sums = [
            [book.price(price), book.size(int(rows["size"][rows["price"] == price].sum()))]
            for price in dict.fromkeys(rows["price"].tolist())
        ]
        assert sums == wanted[name]
    assert len(market.l3_book(PAIR, 1).bids) == int((book.bids["price"] == book.bids["price"][0]).sum())
    assert seen(mesh)["checksums"] > 0
    assert seen(mesh)["bad_checksums"] == 0


def test_an_own_order_is_marked_and_has_its_place(exchange: LocalExchange, mesh: LocalMesh) -> None:
    market = mesh.market("kraken", owner="l3")
    exchange.admin.pause(wait_s=5)
    book = market.l3_book(PAIR)
    price = book.price(book.bids["price"][0])
    here = book.bids[book.bids["price"] == book.bids["price"][0]]
    name = market.buy(PAIR, "0.01", price=price)
    order = market.wait(name, "open")
    assert order.exchange_order_id is not None
    until(lambda: bool(market.l3_book(PAIR).bids["own"].any()))
    book = market.l3_book(PAIR)
    assert book.own is not None
    assert book.own[order.exchange_order_id] == name
    (mine,) = book.bids[book.bids["own"]]
    assert mine["id"].decode() == order.exchange_order_id
    ahead = book.ahead(order.exchange_order_id)
    assert ahead is not None
    assert (ahead.orders, ahead.size) == (len(here), book.size(int(here["size"].sum())))
    assert not market.l3_book(PAIR, own=False).bids["own"].any()
    market.cancel_all()
    until(lambda: market.l3_book(PAIR).ahead(order.exchange_order_id) is None)


def test_a_lost_message_ends_live_and_heals(exchange: LocalExchange, mesh: LocalMesh) -> None:
    before = seen(mesh)
    exchange.admin.fault(kind="skip", protocol="kraken", symbol="BTCUSDT", count=20)
    until(lambda: seen(mesh)["bad_checksums"] > before["bad_checksums"])
    until(lambda: seen(mesh)["state"] == "LIVE" and seen(mesh)["snapshots"] > before["snapshots"])


def test_a_lost_connection_heals_with_a_new_token(exchange: LocalExchange, mesh: LocalMesh) -> None:
    before = mesh.role_status(BOOK)["socket"]["connections"]
    exchange.admin.fault(kind="cut", protocol="kraken", stream="level3-10:BTC/USDT", count=1)
    until(lambda: mesh.role_status(BOOK)["socket"]["connections"] > before)
    mesh.wait_ready()


def test_a_refused_token_is_shown_and_requested_again(exchange: LocalExchange, mesh: LocalMesh) -> None:
    books = (BOOK, "book/kraken/ETH-BTC")  # they share a token
    exchange.admin.limits(token_s=0)  # too old at once, unless a subscription uses it
    try:
        for address in books:
            mesh.kill(address)
        for address in books:
            mesh.restart(address)
        until(lambda: any("Invalid token" in one for one in mesh.role_status(BOOK)["socket"]["refused"]))
        assert "Invalid token" in mesh.role_status(BOOK)["error"]
    finally:
        exchange.admin.limits(token_s=900)
    mesh.wait_ready()


def test_a_book_waits_for_the_order_manager_that_has_the_key(exchange: LocalExchange, mesh: LocalMesh) -> None:
    market = mesh.market("kraken")
    for address in (ORDERS, BOOK):
        mesh.kill(address)
    with pytest.raises(NotSynced):
        market.order_book(PAIR).top()
    mesh.restart(BOOK)
    until(lambda: market.order_book(PAIR).state is BookState.CONNECTING)
    with pytest.raises(NotSynced, match="CONNECTING"):
        market.l3_book(PAIR, own=False)
    mesh.restart(ORDERS)
    mesh.wait_ready()
    assert market.l3_book(PAIR).state is BookState.LIVE


def test_no_key_and_no_token_is_in_a_status(exchange: LocalExchange, mesh: LocalMesh) -> None:
    assert "token" not in str(mesh.role_status(BOOK)).lower().replace("invalid token", "")


def test_an_untracked_pair_and_a_book_of_levels_are_refused(exchange: LocalExchange, mesh: LocalMesh) -> None:
    with pytest.raises(UnknownInstrument, match="did you mean BTC-USDT"):
        mesh.market("kraken").l3_book("BTC/USDT")
    for levels in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="levels is"):
            mesh.market("kraken").l3_book(PAIR, levels)
    with LocalMesh(config(exchange, books="levels", pairs=[PAIR], accounts={})) as other:
        other.wait_ready()
        with pytest.raises(NotOffered, match='books = "orders"'):
            other.market("kraken").l3_book(PAIR)


def test_without_an_account_the_configuration_is_refused(exchange: LocalExchange) -> None:
    with pytest.raises(ConfigError, match=r"add a table \[exchanges\.kraken\.accounts\.NAME\]"):
        LocalMesh(config(exchange, accounts={}))
    with pytest.raises(ConfigError, match="name the host of order-level books"):
        LocalMesh(config(exchange, ws_l3=None))


def test_many_pairs_share_a_connection(exchange: LocalExchange, mesh: LocalMesh) -> None:
    with LocalMesh(config(exchange, pairs_per_actor=2, options={"depth": 100})) as other:
        other.wait_ready()
        market = other.market("kraken")
        for pair in (PAIR, "ETH-BTC"):
            book = market.l3_book(pair, 100, own=False)
            assert len(np.unique(book.bids["price"])) > 10
            assert market.order_book(pair).snapshot().levels(Side.SELL)
        assert not other.failures
