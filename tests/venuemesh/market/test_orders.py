"""The trading half of the facade over a fake mesh: what it hands over, in which order, and what it makes of answers."""

import asyncio
import pickle
from decimal import Decimal

import pytest

from tests.fakes.link import FakeLink
from venuemesh import AsyncMarket, Market, Misconfigured, OutcomeUnknown, Rejected, RetryLater
from venuemesh.model.errors import InsufficientBalance, RuleViolation
from venuemesh.model.events import Side
from venuemesh.model.ids import OrderIds, is_ours
from venuemesh.model.instrument import Instrument
from venuemesh.model.order import (
    AccountEvent,
    EventType,
    NewOrder,
    OrderStatus,
    OrderType,
    TimeInForce,
    as_order,
)

D = Decimal
BTC = Instrument(
    "acme",
    "BTC-USDT",
    "BTCUSDT",
    "BTC",
    "USDT",
    2,
    5,
    price_increment=D("0.01"),
    size_increment=D("0.00001"),
    min_notional=D(5),
    order_types=("LIMIT", "MARKET"),
)


def trading_mesh(accounts=("main",)):
    return FakeLink([BTC], accounts)


@pytest.fixture
def mesh():
    return trading_mesh()


@pytest.fixture
def market(mesh):
    return Market(mesh, "acme", owner="quoter")


def an_order(client_order_id="vm1", status=OrderStatus.OPEN, **fields):
    asked = NewOrder(client_order_id, "BTC-USDT", Side.BUY, OrderType.LIMIT, D("0.1"), D(100), TimeInForce.GTC)
    plain = as_order(asked, "acme", "main", 5).to_dict()
    return plain | {"status": status.value} | fields


def event(number, client_order_id="vm1"):
    made = AccountEvent(number, EventType.PAUSED, "acme", "main", 7, reason="x")
    return made.to_dict()


def test_buy_returns_an_id_at_once_and_hands_over_what_was_asked(mesh, market):
    client_order_id = market.buy("BTC-USDT", "0.10", price="100.00")
    address, kind, body, _ = mesh.handed[0]
    assert (address, kind) == ("orders/acme/main", "place")
    order = NewOrder.from_dict(body["orders"][0])
    assert order == NewOrder(
        client_order_id,
        "BTC-USDT",
        Side.BUY,
        OrderType.LIMIT,
        D("0.10"),
        D("100.00"),
        TimeInForce.GTC,
        owner="quoter",
    )
    assert is_ours(client_order_id)
    assert mesh.asked == []


def test_ids_differ_also_between_copies_of_a_facade(mesh, market):
    copy = pickle.loads(pickle.dumps(market))
    assert (copy.exchange, copy.account, copy.owner, copy.on_death) == ("acme", "main", "quoter", "keep")
    made = [one.sell("BTC-USDT", 1, "MARKET") for one in (market, copy) for _ in range(50)]
    assert len(set(made)) == 100
    assert all(len(one) <= 32 for one in made)


def test_ids_are_made_of_what_is_given_and_nothing_else():
    one, two = OrderIds(1_000_000, 7), OrderIds(1_000_000, 7)
    assert [one() for _ in range(3)] == [two() for _ in range(3)]
    assert not is_ours("web_7f3a")


def test_floats_are_fine_where_nothing_is_sent_and_text_where_an_enum_is_meant(mesh, market):
    assert market.quantize_price("BTC-USDT", 0.1 + 0.2, "BUY") == D("0.30")
    assert market.quantize_amount("BTC-USDT", 0.12345) == market.quantize_amount("BTC-USDT", "0.12345") > 0
    assert market.price_increment("BTC-USDT", 100.5) == market.price_increment("BTC-USDT", "100.5")
    with pytest.raises(Rejected, match="not finite"):
        market.quantize_price("BTC-USDT", float("nan"))
    amount = market.quantize_amount("BTC-USDT", 0.5)
    order = market.new_order("Buy", "BTC-USDT", amount, "limit", price="100", time_in_force="ioc")
    assert (order.side, order.order_type, order.time_in_force) == (Side.BUY, OrderType.LIMIT, TimeInForce.IOC)


def test_an_order_made_by_hand_is_read_by_the_same_rule():
    """0.3 as a float is a little less: the manager would round it down by a step."""
    made = NewOrder("one", "BTC-USDT", "buy", "limit", "0.3", 100, "gtc")
    assert made == NewOrder("one", "BTC-USDT", Side.BUY, OrderType.LIMIT, D("0.3"), D(100), TimeInForce.GTC)
    for field in ("amount", "price", "quote_amount", "stop_price"):
        with pytest.raises(TypeError, match=f"{field} is 0.3; give text"):
            NewOrder("one", "BTC-USDT", **{"side": "buy", "order_type": "LIMIT", "amount": D(1), field: 0.3})
        with pytest.raises(Rejected, match=field):
            NewOrder("one", "BTC-USDT", **{"side": "buy", "order_type": "LIMIT", "amount": D(1), field: "1_0"})
    with pytest.raises(Rejected, match="MARKET"):
        NewOrder("one", "BTC-USDT", "buy", "ICEBERG", D(1))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"amount": 0.1, "price": D(100)}, TypeError),
        ({"amount": True, "price": D(100)}, TypeError),
        ({"amount": "a lot", "price": D(100)}, Rejected),
        ({"amount": "NaN", "price": D(100)}, Rejected),
        ({"amount": "0.00001", "price": D(100)}, RuleViolation),
        ({"amount": "1"}, RuleViolation),
        ({"amount": "1", "price": D(100), "order_type": "ICEBERG"}, Rejected),
        ({"amount": "1", "price": D(100), "time_in_force": "DAY"}, Rejected),
        ({"amount": "1", "price": D(100), "order_type": "LIMIT_MAKER"}, RuleViolation),
    ],
)
def test_what_is_no_order_is_refused_before_anything_is_handed_over(mesh, market, arguments, error):
    with pytest.raises(error):
        market.buy("BTC-USDT", **arguments)
    assert mesh.handed == []


def test_a_pair_whose_rules_are_not_known_here_is_left_to_the_manager(mesh, market):
    market.buy("ETH-USDT", "0.00001", price="1")
    assert len(mesh.handed) == 1


def test_the_owner_is_announced_with_its_first_order_and_not_before(mesh):
    market = Market(mesh, "acme", owner="quoter", on_death="cancel")
    assert mesh.owned == []
    market.buy("BTC-USDT", 1, price=100)
    market.buy("BTC-USDT", 1, price=100)
    assert mesh.owned == [("orders/acme/main", "quoter", "cancel")]


def test_cancelling_on_death_needs_an_owner(mesh):
    with pytest.raises(Misconfigured, match="owner"):
        Market(mesh, "acme", on_death="cancel")
    with pytest.raises(Misconfigured, match="or 'cancel'"):
        Market(mesh, "acme", owner="x", on_death="sell")


def test_an_account_must_be_named_when_there_are_several():
    several = trading_mesh(("main", "hedge"))
    market = Market(several, "acme")
    with pytest.raises(Misconfigured, match="one of main, hedge"):
        market.buy("BTC-USDT", 1, price=100)
    assert Market(several, "acme", "hedge").account == "hedge"
    with pytest.raises(Misconfigured, match="known are: main, hedge"):
        Market(several, "acme", "other")
    with pytest.raises(Misconfigured, match="has no account"):
        Market(trading_mesh(()), "acme").balances()


async def test_wait_asks_only_when_the_order_has_reached_the_manager(mesh, market):
    client_order_id = market.buy("BTC-USDT", 1, price=100)
    mesh.answers["poll:order"] = [None, an_order(client_order_id, OrderStatus.FILLED)]
    waiting = asyncio.create_task(market.aio.wait(client_order_id))
    for _ in range(5):
        await asyncio.sleep(0)
    assert mesh.asked == []
    mesh.handed[0][3].set_result([an_order(client_order_id)])
    assert (await waiting).status is OrderStatus.FILLED
    assert [kind for _, kind, _ in mesh.asked] == ["poll:order", "poll:order"]


async def test_wait_returns_an_order_that_was_refused_before_it_was_sent(mesh, market):
    client_order_id = market.buy("BTC-USDT", 1, price=100)
    mesh.handed[0][3].set_exception(InsufficientBalance("USDT", "100", "7"))
    mesh.answers["poll:order"] = an_order(client_order_id, OrderStatus.FAILED, code="insufficient_balance")
    assert (await market.aio.wait(client_order_id)).code == "insufficient_balance"


async def test_wait_gives_up_at_its_timeout(mesh, market):
    mesh.answers["poll:order"] = RetryLater(0.0, "no role serves it")
    with pytest.raises(RetryLater, match="not done within"):
        await market.aio.wait("vm1", timeout_s=0.05)


async def test_place_returns_the_answer_of_the_exchange(mesh, market):
    mesh.answers["place"] = [[an_order("vm9", OrderStatus.OPEN)]]
    order = await market.aio.place("sell", "BTC-USDT", 1, price=100)
    assert order.status is OrderStatus.OPEN
    asked = mesh.asked[0][2]
    assert asked["orders"][0]["side"] == "sell"
    assert asked["expires_ns"] > 0


async def test_an_unanswered_place_names_its_id(mesh, market):
    mesh.answers["place"] = OutcomeUnknown("place to orders/acme/main", "no answer within 25 s")
    with pytest.raises(OutcomeUnknown) as unknown:
        await market.aio.place("sell", "BTC-USDT", 1, price=100)
    assert is_ours(unknown.value.what)


def test_a_question_without_an_answer_may_be_asked_again(mesh, market):
    mesh.answers["balances"] = OutcomeUnknown("balances", "cell died")
    with pytest.raises(RetryLater):
        market.balances()


def test_a_cancel_waits_for_no_order_and_says_that_its_own_is_still_on_its_way(mesh, market):
    client_order_id = market.buy("BTC-USDT", 1, price=100)
    assert market.cancel(client_order_id) == client_order_id
    assert [(kind, body.get("pending")) for _, kind, body, _ in mesh.handed] == [("place", None), ("cancel", True)]
    mesh.handed[0][3].set_result([an_order(client_order_id)])
    market.cancel(client_order_id)
    assert mesh.handed[2][2] == {"id": client_order_id, "pending": False}


def test_cancel_all_gives_a_result_per_order(mesh, market):
    mesh.answers["cancel_all"] = [
        [{"client_order_id": "vm1", "done": False, "status": "UNKNOWN", "code": None, "reason": "no answer"}]
    ]
    (result,) = market.cancel_all(3.0, owner="quoter")
    assert not result.done
    assert mesh.asked[0][2] == {"timeout_s": 3.0, "pair": None, "owner": "quoter"}


async def test_events_come_in_order_and_continue_after_the_last_seen(mesh, market):
    mesh.answers["poll:events"] = [
        {"events": [event(4), event(5)], "next": 5, "lineage": "one"},
        None,
        RetryLater(0.0, "adopting"),
        {"events": [event(6)], "next": 6, "lineage": "one"},
    ]
    seen = []
    async for one in market.aio.events(after=3):
        seen.append(one.number)
        if len(seen) == 3:
            break
    assert seen == [4, 5, 6]
    assert [body["after"] for _, _, body in mesh.asked] == [3, 5, 5, 5]


async def test_a_cursor_is_saved_only_for_handled_events(mesh, market):
    mesh.answers["poll:events"] = [
        {"events": [event(1), event(2)], "next": 2, "lineage": "one"},
        {"events": [event(3)], "next": 3, "lineage": "one"},
    ]
    mesh.answers["cursor"] = [None, None, None]
    stream = market.aio.events(cursor="quoter-1")
    assert (await anext(stream)).number == 1
    assert (await anext(stream)).number == 2
    assert [body for _, kind, body in mesh.asked if kind == "cursor"] == []  # the second is still being handled
    assert (await anext(stream)).number == 3
    await stream.aclose()
    assert [body for _, kind, body in mesh.asked if kind == "cursor"] == [{"name": "quoter-1", "number": 2}]
    assert mesh.asked[0][2]["cursor"] == "quoter-1"


async def test_a_cursor_stops_at_the_event_before_the_one_that_was_not_finished(mesh, market):
    mesh.answers["poll:events"] = [{"events": [event(1), event(2), event(3)], "next": 3, "lineage": "one"}]
    mesh.answers["cursor"] = [None]
    stream = market.aio.events(cursor="quoter-1")
    for _ in range(3):
        await anext(stream)
    await stream.aclose()
    assert [body for _, kind, body in mesh.asked if kind == "cursor"] == [{"name": "quoter-1", "number": 2}]


def test_fees_are_estimated_in_the_asset_that_is_received(mesh, market):
    mesh.answers["fees"] = {"maker": "0.001", "taker": "0.002", "source": "exchange"}
    buy = market.get_fee("BTC-USDT", 2, 100)
    assert (buy.rate, buy.asset, buy.amount) == (D("0.002"), "BTC", D("0.004"))
    sell = market.get_fee("BTC-USDT", 2, 100, is_maker=True, side="sell")
    assert (sell.rate, sell.asset, sell.amount) == (D("0.001"), "USDT", D("0.2"))


def test_numbers_are_quantized_by_the_rules_of_the_pair(market):
    assert market.quantize_price("BTC-USDT", "100.009") == D("100.00")
    assert market.quantize_price("BTC-USDT", "100.001", "sell") == D("100.01")
    assert market.quantize_amount("BTC-USDT", "0.123456789") == D("0.12345")
    assert market.price_increment("BTC-USDT") == D("0.01")
    assert market.size_increment("BTC-USDT") == D("0.00001")
    with pytest.raises(Misconfigured):
        market.quantize_price("ETH-USDT", 1)


def test_what_an_account_holds(mesh, market):
    row = {"asset": "BTC", "total": "3", "free": "2", "locked": "1", "available": "1.5"}
    mesh.answers["balances"] = {"BTC": row}
    assert market.available("BTC") == D("1.5")
    assert market.balance("ETH").total == 0


def test_the_two_forms_share_owner_ids_and_what_is_on_its_way(mesh):
    market = Market(mesh, "acme", owner="quoter", on_death="cancel")
    one, two = market.buy("BTC-USDT", 1, price=100), market.aio.buy("BTC-USDT", 1, price=100)
    assert one[:-1] == two[:-1]  # of one maker, one after the other
    assert len(mesh.owned) == 1
    assert [market.aio.account, market.aio.owner, market.aio.on_death] == ["main", "quoter", "cancel"]
    market.aio.cancel(one)  # knows the order that the other form handed over
    assert [kind for _, kind, *_ in mesh.handed] == ["place", "place", "cancel"]
    assert mesh.handed[2][2]["pending"]


def test_the_blocking_form_places_waits_and_cancels(mesh, market):
    mesh.answers |= {
        "place": [[an_order("vm9")]],
        "poll:order": [None, an_order("vm9", OrderStatus.FILLED)],
        "cancel": {"client_order_id": "vm9", "done": True, "status": "CANCELED", "code": None, "reason": None},
    }
    assert market.place("sell", "BTC-USDT", 1, price=100).status is OrderStatus.OPEN
    assert market.wait("vm9").status is OrderStatus.FILLED
    assert market.cancel_and_wait("vm9").done


def test_events_are_iterated_over_without_a_loop(mesh, market):
    mesh.answers["poll:events"] = [{"events": [event(1), event(2)], "next": 2, "lineage": "one"}]
    mesh.answers["cursor"] = [None]
    for seen in market.events(cursor="quoter-1"):
        if seen.number == 2:
            break
    assert [body for _, kind, body in mesh.asked if kind == "cursor"] == [{"name": "quoter-1", "number": 1}]


async def test_nothing_is_sent_by_a_blocking_call_on_an_event_loop(mesh, market):
    mesh.answers |= {"place": [[an_order()]], "balances": {}}
    for call in (lambda: market.place("sell", "BTC-USDT", 1, price=100), market.balances, market.cancel_all):
        with pytest.raises(Misconfigured, match=r"market\.aio"):
            call()
    assert mesh.asked == mesh.handed == mesh.owned == []
    market.buy("BTC-USDT", 1, price=100)  # hands over and returns at once
    assert [kind for _, kind, _ in mesh.asked] == ["place"]


async def test_cancelling_the_caller_cancels_the_question(mesh):
    market = AsyncMarket(mesh, "acme")
    asking = asyncio.create_task(market.balances())
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert mesh.handed[0][3].cancelled()


def test_listings_are_read_to_their_end_or_say_where_they_were_cut(mesh, market):
    names = [f"vm{n}" for n in range(5)]

    def pages(*cut):
        return [{"rows": [an_order(name) for name in rows], "next": after} for rows, after in cut]

    mesh.answers["orders"] = pages((names[:2], [5, "vm1"]), (names[2:4], [5, "vm3"]), (names[4:], None))
    assert list(market.in_flight_orders()) == names
    assert [body["after"] for _, _, body in mesh.asked[1:]] == [[5, "vm1"], [5, "vm3"]]
    mesh.answers["orders"] = pages((names[:2], [5, "vm1"]), (names[2:], None))
    assert [order.client_order_id for order in market.limit_orders()] == names
    mesh.asked.clear()
    mesh.answers["orders"] = pages((names[3:], 4), (names[1:3], None))
    newest = market.orders(limit=1_001, newest=True)
    assert [order.client_order_id for order in newest] == names[1:]
    assert [(body["before"], body["limit"]) for _, _, body in mesh.asked] == [(None, 1_000), (4, 999)]
    mesh.answers["orders"] = pages((names[:2], 2))
    assert market.orders(limit=2).next == 2
    with pytest.raises(Rejected):
        market.fills(limit=0)
