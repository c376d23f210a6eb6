"""What ccxt states of orders, fills and balances, as reports: nothing is guessed, and its odd words are understood."""

from decimal import Decimal
from typing import Any

import pytest

from venuemesh.connectors.ccxt import reports
from venuemesh.model.order import OrderStatus, OrderType, TimeInForce

ROW = {
    "id": "7", "clientOrderId": "vm1", "symbol": "BTC/USDT", "type": "limit", "side": "buy", "status": "open",
    "amount": "2", "price": "100.50", "filled": "0", "timeInForce": "GTC", "timestamp": 1_795_000_000_000,
}  # fmt: skip


def order(**changes: Any) -> reports.OrderReport:
    return reports.order({**ROW, **changes}, 5)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, OrderStatus.OPEN),
        ({"filled": "0.5"}, OrderStatus.PARTIALLY_FILLED),
        ({"status": "closed", "filled": "2"}, OrderStatus.FILLED),
        ({"status": "closed", "filled": "0.5"}, OrderStatus.CANCELED),  # some classes call every end closed
        ({"status": "canceled"}, OrderStatus.CANCELED),
        ({"status": "canceled", "timeInForce": "IOC"}, OrderStatus.EXPIRED),
        ({"status": "canceling"}, None),
        ({"status": None}, None),
    ],
)
def test_statuses(changes: dict[str, Any], status: OrderStatus | None) -> None:
    assert order(**changes).status is status


def test_an_unknown_status_is_an_error() -> None:
    with pytest.raises(KeyError):
        order(status="half-way")


def test_terms_are_exact_and_post_only_is_seen() -> None:
    found = order(postOnly=True)
    assert (found.order_type, found.time_in_force) == (OrderType.LIMIT_MAKER, TimeInForce.GTC)
    assert (found.amount, found.price) == (Decimal("2"), Decimal("100.50"))


def test_a_uuid_of_ours_is_our_id_again() -> None:
    from venuemesh.connectors.uuid_ids import packed

    name = "vm0mx0o7p7wl68fp6100000p"
    assert order(clientOrderId=packed(name)).client_order_id == name


def test_fees_of_a_fill() -> None:
    row = {"id": "t", "order": "7", "symbol": "BTC/USDT", "side": "sell", "price": "3", "amount": "2", "timestamp": 1}
    found = reports.fill({**row, "fees": [{"cost": "0.01", "currency": "USDT"}, {"cost": "1", "currency": "TAX"}]})
    assert (found.fee, found.fee_asset, found.more_fees) == (Decimal("0.01"), "USDT", (("TAX", Decimal(1)),))
    assert reports.fill({**row, "fee": None}).fee is None
    assert reports.fill({**row, "fee": {"cost": None, "currency": "USDT"}}).fee is None


def test_balances_without_both_parts_keep_what_was_known() -> None:
    found = reports.balances(
        {"free": {"BTC": "1", "X": None}, "used": {"BTC": "0.5"}, "total": {"ETH": "3", "USDT": "7"}}, True
    )
    assert found.balances == {"BTC": (Decimal(1), Decimal("0.5"))}
    assert set(found.unread) == {"X", "ETH", "USDT"}


def test_no_time_of_ccxt_is_certain() -> None:
    stamp = 1_795_000_000_000
    made = order(lastUpdateTimestamp=stamp)
    assert (made.ts_event_ns, made.is_dated) == (stamp * 10**6, False)
    assert not order().is_dated
    found = reports.account({"free": {"BTC": "1"}, "used": {}, "total": {}, "timestamp": stamp}).balances
    assert (found.whole, found.ts_event_ns) == (True, 0)
