"""Kraken's private REST endpoints, in the shapes of the manual, and their traps."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from tests.exchange.kraken.conftest import SECRET, KrakenExchange, opened
from tests.fakes.captures import captures
from venuemesh.exchange.engine.accounts import Account
from venuemesh.exchange.engine.engine import Engine
from venuemesh.exchange.engine.keys import ApiKey
from venuemesh.exchange.floor import Floor
from venuemesh.exchange.kraken.auth import Nonces, Signed, authenticate
from venuemesh.exchange.kraken.errors import ApiError
from venuemesh.exchange.kraken.ids import order_id, order_number

UUID = "6d1b345e-2821-40e2-ad83-4ecb18a06876"
RESTING: dict[str, Any] = {
    "pair": "XBTUSDT",
    "type": "buy",
    "ordertype": "limit",
    "price": "60000.00",
    "volume": "0.01",
}


async def best(kraken: KrakenExchange, side: str) -> Decimal:
    return Decimal((await kraken.admin.book("BTCUSDT"))[side][0][0])


def floor_with(secret: str) -> Floor:
    engine = Engine()
    engine.add_account(Account("a", keys={"KEY": ApiKey("KEY", secret.encode())}))
    return Floor(engine, None, None, lambda seconds, call: None)  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------------------- signing


def test_the_manuals_signature_is_good() -> None:
    """spot-rest-auth: the example's secret, nonce, payload and signature."""
    floor = floor_with("kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg==")
    body = b"nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
    good = "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
    signed = Signed("/0/private/AddOrder", body, {"nonce": "1616492376594"}, "KEY", good)
    account, key = authenticate(floor, Nonces(), signed)
    assert (account.name, key.name) == ("a", "KEY")
    with pytest.raises(ApiError, match="EAPI:Invalid signature"):
        authenticate(floor, Nonces(), Signed("/0/private/Balance", body, signed.sent, "KEY", good))


def test_recorded_signatures_are_good() -> None:
    """Signatures of a public client with a fixed clock."""
    answer = json.loads((captures("kraken") / "signing.json").read_text())
    nonces, floor = Nonces(), floor_with(answer["keys"]["secret"])
    for request in answer["requests"]:
        body = request["body"].encode()
        sent = dict(part.split("=", 1) for part in request["body"].split("&"))
        path = request["url"].removeprefix("https://api.kraken.com")
        authenticate(floor, nonces, Signed(path, body, sent, "KEY", request["headers"]["API-Sign"]))


async def test_who_may_not(kraken: KrakenExchange) -> None:
    """spot-errors: key, signature, nonce, permission, in this order."""
    assert await kraken.private("Balance", key="NOBODY") == "EAPI:Invalid key"
    assert opened((await kraken.signed("Balance", secret="b3RoZXI="))[1]) == "EAPI:Invalid signature"
    nonce = kraken.nonce()
    assert isinstance(await kraken.private("Balance", nonce), dict)
    assert await kraken.private("Balance", nonce) == "EAPI:Invalid nonce"
    assert await kraken.private("Balance", nonce - 1) == "EAPI:Invalid nonce"
    assert isinstance(await kraken.private("Balance", 1, key="OTHER"), dict)  # every key has separate nonces
    await kraken.admin.add_key("main", "READER", secret=SECRET, only="read")
    assert await kraken.private("AddOrder", key="READER", **RESTING) == "EGeneral:Permission denied"
    await kraken.admin.revoke("KEY")
    assert await kraken.private("Balance") == "EAPI:Invalid key"


async def test_a_request_held_back_comes_with_an_old_nonce(kraken: KrakenExchange) -> None:
    """The trap of nonces out of order: a request that was overtaken is refused, and was not executed."""
    await kraken.admin.fault(kind="late", endpoint="POST /0/private/AddOrder", ms=50, count=1)
    held = asyncio.create_task(kraken.private("AddOrder", **RESTING))
    await kraken.eventually(lambda: kraken.venue.faults.counters.get("late") == 1)
    assert isinstance(await kraken.private("Balance"), dict)
    assert await held == "EAPI:Invalid nonce"
    assert (await kraken.private("OpenOrders"))["open"] == {}


# --------------------------------------------------------------------------------------------------------- placing


async def test_an_acknowledgement_has_no_status(kraken: KrakenExchange) -> None:
    """add-order: a description and an id; OpenOrders, QueryOrders and the stream have the state."""
    answer = await kraken.private("AddOrder", **RESTING, cl_ord_id=UUID)
    (txid,) = answer["txid"]
    assert answer == {"descr": {"order": "buy 0.01000 XBTUSDT @ limit 60000.00"}, "txid": [txid]}
    assert [len(part) for part in txid.split("-")] == [6, 5, 6]
    order = (await kraken.private("OpenOrders"))["open"][txid]
    assert (order["status"], order["cl_ord_id"], order["userref"]) == ("open", UUID, None)
    assert (order["vol"], order["vol_exec"], order["oflags"]) == ("0.01000", "0.00000", "fciq")
    assert order["descr"] | {"order": ""} == {
        "pair": "XBTUSDT",
        "type": "buy",
        "ordertype": "limit",
        "price": "60000.00",
        "price2": "0",
        "leverage": "none",
        "order": "",
        "close": "",
    }
    assert order["opentm"] == 1700000000.0
    truth = (await kraken.admin.orders("main"))["orders"][0]
    assert (order_number(txid), truth["client_order_id"]) == (truth["order_id"], UUID)
    assert (await kraken.admin.receipt("main", UUID))["accepted"] == 1


async def test_a_post_only_order_that_would_take_is_accepted_and_cancelled(kraken: KrakenExchange) -> None:
    price = str(await best(kraken, "asks"))
    answer = await kraken.private("AddOrder", **RESTING | {"price": price}, oflags="post", cl_ord_id="p1")
    (txid,) = answer["txid"]
    order = (await kraken.private("QueryOrders", txid=txid))[txid]
    assert (order["status"], order["reason"], order["vol_exec"]) == ("canceled", "Post only order", "0.00000")
    assert order["oflags"] == "fciq,post"
    passive = await kraken.private("AddOrder", **RESTING, oflags="post")
    assert (await kraken.private("OpenOrders"))["open"].keys() == set(passive["txid"])


async def test_client_ids_are_unique_among_open_orders_only(kraken: KrakenExchange) -> None:
    """spot-clordid: formats and uniqueness; ClosedOrders finds all orders that had an id, QueryOrders finds none."""
    first = await kraken.private("AddOrder", **RESTING, cl_ord_id=UUID)
    assert await kraken.private("AddOrder", **RESTING, cl_ord_id=UUID) == "EOrder:Duplicate order"
    assert await kraken.private("CancelOrder", cl_ord_id=UUID) == {"count": 1}
    second = await kraken.private("AddOrder", **RESTING, cl_ord_id=UUID)
    assert (await kraken.private("OpenOrders", cl_ord_id=UUID))["open"].keys() == set(second["txid"])
    closed = await kraken.private("ClosedOrders", cl_ord_id=UUID)
    assert closed["closed"].keys() == set(first["txid"])
    assert await kraken.private("QueryOrders", cl_ord_id=UUID) == "EGeneral:Invalid arguments:txid"
    for good in (UUID.replace("-", ""), "x" * 18, "arb-20240509-00010"):
        assert "txid" in await kraken.private("AddOrder", **RESTING, cl_ord_id=good)
    for bad in ("x" * 19, "é", "", UUID + "0"):
        assert await kraken.private("AddOrder", **RESTING, cl_ord_id=bad) == "EGeneral:Invalid arguments:cl_ord_id"
    both = await kraken.private("AddOrder", **RESTING, cl_ord_id="a", userref=7)
    assert both == "EGeneral:Invalid arguments:cl_ord_id"


async def test_userrefs_tag_many_orders(kraken: KrakenExchange) -> None:
    """cancel-order: `txid` may be a userref."""
    for _ in range(2):
        await kraken.private("AddOrder", **RESTING, userref=7)
    await kraken.private("AddOrder", **RESTING, userref=8)
    assert len((await kraken.private("OpenOrders", userref=7))["open"]) == 2
    assert await kraken.private("CancelOrder", txid=7) == {"count": 2}
    assert len((await kraken.private("OpenOrders"))["open"]) == 1


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"pair": "NOPE"}, "EQuery:Unknown asset pair"),
        ({"type": "hold"}, "EGeneral:Invalid arguments:type"),
        ({"ordertype": "trailing-stop"}, "EGeneral:Invalid arguments:ordertype"),
        ({"price": "-1"}, "EGeneral:Invalid arguments:price"),
        ({"ordertype": "market"}, "EGeneral:Invalid arguments:price"),
        ({"volume": "0"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "0.000001"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "0.00001"}, "EOrder:Cost minimum not met"),
        ({"volume": "100"}, "EOrder:Insufficient funds"),
        ({"price": "60000.001"}, "EOrder:Invalid price:XBTUSDT price can only be specified up to 2 decimals."),
        ({"price": "60000.123456789"}, "EOrder:Invalid price:XBTUSDT price can only be specified up to 2 decimals."),
        ({"price": "1.00"}, "EOrder:Cost minimum not met"),
        ({"price": "10000.00"}, "EOrder:Invalid price"),
        ({"oflags": "viqc"}, "EGeneral:Invalid arguments:viqc"),
        ({"oflags": "gold"}, "EGeneral:Invalid arguments:oflags"),
        ({"timeinforce": "GTD"}, "EGeneral:Invalid arguments:timeinforce"),
        ({"timeinforce": "IOC", "oflags": "post"}, "EGeneral:Invalid arguments:post"),
        ({"leverage": "2"}, "EOrder:Cannot open position"),
        ({"stptype": "cancel-some"}, "EGeneral:Invalid arguments:stptype"),
        ({"deadline": "2023-11-14T22:13:21Z"}, "EGeneral:Invalid arguments:deadline"),
        ({"deadline": "2023-11-14T22:14:21Z"}, "EGeneral:Invalid arguments:deadline"),
        ({"validate": "perhaps"}, "EGeneral:Invalid arguments:validate"),
    ],
)
async def test_refusals(kraken: KrakenExchange, changed: dict[str, str], error: str) -> None:
    """spot-errors, add-order."""
    assert await kraken.private("AddOrder", **RESTING | changed) == error
    assert (await kraken.private("OpenOrders"))["open"] == {}


async def test_states_of_a_pair(kraken: KrakenExchange) -> None:
    """spot-errors, status: cancel_only takes cancels and no orders, maintenance neither."""
    (txid,) = (await kraken.private("AddOrder", **RESTING))["txid"]
    await kraken.admin.status("BTCUSDT", "HALT")
    assert await kraken.private("AddOrder", **RESTING) == "EService:Unavailable"
    assert await kraken.private("CancelOrder", txid=txid) == "EService:Unavailable"
    await kraken.admin.status("BTCUSDT", "CANCEL_ONLY")
    assert await kraken.private("AddOrder", **RESTING) == "EService:Market in cancel_only mode"
    assert await kraken.private("CancelOrder", txid=txid) == {"count": 1}


async def test_validation_places_nothing(kraken: KrakenExchange) -> None:
    answer = await kraken.private("AddOrder", **RESTING, validate="true", cl_ord_id="v1")
    assert answer == {"descr": {"order": "buy 0.01000 XBTUSDT @ limit 60000.00"}}
    assert (await kraken.private("OpenOrders"))["open"] == {}
    assert (await kraken.admin.receipt("main", "v1"))["received"] == 0


async def test_a_deadline_that_passed_while_a_fault_held_the_request(kraken: KrakenExchange) -> None:
    await kraken.admin.fault(kind="late", endpoint="/0/private/AddOrder", ms=50, count=1)
    late = asyncio.create_task(kraken.private("AddOrder", **RESTING, deadline="2023-11-14T22:13:23.000Z"))
    await kraken.eventually(lambda: kraken.venue.faults.counters.get("late") == 1)
    kraken.advance(3_100, 100)
    assert await late == "EService:Deadline elapsed"


async def test_immediate_orders_end_as_cancelled(kraken: KrakenExchange) -> None:
    """The rest of IOC and FOK is cancelled; a market order by quote amount (viqc) leaves less than one step."""
    for tif in ("IOC", "FOK"):
        (txid,) = (await kraken.private("AddOrder", **RESTING, timeinforce=tif))["txid"]
        assert (await kraken.private("QueryOrders", txid=txid))[txid]["status"] == "canceled"
    market = {"pair": "XBTUSDT", "type": "buy", "ordertype": "market", "volume": "100", "oflags": "viqc"}
    answer = await kraken.private("AddOrder", **market)
    assert answer["descr"]["order"] == "buy 100.00000000 XBTUSDT @ market"
    order = (await kraken.private("QueryOrders", txid=answer["txid"][0], trades="true"))[answer["txid"][0]]
    assert 99 < Decimal(order["cost"]) <= 100
    assert order["oflags"] == "fciq,viqc"
    assert order["trades"]


# ---------------------------------------------------------------------------------------------- history, balances


async def test_a_fill_in_order_trades_and_balances(kraken: KrakenExchange) -> None:
    """get-trade-history, get-account-balance, get-extended-balance: fees of a buy are in quote, balances are totals."""
    before = await kraken.private("Balance")
    assert before == {"XXBT": "10.00000000", "USDT": "1000000.00000000"}
    (txid,) = (await kraken.private("AddOrder", **RESTING | {"price": "64000.00"}, cl_ord_id="f1"))["txid"]
    held = await kraken.private("BalanceEx")
    assert await kraken.private("Balance") == before
    assert held["USDT"] == {"balance": "1000000.00000000", "hold_trade": "640.64000000"}  # with the highest fee
    await kraken.admin.fill("BTCUSDT", order_number(txid), "0.004")
    trades = await kraken.private("TradesHistory")
    ((name, trade),) = trades["trades"].items()
    assert trades["count"] == 1
    assert (trade["ordertxid"], trade["pair"], trade["type"], trade["maker"]) == (txid, "XBTUSDT", "buy", True)
    assert (trade["price"], trade["vol"], trade["cost"]) == ("64000.00000000", "0.00400", "256.00000000")
    assert trade["fee"] == "0.25600000"
    assert name[0] == "T"
    assert await kraken.private("Balance") == {"XXBT": "10.00400000", "USDT": "999743.74400000"}
    order = (await kraken.private("OpenOrders", trades="true"))["open"][txid]
    assert (order["status"], order["vol_exec"], order["fee"], order["trades"]) == (
        "open",
        "0.00400",
        "0.25600000",
        [name],
    )
    assert await kraken.private("CancelOrder", txid=txid) == {"count": 1}
    assert await kraken.private("CancelOrder", txid=txid) == "EOrder:Invalid order"
    assert await kraken.private("CancelOrder", txid="OUF4EM-FRGI2-MQMWZD") == "EOrder:Invalid order"
    order = (await kraken.private("ClosedOrders"))["closed"][txid]
    assert (order["status"], order["reason"], order["misc"]) == ("canceled", "User requested", "partial")
    assert (await kraken.private("BalanceEx"))["USDT"]["hold_trade"] == "0.00000000"
    fills = (await kraken.admin.fills("main"))["fills"]
    assert [(fill["fee"], fill["fee_asset"]) for fill in fills] == [("0.25600000", "USDT")]


async def test_history_is_newest_first_fifty_a_page(kraken: KrakenExchange) -> None:
    await kraken.admin.limits(protocol="kraken", calls=1000.0, transactions=1000.0)
    txids = []
    for _ in range(53):
        answer = await kraken.private("AddOrder", **RESTING | {"price": "64000.00", "volume": "0.001"})
        txids += answer["txid"]
        await kraken.admin.fill("BTCUSDT", order_number(answer["txid"][0]))
        kraken.advance(10)
    newest = [*reversed(txids)]
    page = await kraken.private("TradesHistory")
    assert [trade["ordertxid"] for trade in page["trades"].values()] == newest[:50]
    assert page["count"] == 53
    rest = await kraken.private("TradesHistory", ofs=50)
    assert [trade["ordertxid"] for trade in rest["trades"].values()] == newest[50:]
    names = [*page["trades"], *rest["trades"]]
    later = await kraken.private("TradesHistory", start=names[2], without_count="true")  # exclusive
    assert list(later["trades"]) == names[:2]
    assert "count" not in later
    until = await kraken.private("TradesHistory", end=names[50])  # inclusive
    assert list(until["trades"]) == names[50:]
    closed = await kraken.private("ClosedOrders")
    assert list(closed["closed"]) == newest[:50]
    assert list((await kraken.private("ClosedOrders", ofs=50))["closed"]) == newest[50:]


async def test_fills_of_one_taker_are_merged_unless_asked_otherwise(kraken: KrakenExchange) -> None:
    """get-trade-history: `consolidate_taker` is true by default."""
    size = sum(Decimal(level[1]) for level in (await kraken.admin.book("BTCUSDT"))["asks"][:3])
    market = {"pair": "XBTUSDT", "type": "buy", "ordertype": "market", "volume": str(size)}
    (txid,) = (await kraken.private("AddOrder", **market))["txid"]
    each = (await kraken.private("TradesHistory", consolidate_taker="false"))["trades"]
    assert len(each) >= 3
    ((name, merged),) = (await kraken.private("TradesHistory"))["trades"].items()
    assert name in each
    for field in ("vol", "cost", "fee"):
        assert Decimal(merged[field]) == sum(Decimal(trade[field]) for trade in each.values())
    assert merged["ordertxid"] == txid


async def test_own_orders_that_meet_have_a_trade_each(kraken: KrakenExchange) -> None:
    """One public trade, two fills: the trade_id is the same, the ids of the fills are not."""
    price, ahead = (Decimal(figure) for figure in (await kraken.admin.book("BTCUSDT"))["bids"][0])
    await kraken.private("AddOrder", **RESTING | {"price": str(price)})
    await kraken.admin.order(
        "BTCUSDT", "SELL", price=str(price), quantity=str(ahead + Decimal("0.01")), time_in_force="IOC",
        account="main", self_trade="NONE",
    )  # fmt: skip
    trades = (await kraken.private("TradesHistory", consolidate_taker="false"))["trades"]
    buys = [trade for trade in trades.values() if trade["type"] == "buy"]
    assert len(buys) == 1
    pair = [trade for trade in trades.values() if trade["trade_id"] == buys[0]["trade_id"]]
    assert sorted((trade["type"], trade["vol"], trade["maker"]) for trade in pair) == [
        ("buy", "0.01000", True),
        ("sell", "0.01000", False),
    ]


async def test_self_trade_prevention_cancels_the_newest(kraken: KrakenExchange) -> None:
    """add-order (stptype): the default is cancel-newest."""
    price = str(await best(kraken, "bids"))
    (first,) = (await kraken.private("AddOrder", **RESTING | {"price": price}))["txid"]
    await kraken.admin.fill("BTCUSDT", order_number(first), "0.001")  # so that no other order is ahead of the order
    sale = {"pair": "XBTUSDT", "type": "sell", "ordertype": "limit", "price": price, "volume": "0.01"}
    (second,) = (await kraken.private("AddOrder", **sale))["txid"]
    answer = await kraken.private("QueryOrders", txid=f"{first},{second}")
    assert (answer[first]["status"], answer[second]["status"]) == ("open", "canceled")
    assert answer[second]["reason"] == "Self trade prevention"


async def test_amendments_keep_the_ids(kraken: KrakenExchange) -> None:
    """amend-order, spot-amends: up, down, in price; below the filled amount the rest is cancelled."""
    (txid,) = (await kraken.private("AddOrder", **RESTING, cl_ord_id="a1"))["txid"]
    for fields in ({"order_qty": "0.02"}, {"order_qty": "0.015"}, {"limit_price": "64000.00"}):
        assert (await kraken.private("AmendOrder", cl_ord_id="a1", **fields))["amend_id"][0] == "T"
    order = (await kraken.private("OpenOrders"))["open"][txid]
    assert (order["vol"], order["descr"]["price"], order["cl_ord_id"]) == ("0.01500", "64000.00", "a1")
    crossing = {"limit_price": str(await best(kraken, "asks")), "post_only": "true"}
    assert await kraken.private("AmendOrder", txid=txid, **crossing) == "EOrder:Post only order"
    await kraken.admin.fill("BTCUSDT", order_number(txid), "0.005")
    assert "amend_id" in await kraken.private("AmendOrder", txid=txid, order_qty="0.004")
    order = (await kraken.private("QueryOrders", txid=txid))[txid]
    assert (order["status"], order["vol_exec"]) == ("canceled", "0.00500")
    assert await kraken.private("AmendOrder", txid=txid, order_qty="1") == "EOrder:Invalid order"


async def test_cancel_all_and_the_dead_mans_switch(kraken: KrakenExchange) -> None:
    """cancel-all-orders, cancel-all-orders-after."""
    for _ in range(2):
        await kraken.private("AddOrder", **RESTING)
    assert await kraken.private("CancelAll") == {"count": 2}
    (txid,) = (await kraken.private("AddOrder", **RESTING))["txid"]
    answer = await kraken.private("CancelAllOrdersAfter", timeout=60)
    assert answer == {"currentTime": "2023-11-14T22:13:20Z", "triggerTime": "2023-11-14T22:14:20Z"}
    kraken.advance(59_000, 100)
    assert txid in (await kraken.private("OpenOrders"))["open"]
    kraken.advance(1_100, 100)
    assert (await kraken.private("OpenOrders"))["open"] == {}
    (txid,) = (await kraken.private("AddOrder", **RESTING))["txid"]
    await kraken.private("CancelAllOrdersAfter", timeout=5)
    assert (await kraken.private("CancelAllOrdersAfter", timeout=0))["triggerTime"] == "0"
    kraken.advance(10_000, 100)
    assert txid in (await kraken.private("OpenOrders"))["open"]


async def test_volume_token_and_trade_balance(kraken: KrakenExchange) -> None:
    """get-trade-volume, get-websockets-token, get-trade-balance."""
    answer = await kraken.private("TradeVolume", pair="XBTUSDT")
    assert answer["fees"]["XBTUSDT"]["fee"] == answer["fees_maker"]["XBTUSDT"]["fee"] == "0.1000"
    assert (await kraken.private("GetWebSocketsToken"))["expires"] == 900
    assert Decimal((await kraken.private("TradeBalance"))["eb"]) > 1_000_000


# ---------------------------------------------------------------------------------------------------------- limits


async def test_the_call_counter_decays(kraken: KrakenExchange) -> None:
    """spot-rest-ratelimits: 20 calls, which decay by one a second; orders do not count, a trade history counts
    double."""
    for _ in range(18):
        await kraken.private("Balance")
    assert "trades" in await kraken.private("TradesHistory")
    assert await kraken.private("Balance") == "EAPI:Rate limit exceeded"
    assert "txid" in await kraken.private("AddOrder", **RESTING)
    assert isinstance(await kraken.private("Balance", key="OTHER"), dict)
    kraken.advance(1_000, 100)
    assert isinstance(await kraken.private("Balance"), dict)
    assert await kraken.private("Balance") == "EAPI:Rate limit exceeded"
    await kraken.admin.forgive()
    assert isinstance(await kraken.private("Balance"), dict)


async def test_the_engines_counter_costs_by_the_age_of_orders(kraken: KrakenExchange) -> None:
    """spot-ratelimits: the example of the page, an order amended after 7 s and cancelled 36 s later, counts 8."""
    await kraken.admin.limits(protocol="kraken", transactions_decay=0.0)
    account = kraken.venue.engine.accounts["main"]

    def counter() -> float:
        return kraken.desk.meter.transactions(account, "BTCUSDT", kraken.desk.now_ns())

    (txid,) = (await kraken.private("AddOrder", **RESTING))["txid"]
    kraken.advance(7_000, 100)
    await kraken.private("AmendOrder", txid=txid, order_qty="0.02")
    kraken.advance(36_000, 100)
    await kraken.private("CancelOrder", txid=txid)
    assert counter() == 1 + 1 + 2 + 4
    (txid,) = (await kraken.private("AddOrder", **RESTING))["txid"]
    await kraken.private("CancelOrder", txid=txid)
    assert counter() == 8 + 1 + 8
    assert await kraken.private("AddOrder", **RESTING | {"volume": "100"}) == "EOrder:Insufficient funds"
    assert counter() == 18  # even where it is refused
    await kraken.admin.limits(protocol="kraken", transactions=19)
    (txid,) = (await kraken.private("AddOrder", **RESTING))["txid"]
    assert await kraken.private("CancelOrder", txid=txid) == "EOrder:Rate limit exceeded"
    other = {"pair": "ETHUSDT", "type": "buy", "ordertype": "limit", "price": "3000.00", "volume": "0.01"}
    assert "txid" in await kraken.private("AddOrder", **other)  # every pair has a separate counter
    await kraken.admin.limits(protocol="kraken", transactions_decay=3.75)
    kraken.advance(1_000, 100)
    assert await kraken.private("CancelOrder", txid=txid) == {"count": 1}


# ---------------------------------------------------------------------------------------------------------- faults


async def test_a_new_order_may_be_unseen(kraken: KrakenExchange) -> None:
    """wire-quirks: a just-placed order may be absent from OpenOrders for a moment."""
    await kraken.admin.fault(kind="unseen", protocol="kraken", account="main", ms=1000)
    (txid,) = (await kraken.private("AddOrder", **RESTING, cl_ord_id="u1"))["txid"]
    assert (await kraken.private("OpenOrders", cl_ord_id="u1"))["open"] == {}
    assert await kraken.private("QueryOrders", txid=txid) == "EOrder:Invalid order"
    kraken.advance(1_000, 100)
    assert txid in (await kraken.private("OpenOrders"))["open"]


async def test_an_ended_order_may_be_forgotten(kraken: KrakenExchange) -> None:
    """The manual does not state how long ClosedOrders finds a cl_ord_id; the fault `forget` ends it at any time."""
    await kraken.private("AddOrder", **RESTING, cl_ord_id="g1")
    await kraken.private("CancelOrder", cl_ord_id="g1")
    await kraken.admin.fault(kind="forget", protocol="kraken", account="main", ms=1000)
    assert len((await kraken.private("ClosedOrders", cl_ord_id="g1"))["closed"]) == 1
    kraken.advance(1_000, 100)
    assert (await kraken.private("ClosedOrders", cl_ord_id="g1"))["closed"] == {}


async def test_outcomes_can_be_left_unknown(kraken: KrakenExchange) -> None:
    """accept_then_status: the order is there, and the answer is an error inside any HTTP status."""
    await kraken.admin.fault(kind="accept_then_status", endpoint="POST /0/private/AddOrder", status=520, count=1)
    status, body = await kraken.signed("AddOrder", **RESTING, cl_ord_id="k1")
    assert (status, json.loads(body)) == (520, {"error": ["EGeneral:Internal error"]})
    assert len((await kraken.private("OpenOrders", cl_ord_id="k1"))["open"]) == 1
    await kraken.admin.fault(
        kind="accept_then_status", endpoint="/0/private/AddOrder", code="EService:Timeout", count=1
    )
    assert opened((await kraken.signed("AddOrder", **RESTING))[1]) == "EService:Timeout"
    refused = await kraken.private("AddOrder", **RESTING | {"volume": "100"})
    assert refused == "EOrder:Insufficient funds"  # faults after the execution act on good answers only
    await kraken.admin.fault(kind="reject_later", protocol="kraken", ms=0, count=1)
    (txid,) = (await kraken.private("AddOrder", **RESTING))["txid"]
    await kraken.eventually(lambda: order_number(txid) not in kraken.venue.engine.accounts["main"].open)
    order = (await kraken.private("QueryOrders", txid=txid))[txid]
    assert (order["status"], order["reason"]) == ("canceled", "Order rejected")


async def test_balances_can_be_misstated(kraken: KrakenExchange) -> None:
    await kraken.admin.fault(kind="balance", account="main", asset="BTC", amount="0.5")
    assert (await kraken.private("Balance"))["XXBT"] == "10.50000000"
    assert (await kraken.private("BalanceEx"))["XXBT"] == {"balance": "10.50000000", "hold_trade": "0.00000000"}


async def test_both_protocols_trade_on_one_market(kraken: KrakenExchange) -> None:
    """An order placed by Kraken's protocol is in Binance's book and in the account's orders there."""
    answer = await kraken.private("AddOrder", **RESTING | {"price": "63000.00", "volume": "0.5"})
    status, body, _ = await kraken.get("depth", params={"symbol": "BTCUSDT", "limit": 1000})
    assert status == 200
    assert any(Decimal(price) == 63000 and Decimal(size) >= Decimal("0.5") for price, size in body["bids"])
    assert order_id(order_number(answer["txid"][0]) or 0) == answer["txid"][0]
