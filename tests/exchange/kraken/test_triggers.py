"""Stop-loss and take-profit orders: add-order and get-open-orders (REST), add_order and executions (websocket v2)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.exchange.kraken.conftest import KrakenExchange
from tests.exchange.kraken.test_private_ws import ask, event, token_of

SELL: dict[str, Any] = {"pair": "XBTUSDT", "type": "sell", "volume": "0.01"}


async def prices(kraken: KrakenExchange) -> tuple[str, str]:
    """Return a trigger price below the market (the second best bid), and a limit price well below it."""
    bids = (await kraken.admin.book("BTCUSDT"))["bids"]
    return f"{Decimal(bids[1][0]):.2f}", f"{Decimal(bids[1][0]) - 100:.2f}"


async def fall(kraken: KrakenExchange) -> None:
    """Trade through the best three bids."""
    bids = (await kraken.admin.book("BTCUSDT"))["bids"][:3]
    quantity = sum(Decimal(row[1]) for row in bids)
    await kraken.admin.order("BTCUSDT", "SELL", quantity=str(quantity), price=bids[2][0], account="admin")


async def test_a_stop_order_waits_and_then_trades(kraken: KrakenExchange) -> None:
    stop, limit = await prices(kraken)
    token = await token_of(kraken)
    async with kraken.private_feed() as socket:
        await ask(kraken, socket, "subscribe", channel="executions", token=token)
        await kraken.next(socket, "executions")
        made = await kraken.private("AddOrder", ordertype="stop-loss-limit", price=stop, price2=limit, **SELL)
        assert made["descr"]["order"] == f"sell 0.01000 XBTUSDT @ stop loss {stop} -> limit {limit}"
        (txid,) = made["txid"]
        row = (await kraken.private("OpenOrders"))["open"][txid]
        described = {name: row["descr"][name] for name in ("ordertype", "price", "price2")}
        assert described == {"ordertype": "stop-loss-limit", "price": stop, "price2": limit}
        assert (row["status"], row["trigger"], row["misc"], Decimal(row["stopprice"])) == ("open", "last", "", 0)
        pending, new = await event(kraken, socket), await event(kraken, socket)
        assert (pending["exec_type"], pending["order_type"]) == ("pending_new", "stop-loss-limit")
        assert (pending["limit_price"], pending["triggers"]["status"]) == (Decimal(limit), "untriggered")
        assert (pending["triggers"]["price"], pending["triggers"]["reference"]) == (Decimal(stop), "last")
        assert (new["exec_type"], new["order_status"]) == ("new", "new")
        await fall(kraken)
        status, trade = await event(kraken, socket), await event(kraken, socket)
        assert (status["exec_type"], status["order_status"], status["triggers"]["status"]) == (
            "status",
            "new",
            "triggered",
        )
        assert (trade["exec_type"], trade["order_type"]) == ("trade", "stop-loss-limit")
    row = (await kraken.private("QueryOrders", txid=txid))[txid]
    assert (row["misc"], Decimal(row["stopprice"]), Decimal(row["limitprice"])) == (
        "stopped",
        Decimal(stop),
        Decimal(limit),
    )


async def test_by_websocket_without_a_limit(kraken: KrakenExchange) -> None:
    stop, _ = await prices(kraken)
    token = await token_of(kraken)
    terms = {"symbol": "BTC/USDT", "side": "sell", "order_qty": 0.01, "order_type": "stop-loss", "token": token}
    async with kraken.private_feed() as socket:
        for triggers in (None, {}, {"price": 1, "reference": "index"}, {"price": -2, "price_type": "pct"}):
            given = terms if triggers is None else terms | {"triggers": triggers}
            assert "Invalid arguments" in (await ask(kraken, socket, "add_order", **given))["error"], triggers
        placed = await ask(kraken, socket, "add_order", **terms, triggers={"price": float(stop)})
    txid = placed["result"]["order_id"]
    await fall(kraken)
    row = (await kraken.private("QueryOrders", txid=txid))[txid]
    assert (row["status"], row["misc"], row["descr"]["price"]) == ("closed", "stopped", stop)


@pytest.mark.parametrize(
    ("terms", "error"),
    [
        ({"ordertype": "stop-loss"}, "EGeneral:Invalid arguments:price"),
        ({"ordertype": "stop-loss-limit", "price": "60000.00"}, "EGeneral:Invalid arguments:price2"),
        ({"ordertype": "take-profit", "price": "90000.00", "price2": "1.00"}, "EGeneral:Invalid arguments:price2"),
        ({"ordertype": "stop-loss", "price": "60000.00", "trigger": "index"}, "EGeneral:Invalid arguments:trigger"),
        ({"ordertype": "stop-loss", "price": "90000.00"}, "EOrder:Invalid price"),  # it would trigger at once
        ({"ordertype": "trailing-stop", "price": "+5.00"}, "EGeneral:Invalid arguments:ordertype"),
    ],
)
async def test_refused_terms(kraken: KrakenExchange, terms: dict[str, str], error: str) -> None:
    assert await kraken.private("AddOrder", **SELL, **terms) == error
