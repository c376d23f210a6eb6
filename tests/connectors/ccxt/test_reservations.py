"""No time that ccxt states ends a reservation of funds: only balances that were requested after the order was known."""

from decimal import Decimal
from typing import Any

import orjson
import pytest

pytest.importorskip("ccxt", reason="ccxt is not installed: pip install 'venuemesh[ccxt]'")

from tests.fakes.order_world import World, limit
from venuemesh.connectors.ccxt import reports
from venuemesh.connectors.order_codec import Kind, Reply
from venuemesh.connectors.registry import connector
from venuemesh.model.order import OrderStatus
from venuemesh.model.time import MILLISECOND_NS, SECOND_NS

CODEC = connector("ccxt:binance").trading()


def frame(world: World, kind: str, content: Any) -> None:
    """Let the user stream report what ccxt has read."""
    for report in CODEC.stream_decode(orjson.dumps({"kind": kind, "content": content}), world.exchange.now_ns):
        world.do(world.machine.report(report, world.now))
    world.perform()


def asks_for_balances(world: World) -> int:
    return [one.what.kind for one in world.asks].count(Kind.ACCOUNT)


@pytest.mark.parametrize("by", ["answer", "stream", "fill"])
@pytest.mark.parametrize("stamp", ["in whole seconds", "of the receipt", "none"])
def test_balances_of_before_the_order_end_no_reservation(by: str, stamp: str) -> None:
    world = World(like=CODEC.offer)
    world.go()
    before = world.exchange.free["USDT"]
    world.advance(0.9)
    world.do(world.machine.place(world.token(), [limit("vm1")], world.now.ns + 60 * SECOND_NS, world.now))
    world.perform()
    (request,) = world.requests
    world.arrive(request)
    world.exchange.stream.clear()
    now_ns = world.exchange.now_ns
    at_ms = {"in whole seconds": now_ns // SECOND_NS * 1000, "of the receipt": now_ns // MILLISECOND_NS, "none": None}
    row = {
        "id": world.exchange.by_client("vm1").exchange_id,
        "clientOrderId": "vm1",
        "symbol": world.instruments[0].symbol,
        "type": "limit",
        "side": "buy",
        "status": "open",
        "amount": "1",
        "price": "100",
        "filled": "0",
        "lastUpdateTimestamp": at_ms[stamp],
    }
    if by == "answer":
        world.requests.remove(request)
        made = reports.order(row, now_ns, "vm1")
        world.do(world.machine.answered(request.id, Reply(orders=(made,)), world.now))
    else:
        frame(world, "orders", [row])
    if by == "fill":
        fill = {"id": "t", "order": row["id"], "symbol": row["symbol"], "side": "buy", "price": "100", "amount": "0.1"}
        frame(world, "fills", [{**fill, "timestamp": at_ms["in whole seconds"]}])
    world.perform()
    order = world.machine.order("vm1")
    assert order is not None
    assert order.status in (OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED)
    assert not asks_for_balances(world)
    old = {name: {"USDT": f"{value:f}"} for name, value in (("free", before), ("used", Decimal(0)), ("total", before))}
    for later_ms in (1, 60_000):  # received later, or by a clock that is ahead
        frame(world, "balance", {**old, "timestamp": now_ns // MILLISECOND_NS + later_ms})
        assert world.machine.balance("USDT").available <= before - 100
    assert not asks_for_balances(world)
    world.advance(0.6)
    world.perform()
    assert asks_for_balances(world) == 1, "one request serves the messages of a short time"
    for _ in range(4):
        world.go()
        world.advance(0.6)
    balance = world.machine.balance("USDT")
    assert balance.available == balance.free == world.exchange.free["USDT"] == before - 100
