"""Kraken's trading codec over REST. Messages are our own in the manual's shape (rest-api, read 2026-11-27)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal as D

import orjson
import pytest

from venuemesh.connectors.kraken import CONNECTOR
from venuemesh.connectors.kraken.orders import KrakenTrading
from venuemesh.connectors.order_codec import Draft, Kind, Never, Refusal, Reply, Signed, joined
from venuemesh.connectors.uuid_ids import packed
from venuemesh.model.errors import DecodeError, NotOffered, OutcomeUnknown, Rejected, RetryLater
from venuemesh.model.events import Side
from venuemesh.model.http import HttpResponse
from venuemesh.model.instrument import Instrument
from venuemesh.model.order import NewOrder, Order, OrderStatus, OrderType, TimeInForce

BTC = Instrument("kraken", "BTC-USD", "BTC/USD", "BTC", "USD", 1, 8, aliases=("XBTUSD", "XXBTZUSD"))
ZETA = Instrument("kraken", "ZETA-EUR", "ZETA/EUR", "ZETA", "EUR", 4, 5, aliases=("ZETAEUR", "ZETAEUR"))
ID, TXID = "vm0mwz7mndn9r5vog1000011", "OUF4EM-FRGI2-MQMWZD"
S = OrderStatus


def codec():
    made = CONNECTOR.trading()
    made.bind([BTC, ZETA])
    return made


def new(
    kind: OrderType = OrderType.LIMIT, price: str | None = "37500", amount: str | None = "1.25", **more
) -> NewOrder:
    number = None if price is None else D(price)
    return NewOrder(ID, "BTC-USD", Side.BUY, kind, None if amount is None else D(amount), number, **more)


def known(txid: str | None = TXID) -> Order:
    return replace(_order(1_700_000_000 * 10**9), exchange_order_id=txid)


def _order(at: int) -> Order:
    return Order(
        exchange="kraken",
        account="main",
        client_order_id=ID,
        pair="BTC-USD",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        amount=D(2),
        price=D(1),
        time_in_force=TimeInForce.GTC,
        status=S.OPEN,
        created_ns=at,
        updated_ns=at,
    )


def read(
    draft: Draft, result: object = None, *errors: str, status: int = 200, made: KrakenTrading | None = None
) -> Reply:
    body = orjson.dumps({"error": list(errors), "result": result} if not errors else {"error": list(errors)})
    return (made or codec()).reply(Signed(draft, "1", Never(), "", ""), HttpResponse(status, {}, body, 5, 6))


def row(status: str = "open", **fields: object) -> dict[str, object]:
    described = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "37500.0", "price2": "0"}
    return {
        "cl_ord_id": packed(ID),
        "status": status,
        "opentm": orjson.Fragment(b"1688666559.8974000"),
        "descr": described,
        "vol": "1.25000000",
        "vol_exec": "0.37500000",
        "cost": "11253.7",
        "fee": "0.00000",
        "oflags": "fciq",
    } | fields


def trade(txid: str = TXID, at: str = "1688667796.8802", pair: str = "XXBTZUSD", **fields: object) -> dict[str, object]:
    return {
        "ordertxid": txid,
        "pair": pair,
        "time": orjson.Fragment(at.encode()),
        "type": "buy",
        "price": "30010.00000",
        "cost": "600.20000",
        "fee": "0.60020",
        "vol": "0.02000000",
        "maker": True,
    } | fields


# ------------------------------------------------------------------ drafts


@pytest.mark.parametrize(
    ("order", "wanted"),
    [
        (new(), {"ordertype": "limit", "price": "37500", "timeinforce": "GTC", "oflags": "fciq", "volume": "1.25"}),
        (new(time_in_force=TimeInForce.IOC), {"timeinforce": "IOC"}),
        (new(OrderType.LIMIT_MAKER), {"ordertype": "limit", "oflags": "fciq,post"}),
        (new(OrderType.MARKET, None), {"ordertype": "market", "volume": "1.25"}),
        (new(OrderType.MARKET, None, None, quote_amount=D("50.5")), {"oflags": "fciq,viqc", "volume": "50.5"}),
        (new(self_trade="cancel-oldest"), {"stptype": "cancel-oldest"}),
    ],
)
def test_an_order_as_parameters(order, wanted):
    draft = codec().place(order, BTC)
    params = dict(draft.params)
    assert {name: params[name] for name in wanted} == wanted
    assert (params["pair"], params["type"], params["cl_ord_id"]) == ("XBTUSD", "buy", packed(ID))
    assert ("price" in params) == (order.price is not None)
    assert (draft.rest, draft.orders, draft.pair) == (("POST", "/0/private/AddOrder"), (ID,), "BTC-USD")


@pytest.mark.parametrize(
    "order",
    [
        new(OrderType.STOP_LOSS, stop_price=D(1)),
        new(OrderType.STOP_LOSS_LIMIT),
        new(OrderType.MARKET, None, time_in_force=TimeInForce.FOK),
        new(quote_amount=D(5)),
        new(OrderType.MARKET, None, None),
    ],
)
def test_what_is_not_offered(order):
    with pytest.raises(NotOffered):
        codec().place(order, BTC)


def test_cancel_and_amend_go_by_the_exchange_s_id_where_it_is_known():
    assert codec().cancel(known(), BTC).params == (("txid", TXID),)
    assert codec().cancel(known(None), BTC).params == (("cl_ord_id", packed(ID)),)
    assert codec().amend(known(), BTC, D("0.5")).params == (("txid", TXID), ("order_qty", "0.5"))


# ------------------------------------------------------------------ answers


def test_an_acknowledgement_names_the_order_and_states_nothing():
    reply = read(codec().place(new(), BTC), {"descr": {"order": "buy"}, "txid": [TXID]})
    (report,) = reply.orders
    assert (report.client_order_id, report.exchange_order_id, report.status) == (ID, TXID, None)
    assert reply.taken == (ID,)
    assert read(codec().cancel(known(), BTC), {"count": 1}).taken == (ID,)
    assert read(codec().cancel(known(), BTC), {"count": 0}).absent
    (amended,) = read(codec().amend(known(), BTC, D("0.5")), {"amend_id": "T1"}).orders
    assert (amended.amount, amended.status) == (D("0.5"), None)


@pytest.mark.parametrize(
    ("word", "filled", "status"),
    [
        ("pending", "0.0", S.OPEN),
        ("open", "0.0", S.OPEN),
        ("open", "0.1", S.PARTIALLY_FILLED),
        ("closed", "1.25", S.FILLED),
        ("canceled", "0.1", S.CANCELED),
        ("expired", "0.0", S.EXPIRED),
    ],
)
def test_the_state_of_an_order(word, filled, status):
    reply = read(codec().query(ID, BTC, TXID), {TXID: row(word, vol_exec=filled, reason="why")})
    (report,) = reply.orders
    assert (report.status, report.filled, report.reason) == (status, D(filled), "why")
    assert (report.symbol, report.client_order_id, report.ts_event_ns) == ("BTC/USD", ID, 1688666559897400000)
    assert (report.amount, report.price, report.quote_filled) == (D("1.25"), D("37500"), D("11253.7"))


def test_queries_by_the_exchange_s_id_are_one_request():
    """get-orders-info: up to 50 ids, with commas; an order that is not in the answer is missing in the reply."""
    made = codec()
    drafts = [made.query(ID, BTC, TXID), made.query("vm2", ZETA, "O2"), made.query("vm3", BTC, "O3")]
    assert [made.can_join(one) for one in (*drafts, made.query(ID, BTC))] == [True, True, True, False]
    joint = made.join_queries(drafts)
    assert (dict(joint.params), joint.orders) == ({"txid": f"{TXID},O2,O3"}, (ID, "vm2", "vm3"))
    reply = read(joint, {"O3": row(), TXID: row("canceled")})
    assert [(one.client_order_id, one.exchange_order_id) for one in reply.orders] == [(ID, TXID), ("vm3", "O3")]
    assert read(joint, {}).absent


def test_an_unknown_state_is_not_guessed():
    with pytest.raises(DecodeError):
        read(codec().query(ID, BTC, TXID), {TXID: row("resting")})


def test_a_lookup_by_our_id_continues_in_the_closed_orders():
    first = codec().query(ID, BTC)
    assert first.rest[1] == "/0/private/OpenOrders"
    (report,) = read(first, {"open": {TXID: row()}}).orders
    assert report.client_order_id == ID
    then = read(first, {"open": {}}).then
    assert then is not None
    assert then.rest[1] == "/0/private/ClosedOrders"
    assert dict(then.params)["cl_ord_id"] == packed(ID)
    (report,) = read(then, {"closed": {TXID: row("canceled", closetm=1688666560)}}).orders
    assert report.status is S.CANCELED
    assert read(then, {"closed": {}}).absent
    assert read(then, {"closed": {TXID: row("canceled", cl_ord_id="another")}}).absent


def test_an_order_that_the_exchange_does_not_know_is_absent():
    assert read(codec().query(ID, BTC, TXID), None, "EOrder:Invalid order").absent
    with pytest.raises(Rejected):
        read(codec().cancel(known(), BTC), None, "EOrder:Invalid order")


def test_fills_of_an_order_are_walked_from_its_time_on():
    made = codec()
    first = made.fills(BTC, None, TXID)
    then = read(first, {TXID: row()}, made=made).then
    assert then is not None
    again = made.fills(BTC, None, TXID)
    assert (again.rest, again.params, again.orders) == (then.rest, then.params, then.orders)  # its time is known now
    assert dict(then.params) == {
        "consolidate_taker": "false",
        "without_count": "true",
        "ofs": "0",
        "start": str(1688666559 - 2),
    }
    trades = {"T1": trade(), "T2": trade("OTHER"), "T3": trade(pair="ZETAEUR")}
    (fill,) = read(then, {"trades": trades}).fills
    assert (fill.trade_id, fill.exchange_order_id, fill.is_maker) == ("T1", TXID, True)
    assert (fill.price, fill.amount, fill.quote_amount) == (D("30010"), D("0.02"), D("600.2"))
    assert (fill.fee, fill.fee_asset, fill.symbol) == (D("0.6002"), "USD", "BTC/USD")


def test_pages_of_fills_go_back_in_time():
    draft = codec().fills(BTC, 1_700_000_000 * 10**9)
    full = {f"T{at}": trade(at=f"16886677{99 - at:02d}.5") for at in range(50)}
    first = read(draft, {"trades": full})
    assert first.then is not None
    assert dict(first.then.params)["ofs"] == "50"
    last = read(first.then, {"trades": {"T50": trade(at="1688667000")}})
    assert last.then is None
    assert len(joined(first, last).fills) == 51
    times = [fill.ts_event_ns for fill in first.fills]
    assert times == sorted(times)


def test_history_has_closed_and_open_orders_of_the_pair():
    draft = codec().orders(BTC, 1_700_000_000 * 10**9)
    first = read(draft, {"closed": {"O1": row("canceled", closetm=1)}})
    assert [one.exchange_order_id for one in first.orders] == ["O1"]
    assert first.then is not None
    second = read(first.then, {"open": {"O2": row(), "O3": row(descr={**row()["descr"], "pair": "ZETAEUR"})}})
    assert [one.exchange_order_id for one in second.orders] == ["O2"]


ODD_ORDERS = ({"status": "odd"}, {"cl_ord_id": 7}, {"opentm": None}, {"descr": {}}, {"vol": ""})


@pytest.mark.parametrize("odd", ODD_ORDERS)
def test_an_unreadable_order_does_not_affect_others(odd):
    rows = {"ODD": row() | {"cl_ord_id": "theirs"} | odd, TXID: row()}
    for draft, key in ((codec().open_orders(), "open"), (codec().orders(BTC, None), "closed")):
        answer = read(draft, {key: rows})
        assert [one.exchange_order_id for one in answer.orders] == [TXID]
        assert [(one.name, one.client_id) for one in answer.left_out] == [
            ("ODD", None if "cl_ord_id" in odd else "theirs")
        ]
    made = codec()
    queries = [made.query(ID, BTC, TXID), made.query("vm2", BTC, "ODD")]
    joint = read(made.join_queries(queries), rows)
    assert ([one.client_order_id for one in joint.orders], joint.absent) == ([ID], False)
    with pytest.raises(DecodeError):
        read(queries[1], {"ODD": rows["ODD"]})
    (found,) = read(made.query(ID, BTC), {"open": rows}).orders
    assert found.exchange_order_id == TXID
    with pytest.raises(DecodeError):  # the unreadable order may be the one in the query
        read(made.query("vm2", BTC), {"open": rows})


def test_an_unreadable_fill_or_balance_does_not_affect_others():
    trades = {"T1": trade(), "T2": trade(price="0"), "T3": trade(txid="O2", vol="")}
    found = read(codec().fills(BTC, None), {"trades": trades})
    assert [one.trade_id for one in found.fills] == ["T1"]
    assert [one.name for one in found.left_out] == [TXID, "O2"]
    held = {"XXBT": {"balance": "3.5", "hold_trade": "1.25"}, "ZEUR": {"balance": None}}
    balances = read(codec().account(), held).account.balances
    assert (balances.balances, balances.whole, balances.unread) == ({"BTC": (D("2.25"), D("1.25"))}, True, ("EUR",))


def test_balances_are_ours_by_name_less_what_is_held():
    held = {
        "XXBT": {"balance": "3.5", "hold_trade": "1.25"},
        "ZEUR": {"balance": "10", "hold_trade": "0", "credit": "2", "credit_used": "0.5"},
        "ZETA": {"balance": "7", "hold_trade": "0"},
        "USD.M": {"balance": "1", "hold_trade": "0"},
    }
    report = read(codec().account(), held).account
    assert report is not None
    assert report.balances.balances == {
        "BTC": (D("2.25"), D("1.25")),
        "EUR": (D("11.5"), D(0)),
        "ZETA": (D(7), D(0)),
        "USD.M": (D(1), D(0)),
    }
    assert report.balances.whole


def test_fees_are_percent():
    tier = {"fee": "0.2600"}
    fees = read(codec().fees(BTC), {"fees": {"XXBTZUSD": tier}, "fees_maker": {"XXBTZUSD": {"fee": "0.1600"}}}).fees
    assert fees is not None
    assert (fees.taker, fees.maker) == (D("0.0026"), D("0.0016"))
    one_fee = read(codec().fees(BTC), {"fees": {"XXBTZUSD": tier}}).fees
    assert one_fee is not None
    assert one_fee.maker == D("0.0026")


def test_refusals():
    place = codec().place(new(), BTC)
    with pytest.raises(Rejected) as raised:
        read(place, None, "EAPI:Invalid nonce")
    assert codec().refusal(raised.value.code, raised.value.reason) is Refusal.NONCE
    with pytest.raises(RetryLater):
        read(place, None, "EOrder:Rate limit exceeded")
    for text in ("EService:Unavailable", "EOrder:Something new"):
        with pytest.raises(OutcomeUnknown):
            read(place, None, text)
    with pytest.raises(Rejected):
        read(place, None, "EOrder:Insufficient funds")


def test_an_answer_to_a_token():
    draft = codec().token()
    assert draft.kind is Kind.TOKEN
    reply = read(draft, {"token": "WW91ciBhdXRo", "expires": 900})
    assert reply.token == "WW91ciBhdXRo"
    assert "WW91" not in repr(reply)


# Batches


def test_a_batch_of_orders_is_json_and_costs_half() -> None:
    """add-order-batch: the pair and the deadline once, each order without them."""
    made = codec()
    second = replace(new(price="37000"), client_order_id="vm2")
    draft = made.batch([made.place(new(), BTC), made.place(second, BTC)])
    assert (draft.kind, draft.rest[1], draft.pair) == (Kind.BATCH_PLACE, "/0/private/AddOrderBatch", "BTC-USD")
    assert (draft.orders, draft.cost) == ((ID, "vm2"), (("transactions", 1),))
    signed = CONNECTOR.auth("hmac", "KEY", "c2VjcmV0").sign(draft, "1", 1_700_000_000 * 10**9, 5_000)
    assert signed.request is not None
    assert ("Content-Type", "application/json") in signed.request.headers
    body = orjson.loads(signed.request.body)
    assert list(body) == ["nonce", "pair", "orders", "deadline"]
    assert (body["nonce"], body["pair"]) == (1_700_000_000_000, "XBTUSD")
    assert [(row["cl_ord_id"], row["price"]) for row in body["orders"]] == [
        (packed(ID), "37500"),
        (packed("vm2"), "37000"),
    ]
    rows = [{"txid": TXID, "descr": {}}, {"error": "EOrder:Insufficient funds", "descr": {}}]
    reply = read(draft, {"orders": rows})
    assert [(one.client_order_id, one.exchange_order_id, one.status) for one in reply.orders] == [(ID, TXID, None)]
    assert reply.taken == (ID,)
    assert reply.refused == (("vm2", "EOrder:Insufficient funds", "EOrder:Insufficient funds"),)
    with pytest.raises(DecodeError):
        read(draft, {"orders": rows[:1]})


@pytest.mark.parametrize(("count", "taken", "absent"), [(2, (ID, "vm2"), False), (1, (), False), (0, (), True)])
def test_a_batch_of_cancels_is_only_counted(count: int, taken: tuple[str, ...], absent: bool) -> None:
    """cancel-order-batch: if only a part was cancelled, queries find which."""
    made = codec()
    other = replace(known(None), client_order_id="vm2")
    draft = made.batch([made.cancel(known(), BTC), made.cancel(other, BTC)])
    assert (draft.kind, draft.rest[1]) == (Kind.BATCH_CANCEL, "/0/private/CancelOrderBatch")
    assert dict(draft.params) == {"orders": f'["{TXID}"]', "cl_ord_ids": f'["{packed("vm2")}"]'}
    assert draft.cost == (("transactions", 16),)
    reply = read(draft, {"count": count})
    assert (reply.taken, reply.absent, reply.orders) == (taken, absent, ())


# What cancels and amendments cost (guides/spot-ratelimits)


@pytest.mark.parametrize(
    ("age_s", "cancel", "amend"), [(0, 8, 4), (5.5, 8, 4), (6.5, 6, 3), (14, 5, 2), (17, 4, 1), (80, 2, 1), (302, 0, 1)]
)
def test_an_order_that_has_rested_costs_less(age_s: float, cancel: int, amend: int) -> None:
    """Our time of an order is a little earlier than the exchange's: the cost allows a second for it."""
    made, order = codec(), known()
    now_ns = order.created_ns + int(age_s * 10**9)
    assert made.cancel(order, BTC).cost_at(now_ns) == (("transactions", cancel),)
    assert made.amend(order, BTC, D(1)).cost_at(now_ns) == (("transactions", amend),)
    both = made.batch([made.cancel(order, BTC), made.cancel(order, BTC)])
    assert both.cost_at(now_ns) == (("transactions", 2 * cancel),)
    assert both.cost == (("transactions", 16),)


def test_an_amended_order_is_as_young_as_its_amendment() -> None:
    made, order = codec(), known()
    draft = made.amend(order, BTC, D(1))
    later_ns = order.created_ns + 100 * 10**9
    body = orjson.dumps({"error": [], "result": {"amend_id": "TRAN6B-44CKX-YKDLWO"}})
    made.reply(Signed(draft, "1", Never(), "", ""), HttpResponse(200, {}, body, later_ns, later_ns))
    assert made.cancel(order, BTC).cost_at(later_ns + 2 * 10**9) == (("transactions", 8),)


def test_the_dead_man_switch_states_when_it_fires() -> None:
    """cancel-all-orders-after; an armed switch that states no time was not armed."""
    now, later = "2023-03-24T17:41:56Z", "2023-03-24T17:42:56Z"
    draft = codec().dead_man(60)
    assert (draft.kind, draft.rest[1], draft.params) == (
        Kind.DEAD_MAN,
        "/0/private/CancelAllOrdersAfter",
        (("timeout", "60"),),
    )
    assert read(draft, {"currentTime": now, "triggerTime": later}) == Reply()
    assert read(codec().dead_man(0), {"currentTime": now, "triggerTime": "0"}) == Reply()
    for wrong, asked in (("0", 60), (later, 0), ("2023-03-24T17:41:55Z", 60)):
        with pytest.raises(DecodeError):
            read(codec().dead_man(asked), {"currentTime": now, "triggerTime": wrong})


# Stop orders


@pytest.mark.parametrize(
    ("kind", "price", "expected"),
    [
        (OrderType.STOP_LOSS, None, {"ordertype": "stop-loss", "price": "40000"}),
        (OrderType.TAKE_PROFIT, None, {"ordertype": "take-profit", "price": "40000"}),
        (OrderType.STOP_LOSS_LIMIT, "40100", {"ordertype": "stop-loss-limit", "price": "40000", "price2": "40100"}),
        (OrderType.TAKE_PROFIT_LIMIT, "1", {"ordertype": "take-profit-limit", "price": "40000", "price2": "1"}),
    ],
)
def test_a_stop_order_has_its_trigger_first(kind: OrderType, price: str | None, expected: dict[str, str]) -> None:
    """add-order: `price` is the trigger price, `price2` the limit."""
    sent = dict(codec().place(new(kind, price, stop_price=D(40000)), BTC).params)
    assert {name: sent[name] for name in expected} == expected
    assert ("price2" in sent, "timeinforce" in sent) == ("price2" in expected, kind.has_price)
    described = {"pair": "XBTUSD", "type": "buy", "price2": "0", **expected}
    (order,) = read(codec().open_orders(), {"open": {TXID: row(descr=described)}}).orders
    assert (order.order_type, order.stop_price, order.price) == (kind, D(40000), None if price is None else D(price))
