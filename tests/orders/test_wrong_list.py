"""A whole mesh at an exchange whose list of instruments is wrong, or whose pairs do not trade."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.fakes.local_books import until
from venuemesh.model.errors import RuleViolation, UnknownInstrument
from venuemesh.model.events import BookState
from venuemesh.model.order import OrderStatus
from venuemesh.testing import ACCOUNT, LocalExchange, LocalMesh, local_exchange

PAIR, OTHER = "BTC-USDT", "ETH-USDT"
WRONG = (
    '{"symbols":[{"symbol":"123456","status":"TRADING","baseAsset":"123","quoteAsset":"456","filters":[]},'
    '{"symbol":"ODD","status":"TRADING","baseAsset":"ODD","quoteAsset":"USDT","filters":[],"orderTypes":null}]}'
)
MANAGER, CATALOG = f"orders/binance/{ACCOUNT}", "catalog/binance"


@pytest.fixture(scope="module")
def exchange() -> Iterator[LocalExchange]:
    with local_exchange([PAIR, OTHER]) as running:
        yield running


@pytest.fixture
def mesh(exchange: LocalExchange) -> Iterator[LocalMesh]:
    with LocalMesh(exchange.config()) as made:
        yield made
        assert not made.failures
    exchange.admin.clear_faults()


def knows(mesh: LocalMesh, pair: str) -> bool:
    with contextlib.suppress(UnknownInstrument):
        return bool(mesh.ask(MANAGER, "fees", {"pair": pair}))
    return False


def test_a_wrong_list_retires_no_book_and_loses_no_order(exchange: LocalExchange, mesh: LocalMesh) -> None:
    mesh.wait_ready()
    market, admin = mesh.market("binance"), exchange.admin
    best = Decimal(admin.book("BTCUSDT")["bids"][0][0])
    filled, other = (market.buy(PAIR, "0.01", price=f"{best * Decimal(share):.0f}") for share in ("0.9", "0.89"))
    for one in (filled, other):
        market.wait(one, "open")
    updates = mesh.role_status(f"book/binance/{PAIR}")["pairs"][PAIR]["updates"]
    admin.fault(kind="rewrite", endpoint="/api/v3/exchangeInfo", find=r"(?s)\A.+", replace=WRONG)
    mesh.kill(MANAGER)
    (number,) = (row["order_id"] for row in admin.orders(account=ACCOUNT)["orders"] if row["client_order_id"] == filled)
    admin.fill(symbol="BTCUSDT", order_id=number)
    mesh.restart(CATALOG)
    until(lambda: (mesh.role_status(CATALOG)["left_out_rows"] or "").startswith("ODD cannot be read"))
    mesh.restart(MANAGER)
    until(lambda: mesh.ask(MANAGER, "get", {"id": filled})["status"] == OrderStatus.FILLED.value)
    assert market.cancel_and_wait(other).status is OrderStatus.CANCELED
    until(lambda: mesh.ask(CATALOG, "instruments")["kept"] == [PAIR, OTHER])
    until(lambda: knows(mesh, OTHER))
    assert market.wait(market.buy(OTHER, "0.01", price="1000"), "open").status is OrderStatus.OPEN
    assert market.status_dict == {PAIR: "LIVE", OTHER: "LIVE"}
    assert mesh.role_status(f"book/binance/{PAIR}")["pairs"][PAIR]["updates"] > updates  # not restarted
    assert market.order_book(PAIR).is_live


def test_a_mesh_starts_during_maintenance(exchange: LocalExchange) -> None:
    try:
        for symbol, status in (("BTCUSDT", "BREAK"), ("ETHUSDT", "END_OF_DAY")):
            exchange.admin.status(symbol, status)
        with LocalMesh(exchange.config()) as mesh:
            mesh.wait_ready()
            market = mesh.market("binance")
            assert market.status_dict == {PAIR: "HALTED", OTHER: "HALTED"}
            view = market.order_book(PAIR)
            assert view.state is BookState.HALTED
            with pytest.raises(RuleViolation, match="BREAK"):
                market.place_orders([market.new_order("buy", PAIR, "0.01", price="1000")])
            exchange.admin.status("BTCUSDT", "TRADING")
            mesh.ask(CATALOG, "refresh", None, 10.0)
            until(lambda: view.state is BookState.LIVE)
            exchange.admin.status("BTCUSDT", "HALT")
            mesh.ask(CATALOG, "refresh", None, 10.0)
            until(lambda: view.state is BookState.HALTED)
            assert market.order_book(PAIR).state is BookState.HALTED
            assert not mesh.failures
    finally:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            exchange.admin.status(symbol, "TRADING")
