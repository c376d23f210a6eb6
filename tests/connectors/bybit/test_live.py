"""The connector against the local exchange, which was written from the same manual and shares no code with it.

Books are LIVE in a mesh without Ray; the mesh notices a lost frame, a book in the middle and a restart of the service,
and afterwards the books equal the exchange's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from venuemesh.testing import LocalExchange, LocalMesh, local_exchange

BTC, ETH = "book/bybit/BTC-USDT", "book/bybit/ETH-USDT"
DEPTH = 50


@pytest.fixture(scope="module")
def exchange() -> Iterator[LocalExchange]:
    with local_exchange(["BTC-USDT", "ETH-USDT"], protocol="bybit") as running:
        yield running


def config(exchange: LocalExchange, **options: Any) -> dict[str, Any]:
    """A mesh without accounts: the connector does not trade."""
    found = exchange.config()
    del found["exchanges"]["bybit"]["accounts"]
    found["exchanges"]["bybit"] |= {"options": options, "levels": 1000}
    return found


@pytest.fixture(scope="module")
def mesh(exchange: LocalExchange) -> Iterator[LocalMesh]:
    with LocalMesh(config(exchange)) as made:
        made.wait_ready()
        yield made
        assert not made.failures


def pair(mesh: LocalMesh, address: str = BTC) -> dict[str, Any]:
    (found,) = mesh.role_status(address)["pairs"].values()
    return found


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10.0
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def agrees(exchange: LocalExchange, mesh: LocalMesh, depth: int = DEPTH) -> None:
    """Return whether the book at rest has the best levels of the exchange's book."""
    exchange.admin.pause(wait_s=5.0)
    own = exchange.admin.book("BTCUSDT")
    view = mesh.market("bybit", owner="test").order_book("BTC-USDT")
    to_raw = view.instrument.price_raw, view.instrument.size_raw
    wanted = [[[to_raw[0](price), to_raw[1](size)] for price, size in own[side][:depth]] for side in ("bids", "asks")]

    def held() -> list[list[list[int]]]:
        found = view.snapshot()
        return [side[:depth].tolist() for side in (found.bids, found.asks)]

    until(lambda: held() == wanted)
    exchange.admin.resume()


def test_books_are_live_and_the_exchanges_own(exchange: LocalExchange, mesh: LocalMesh) -> None:
    until(lambda: pair(mesh)["updates"] > 20)
    assert pair(mesh)["state"] == "LIVE"
    assert (pair(mesh)["gaps"], pair(mesh)["unreadable"]) == (0, 0)
    until(lambda: pair(mesh)["trades"] > 0)
    agrees(exchange, mesh)


@pytest.mark.parametrize("fault", [{"kind": "drop", "stream": f"orderbook.{DEPTH}.BTCUSDT"}, {"kind": "skip"}])
def test_a_lost_frame_is_noticed_and_the_next_book_repairs_it(
    exchange: LocalExchange, mesh: LocalMesh, fault: dict[str, Any]
) -> None:
    before, other = pair(mesh), pair(mesh, ETH)
    exchange.admin.fault(symbol="BTCUSDT", count=1, **fault)
    until(lambda: pair(mesh)["gaps"] > before["gaps"])
    until(lambda: pair(mesh)["state"] == "LIVE" and pair(mesh)["snapshots"] > before["snapshots"])
    agrees(exchange, mesh)
    assert pair(mesh, ETH)["snapshots"] == other["snapshots"]  # the other book noticed nothing


@pytest.mark.parametrize("kind", ["snapshot", "reset"])
def test_a_book_in_the_middle_is_taken_and_nothing_is_a_gap(
    exchange: LocalExchange, mesh: LocalMesh, kind: str
) -> None:
    before = pair(mesh)
    exchange.admin.fault(kind=kind, symbol="BTCUSDT", count=1)
    until(lambda: pair(mesh)["snapshots"] > before["snapshots"])
    until(lambda: pair(mesh)["updates"] > before["updates"] + 5)
    after = pair(mesh)
    assert (after["state"], after["gaps"], after["resyncs"]) == ("LIVE", before["gaps"], before["resyncs"])
    assert (after["sequence"] < before["sequence"]) == (kind == "reset")
    agrees(exchange, mesh)


def test_a_cut_connection_comes_back(exchange: LocalExchange, mesh: LocalMesh) -> None:
    before = pair(mesh)
    exchange.admin.fault(kind="cut", symbol="BTCUSDT", stream=f"orderbook.{DEPTH}.BTCUSDT", count=1)
    until(lambda: pair(mesh)["state"] == "LIVE" and pair(mesh)["snapshots"] > before["snapshots"])
    agrees(exchange, mesh)


@pytest.mark.parametrize("depth", [1, 200, 1000])
def test_other_depths(exchange: LocalExchange, depth: int) -> None:
    with LocalMesh(config(exchange, depth=depth)) as mesh:
        mesh.wait_ready()
        until(lambda: pair(mesh)["updates"] + pair(mesh)["snapshots"] > 3)
        agrees(exchange, mesh, depth)
        assert pair(mesh)["state"] == "LIVE"
        assert not mesh.failures
