"""Orders, fills and events to write into a journal, on the account acme/main."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from venuemesh.journal.writes import PutEvent, PutFill, PutOrder, PutRequest
from venuemesh.model.order import (
    AccountEvent,
    EventType,
    Fill,
    Order,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
)

ACCOUNT = ("acme", "main")


def order(name: str = "o1", status: OrderStatus = OrderStatus.OPEN, **other: Any) -> Order:
    made = Order(
        exchange="acme",
        account="main",
        client_order_id=name,
        pair="BTC-USDT",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        amount=Decimal("1.50"),
        price=Decimal("30000.10"),
        time_in_force=TimeInForce.GTC,
        status=status,
        created_ns=1_000,
        updated_ns=2_000,
        owner="quoter",
    )
    return replace(made, **other)


def fill(trade_id: str = "t1", of: str = "o1", **other: Any) -> Fill:
    made = Fill(
        trade_id=trade_id,
        client_order_id=of,
        exchange_order_id="77",
        pair="BTC-USDT",
        side=Side.BUY,
        price=Decimal("30000.10"),
        amount=Decimal("0.5"),
        quote_amount=Decimal("15000.05"),
        fee=Decimal("0.0005"),
        fee_asset="BTC",
        is_maker=True,
        ts_event_ns=5_000,
        ts_recv_ns=6_000,
    )
    return replace(made, **other)


def event(of: Order | None = None, kind: EventType = EventType.CREATED, **other: Any) -> AccountEvent:
    made = AccountEvent(number=0, type=kind, exchange="acme", account="main", ts_recv_ns=9_000, order=of)
    return replace(made, **other)


def put(name: str = "o1", status: OrderStatus = OrderStatus.OPEN, step: str = "ACK", **other: Any) -> PutOrder:
    return PutOrder(order(name, status, **other), step, 3_000)


def put_fill(trade_id: str = "t1", of: str = "o1", **other: Any) -> PutFill:
    return PutFill(fill(trade_id, of, **other))


def put_event(of: Order | None = None, **other: Any) -> PutEvent:
    return PutEvent(event(of, **other))


def intent(name: str = "r1", *orders: str, kind: str = "place") -> PutRequest:
    return PutRequest(name, kind, orders or ("o1",), "POST /api/v3/order?symbol=BTCUSDT", "d" * 64, 8_000, 4_000)
