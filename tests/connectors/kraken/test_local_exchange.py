"""The connector against the local exchange, which was written from the same manual and shares no code with it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.fakes.local_books import SHARED, held, real, seen, undisturbed, until
from venuemesh.connectors.kraken import CONNECTOR
from venuemesh.model.events import BookState
from venuemesh.testing import LocalExchange, LocalMesh, local_exchange

BOOK, PAIR, OTHER = "book/kraken/BTC-USDT", "BTC-USDT", "ETH-BTC"
DEPTH = 10  # so deep reaches the checksum, which sees every lost message then


@pytest.fixture(scope="module")
def exchange() -> Iterator[LocalExchange]:
    with local_exchange([PAIR, OTHER], protocol="kraken") as running:
        yield running


@pytest.fixture(scope="module")
def mesh(exchange: LocalExchange) -> Iterator[LocalMesh]:
    with LocalMesh(config(exchange, DEPTH), connectors=[CONNECTOR]) as made:
        yield made
        assert not made.failures


def config(exchange: LocalExchange, depth: int) -> dict[str, Any]:
    urls = {key: exchange.urls[key] for key in ("rest", "ws")}
    kraken = {**urls, "pairs": list(exchange.pairs), "options": {"depth": depth}}
    return {"mesh": {"name": f"local-{depth}", "heartbeat_limit_s": 2.0}, "exchanges": {"kraken": kraken}}


@pytest.fixture(autouse=True)
def live(exchange: LocalExchange, mesh: LocalMesh) -> Iterator[None]:
    with undisturbed(exchange, mesh):
        yield


@pytest.mark.parametrize("depth", [DEPTH, 100, 1000])
def test_books_are_those_of_the_exchange_to_the_depth_of_the_option(
    exchange: LocalExchange, mesh: LocalMesh, depth: int
) -> None:
    with contextlib.ExitStack() as stack:
        if depth != DEPTH:
            mesh = stack.enter_context(LocalMesh(config(exchange, depth), connectors=[CONNECTOR]))
            mesh.wait_ready()
        until(lambda: all(seen(mesh, pair)["updates"] > 20 for pair in (PAIR, OTHER)))
        exchange.admin.pause(0.2)
        for pair in (PAIR, OTHER):
            until(lambda pair=pair: held(mesh, pair) == real(exchange, pair, min(depth, SHARED)))
            now = seen(mesh, pair)
            whole = real(exchange, pair, depth)
            assert (now["n_bids"], now["n_asks"]) == (len(whole[0]), len(whole[1]))
            assert now["checksums"] > 20
            assert (now["bad_checksums"], now["unreadable"], now["resyncs"]) == (0, 0, 0)
        assert not mesh.failures


def test_trades_arrive_with_their_ids(exchange: LocalExchange, mesh: LocalMesh) -> None:
    before = seen(mesh)["trades"]
    until(lambda: seen(mesh)["trades"] > before)
    assert mesh.market("kraken").order_book(PAIR).last_trade.trade_id > 0
    assert (seen(mesh)["missed_trades"], seen(mesh)["duplicate_trades"]) == (0, 0)


COUNT = 3  # one lost message alone may be made good by the next


@pytest.mark.parametrize("fault", ["drop", "duplicate", "reorder", "corrupt"])
def test_a_message_that_is_lost_or_wrong_is_noticed_and_healed(
    exchange: LocalExchange, mesh: LocalMesh, fault: str
) -> None:
    """The checksum of a later message shows the loss; the other pair is not affected."""
    before, other = seen(mesh), seen(mesh, OTHER)
    done = exchange.admin.faults()["done"].get(fault, 0)
    exchange.admin.fault(kind=fault, count=COUNT, stream=f"book-{DEPTH}:BTC/USDT")
    until(lambda: exchange.admin.faults()["done"].get(fault, 0) >= done + COUNT)
    until(lambda: seen(mesh)["updates"] > before["updates"] + 10)
    exchange.admin.clear_faults()
    exchange.admin.pause(0.2)
    until(lambda: mesh.market("kraken").order_book(PAIR).is_live and held(mesh, PAIR) == real(exchange, PAIR, DEPTH))
    if fault == "drop":
        assert seen(mesh)["bad_checksums"] > before["bad_checksums"]
        assert seen(mesh)["resyncs"] > before["resyncs"]
    assert seen(mesh, OTHER)["suspected"] == other["suspected"]


def test_a_pair_that_does_not_trade_is_halted(exchange: LocalExchange, mesh: LocalMesh) -> None:
    view = mesh.market("kraken").order_book(PAIR)
    exchange.admin.status("BTCUSDT", "CANCEL_ONLY")
    until(lambda: view.state is BookState.HALTED)
    assert mesh.market("kraken").order_book(OTHER).state is BookState.LIVE
    exchange.admin.status("BTCUSDT", "TRADING")
    until(lambda: view.state is BookState.LIVE)


def test_a_cut_connection_is_made_again(exchange: LocalExchange, mesh: LocalMesh) -> None:
    before = mesh.role_status(BOOK)["socket"]["connections"]
    exchange.admin.cut()
    until(lambda: mesh.role_status(BOOK)["socket"]["connections"] > before)
    mesh.wait_ready()


def test_prices_and_books_on_demand_come_over_rest(mesh: LocalMesh) -> None:
    rows = {row["name"]: row for row in mesh.ask("catalog/kraken", "active_markets")}
    assert set(rows) == {PAIR, OTHER}
    ticker = mesh.ask("catalog/kraken", "ticker", {"pair": PAIR})
    assert 0 < Decimal(ticker["bid"]) < Decimal(ticker["ask"])
    assert Decimal(ticker["last_price"]) > 0
    book = mesh.ask("catalog/kraken", "get_snapshot", {"pair": PAIR, "limit": 200})
    assert [len(book[side]) // 16 for side in ("bids", "asks")] == [200, 200]  # rows of two int64
