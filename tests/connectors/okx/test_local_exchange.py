"""The connector against the local exchange, which was written from the same manual and shares no code with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.fakes.local_books import held, real, seen, undisturbed, until
from venuemesh.connectors.okx import CONNECTOR
from venuemesh.model.events import BookState
from venuemesh.testing import LocalExchange, LocalMesh, local_exchange

PAIR, OTHER = "BTC-USDT", "ETH-BTC"


@pytest.fixture(scope="module")
def exchange() -> Iterator[LocalExchange]:
    with local_exchange([PAIR, OTHER], protocol="okx") as running:
        yield running


@pytest.fixture(scope="module")
def mesh(exchange: LocalExchange) -> Iterator[LocalMesh]:
    okx = {"rest": exchange.urls["rest"], "ws": exchange.urls["ws"], "pairs": list(exchange.pairs)}
    config = {"mesh": {"name": "local", "heartbeat_limit_s": 2.0}, "exchanges": {"okx": okx}}
    with LocalMesh(config, connectors=[CONNECTOR]) as made:
        yield made
        assert not made.failures


@pytest.fixture(autouse=True)
def live(exchange: LocalExchange, mesh: LocalMesh) -> Iterator[None]:
    with undisturbed(exchange, mesh):
        yield


def agree(exchange: LocalExchange, mesh: LocalMesh) -> None:
    """Return whether every book at rest is LIVE and equals the exchange's, level by level."""
    exchange.admin.pause(0.2)
    for pair in (PAIR, OTHER):
        book = mesh.market("okx").order_book(pair)
        until(lambda book=book, pair=pair: book.is_live and held(mesh, pair) == real(exchange, pair))


def after(exchange: LocalExchange, kind: str, count: int = 1) -> Callable[[], bool]:
    """Make a fault happen to the pair's book; return whether it has happened."""
    done = exchange.admin.faults()["done"].get(kind, 0)
    exchange.admin.fault(kind=kind, count=count, symbol="BTCUSDT", stream="books:BTC-USDT")
    return lambda: exchange.admin.faults()["done"].get(kind, 0) >= done + count


def test_books_and_trades_are_those_of_the_exchange(exchange: LocalExchange, mesh: LocalMesh) -> None:
    until(lambda: all(seen(mesh, pair)["updates"] > 20 for pair in (PAIR, OTHER)))
    until(lambda: seen(mesh)["trades"] > 0)
    agree(exchange, mesh)
    now = seen(mesh)
    assert (now["n_bids"], now["n_asks"]) == (400, 400)
    assert (now["unreadable"], now["resyncs"]) == (0, 0)


def test_a_dropped_frame_is_noticed_and_healed_and_the_other_pair_continues(
    exchange: LocalExchange, mesh: LocalMesh
) -> None:
    before, other = seen(mesh), seen(mesh, OTHER)
    until(after(exchange, "drop"))
    until(lambda: seen(mesh)["resyncs"] > before["resyncs"])
    agree(exchange, mesh)
    assert seen(mesh, OTHER)["resyncs"] == other["resyncs"]


@pytest.mark.parametrize("kind", ["reset", "no_change", "snapshot"])
def test_what_the_manual_allows_stays_live(exchange: LocalExchange, mesh: LocalMesh, kind: str) -> None:
    """Restarted numbers, a message without changes, a whole book in the middle: no resynchronisation."""
    before = seen(mesh)
    until(after(exchange, kind))
    until(lambda: seen(mesh)["updates"] > before["updates"] + 5)
    agree(exchange, mesh)
    now = seen(mesh)
    assert (now["resyncs"], now["unreadable"]) == (before["resyncs"], before["unreadable"])


def test_a_pair_that_does_not_trade_is_halted(exchange: LocalExchange, mesh: LocalMesh) -> None:
    exchange.admin.status("BTCUSDT", "HALT")
    until(lambda: seen(mesh)["state"] == BookState.HALTED.name)
    exchange.admin.status("BTCUSDT", "TRADING")
    until(lambda: seen(mesh)["state"] == BookState.LIVE.name)


def test_the_announcement_of_an_upgrade_makes_a_new_connection(exchange: LocalExchange, mesh: LocalMesh) -> None:
    numbers = {each["id"] for each in exchange.admin.connections()["connections"]}
    exchange.admin.shutdown_event()
    until(lambda: not numbers & {each["id"] for each in exchange.admin.connections()["connections"]})
    mesh.wait_ready()
    agree(exchange, mesh)
