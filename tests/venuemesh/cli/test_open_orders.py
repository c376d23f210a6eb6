"""Commands on open orders, against a mesh in this process: `down`, `cancel-all --external`, a bounded market order."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from venuemesh.cli import open_orders, running, service
from venuemesh.cli.app import app
from venuemesh.model.errors import MeshNotRunning, Rejected, RetryLater, RuleViolation, UnknownOrder
from venuemesh.model.order import Order, OrderStatus
from venuemesh.testing import LocalMesh, local_exchange

PAIR = "BTC-USDT"


@pytest.fixture(scope="module")
def mesh() -> Iterator[LocalMesh]:
    with local_exchange([PAIR]) as exchange:
        config = exchange.config(recv_window_ms=500)
        config["exchanges"]["binance"]["accounts"]["main"]["price_band"] = "0.05"
        with LocalMesh(config) as made:
            made.wait_ready()
            yield made


@pytest.fixture(autouse=True)
def attached(mesh, monkeypatch):
    for module in (running, open_orders):
        monkeypatch.setattr(module, "attach", lambda name, *, address=None: mesh)
    monkeypatch.setattr(service, "stop", lambda name, *, address: None)


@pytest.fixture
def cli(capsys):
    def run(*arguments):
        """Run a command; return its exit status and its last line, read as JSON."""
        status = app([*map(str, arguments), "--json"], standalone_mode=False)
        return status or 0, json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


def rest(mesh: LocalMesh, price: str = "50000") -> str:
    return mesh.market("binance", owner="cli").place("buy", PAIR, "0.01", price=price).client_order_id


def place_elsewhere(mesh: LocalMesh) -> Order:
    """Place an order as another program does, and wait until the mesh shows it."""
    market = mesh.market("binance")
    terms = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
    _, answer = market.request("POST", "/api/v3/order", {**terms, "quantity": "0.01", "price": "50000"})
    name = f"external:{PAIR}:{answer['orderId']}"
    return next(event.order for event in market.events(after=0) if event.client_order_id == name)


def test_a_market_order_beyond_the_band_is_refused_by_the_whole_book_and_one_within_it_trades(mesh, cli):
    with pytest.raises(RuleViolation) as refused:
        cli("buy", "binance", PAIR, "500", "--type", "market", "--yes")
    assert refused.value.rule == "price_band"
    assert "5% from" in str(refused.value)
    assert "the known book holds" in str(refused.value)
    book = mesh.market("binance").order_book(PAIR).snapshot()
    known = sum(size for _, size in book.asks.tolist()) / 10**book.size_scale
    assert float(str(refused.value).split(" holds ")[1].split()[0]) > known  # deeper than the levels in shared memory
    assert cli("buy", "binance", PAIR, "0.01", "--type", "market")[1]["status"] == "FILLED"


def test_down_names_what_stays_open_and_cancels_it_when_asked(mesh, cli, capsys):
    name = rest(mesh)
    assert app(["down"], standalone_mode=False) is None
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"binance/main: {name} stays open: buy 0.01 {PAIR} at 50000"
    assert "venuemesh down --cancel" in lines[1]
    status, answer = cli("down")
    assert (status, [order["client_order_id"] for order in answer["left_open"]["binance/main"]]) == (0, [name])
    status, answer = cli("down", "--cancel")
    assert (status, answer["left_open"]) == (0, {"binance/main": []})
    assert [(one["client_order_id"], one["status"]) for one in answer["cancelled"]] == [(name, "CANCELED")]
    assert mesh.market("binance").get_order(name).status is OrderStatus.CANCELED


def test_down_says_which_orders_it_does_not_know(mesh, cli, monkeypatch):
    def away(self):
        raise RetryLater(1.0, "the supervisor is away")

    monkeypatch.setattr(type(mesh), "status", away)
    status, answer = cli("down", "--cancel")
    assert status == 1
    assert answer["not_known"] == {"*": "retry in 1.000 s: the supervisor is away"}

    def ended(name, *, address=None):
        raise MeshNotRunning(name, "it has ended")

    monkeypatch.setattr(open_orders, "attach", ended)
    assert cli("down") == (0, {"mesh": "mesh", "left_open": {}, "cancelled": [], "not_known": {}})


def test_orders_placed_elsewhere_are_cancelled_only_with_a_yes(mesh, cli):
    own, foreign = rest(mesh), place_elsewhere(mesh)
    with pytest.raises(Rejected, match="cancel 1 orders that were placed elsewhere: external") as refused:
        cli("cancel-all", "binance", "--external")
    assert refused.value.code == "not_confirmed"
    market = mesh.market("binance")
    assert set(market.in_flight_orders(external=True)) == {own, foreign.client_order_id}
    status, answer = cli("cancel-all", "binance", "--external", "--yes")
    assert status == 0
    assert {one["client_order_id"] for one in answer["results"] if one["done"]} == {own, foreign.client_order_id}
    done = (event for event in market.events(after=0) if event.client_order_id == foreign.client_order_id)
    assert next(event for event in done if event.order.is_done).order.status is OrderStatus.CANCELED
    assert market.cancel_external(foreign.client_order_id).done  # again: it has ended already
    with pytest.raises(UnknownOrder):
        market.cancel_external(own)
    with pytest.raises(UnknownOrder):
        market.cancel_external("external:BTC-USDT:1")


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (("track", "binance", "ETH-USDT"), "tracked"),
        (("untrack", "binance", "ETH-USDT"), "untracked"),
        (("watch", "binance", PAIR, "--seconds", 0.3), "best_bid"),
        (("account", "binance"), "ready"),
        (("events", "binance", "--after", 0, "--seconds", 0.5), "number"),
        (("orders", "binance", "--all"), "orders"),
        (("trades", "binance"), "trades"),
        (("balances", "binance"), "USDT"),
    ],
)
def test_commands_on_a_mesh_print_json_on_their_last_line(cli, arguments, key):
    status, answer = cli(*arguments)
    assert status == 0
    assert key in answer


@pytest.mark.parametrize(
    ("is_local", "is_open", "end"),
    [
        (
            False,
            "stays open",
            "the next start takes these orders up again; `venuemesh down --cancel` cancels them first",
        ),
        (True, "is open", "the local exchange ends with the mesh, and these orders end with it"),
    ],
)
def test_what_becomes_of_open_orders_depends_on_whether_their_exchange_stays(mesh, is_local, is_open, end):
    name = rest(mesh)
    try:
        found = open_orders.OpenOrders.find("mesh", None)
        found.is_local = is_local
        assert found.lines()[-1] == end
        assert any(f"{name} {is_open}" in line for line in found.lines())
    finally:
        mesh.market("binance").cancel_and_wait(name)


@pytest.mark.parametrize("ready", [True, False])
def test_down_lists_an_account_whose_manager_is_not_ready_to_cancel_its_orders(mesh, monkeypatch, ready):
    """With on_shutdown = "cancel" a manager that is ready cancels them itself."""
    tree = mesh.status()
    (row,) = [row for row in tree["children"] if row["address"] == "orders/binance/main"]
    row["status"] = row["status"] | {"on_shutdown": "cancel", "ready": ready}
    monkeypatch.setattr(mesh, "status", lambda: tree)
    one = rest(mesh)
    found = open_orders.OpenOrders.find("m", None)
    assert [account.name for account in found.accounts] == ([] if ready else ["binance/main"])
    mesh.market("binance").cancel_and_wait(one)
