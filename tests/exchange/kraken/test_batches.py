"""Batches of Kraken's REST: add-order-batch, cancel-order-batch and guides/spot-ratelimits, read 2026-11-27."""

from __future__ import annotations

from typing import Any

from tests.exchange.kraken.conftest import KrakenExchange

TERMS: dict[str, Any] = {"type": "buy", "ordertype": "limit", "price": "60000.00", "volume": "0.01"}


def used(kraken: KrakenExchange) -> float:
    account = kraken.venue.engine.accounts["main"]
    return kraken.desk.meter.transactions(account, "BTCUSDT", kraken.desk.now_ns())


async def test_orders_of_a_batch_end_each_by_itself(kraken: KrakenExchange) -> None:
    """The second order lacks funds; the batch counts half an order for each."""
    given = [TERMS | {"cl_ord_id": "a"}, TERMS | {"cl_ord_id": "b", "volume": "100"}, TERMS | {"cl_ord_id": "c"}]
    made = (await kraken.private("AddOrderBatch", pair="XBTUSDT", orders=given))["orders"]
    assert [sorted(row) for row in made] == [["descr", "txid"], ["descr", "error"], ["descr", "txid"]]
    assert made[1]["error"] == "EOrder:Insufficient funds"
    assert used(kraken) == 1.5
    listed = (await kraken.private("OpenOrders"))["open"]
    assert {txid: row["cl_ord_id"] for txid, row in listed.items()} == {made[0]["txid"]: "a", made[2]["txid"]: "c"}
    receipts = kraken.desk.floor.receipts_of(kraken.venue.engine.accounts["main"])
    assert [(receipts.find(one).accepted, receipts.find(one).refused) for one in "abc"] == [(1, 0), (0, 1), (1, 0)]


async def test_a_malformed_order_refuses_the_whole_batch(kraken: KrakenExchange) -> None:
    wrong = [TERMS | {"price": "0"}, [TERMS] * 16, [TERMS], "x", [TERMS, 1]]
    for orders in ([TERMS, wrong[0]], *wrong[1:]):
        error = await kraken.private("AddOrderBatch", pair="XBTUSDT", orders=orders)
        assert error.startswith("EGeneral:Invalid arguments"), (orders, error)
    assert (await kraken.private("OpenOrders"))["open"] == {}


async def test_cancels_of_a_batch_are_counted_and_never_refused(kraken: KrakenExchange) -> None:
    kraken.desk.limits.transactions = 10
    given = [TERMS | {"cl_ord_id": name} for name in "abcd"]
    made = (await kraken.private("AddOrderBatch", pair="XBTUSDT", orders=given))["orders"]
    first = [made[0]["txid"], made[1]["txid"], "OUF4EM-FRGI2-MQMWZD"]
    assert await kraken.private("CancelOrderBatch", orders=first, cl_ord_ids=["c"]) == {"count": 3}
    assert used(kraken) == 2 + 8 * 3  # all younger than 5 s
    assert await kraken.private("CancelOrder", cl_ord_id="d") == "EOrder:Rate limit exceeded"
    assert await kraken.private("CancelOrderBatch", orders=[], cl_ord_ids=["c", "d"]) == {"count": 1}
    assert await kraken.private("CancelOrderBatch", orders=[], cl_ord_ids=["c", "d"]) == {"count": 0}
    assert (await kraken.private("CancelOrderBatch", orders=["x"] * 51)).startswith("EGeneral:Invalid arguments")


# ------------------------------------------------------------------ by websocket: batch_add, batch_cancel

CALL: dict[str, Any] = {"side": "buy", "order_type": "limit", "limit_price": 60000, "order_qty": 0.01}


async def test_by_websocket_a_row_names_each_order_or_its_error(kraken: KrakenExchange) -> None:
    """ws_compose.rs of krakenfx/kraken-api-sdk: an answer with `success` false has rows, too."""
    token = (await kraken.private("GetWebSocketsToken"))["token"]
    given = [CALL | {"cl_ord_id": "a"}, CALL | {"cl_ord_id": "b", "order_qty": 100}, CALL | {"cl_ord_id": "c"}]
    async with kraken.private_feed() as socket:
        await kraken.say(socket, "batch_add", 7, symbol="BTC/USDT", orders=given, token=token)
        answer = await kraken.next(socket, method="batch_add")
        first, second, third = answer["result"]
        assert (answer["success"], answer["req_id"], used(kraken)) == (False, 7, 1.5)
        assert second == {"error": "EOrder:Insufficient funds"}
        listed = (await kraken.private("OpenOrders"))["open"]
        assert {txid: row["cl_ord_id"] for txid, row in listed.items()} == {
            first["order_id"]: first["cl_ord_id"],
            third["order_id"]: third["cl_ord_id"],
        }
        receipts = kraken.desk.floor.receipts_of(kraken.venue.engine.accounts["main"])
        assert [(receipts.find(one).accepted, receipts.find(one).refused) for one in "abc"] == [(1, 0), (0, 1), (1, 0)]
        await kraken.say(socket, "batch_cancel", 8, orders=[first["order_id"]], cl_ord_id=["c", "x"], token=token)
        assert (await kraken.next(socket, method="batch_cancel"))["result"] == {"count": 2}
        await kraken.say(socket, "batch_add", 9, symbol="BTC/USDT", orders=given[:1], token=token)
        refused = await kraken.next(socket, method="batch_add")
        assert (refused["success"], refused["error"]) == (False, "EGeneral:Invalid arguments:orders")
