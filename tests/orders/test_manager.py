"""The order manager's commands and polls, as the facade sends them, against a real exchange and a real journal."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.fakes.account_host import Mesh, order, placing
from tests.fakes.clock import until
from tests.fakes.manager_host import everything
from venuemesh.actors.orders.role import OrderManagerRole
from venuemesh.actors.orders.settings import Limits
from venuemesh.model.errors import (
    InsufficientBalance,
    JournalUnavailable,
    Misconfigured,
    NotOffered,
    Paused,
    Rejected,
    RetryLater,
    RuleViolation,
    UnknownInstrument,
    UnknownOrder,
)

from .conftest import Bench, Case


class Trading:
    """One account with its manager in this process; `again` is its next incarnation."""

    def __init__(self, case: Case) -> None:
        self.case, self.mesh, self.incarnation = case, Mesh(case.place), 1
        self.low, self.high = str(case.price * 9 // 10), str(case.price * 11 // 10)

    @property
    def ids(self) -> list[str]:
        return self.case.ids

    async def start(self) -> None:
        await self.mesh.start()
        await self.mesh.ready()
        await self.mesh.streaming()

    async def again(self) -> None:
        await self.mesh.stop()
        self.incarnation += 1
        self.mesh = Mesh(self.case.place, incarnation=self.incarnation)
        await self.start()

    async def __call__(self, kind: str, body: Any = None) -> Any:
        return await self.mesh(kind, body)

    async def place(self, number: int, side: str = "buy", price: str | None = None, **more: Any) -> Any:
        wanted = order(self.ids[number], side, more.pop("amount", "0.01"), price, **more)
        return (await self.mesh("place", placing(wanted)))[0]

    async def events(self, timeout_s: float = 0.3, **body: Any) -> list[Any]:
        page = await self.mesh.ask(self.mesh.orders, "poll:events", {"after": 0, **body}, timeout_s)
        found: list[Any] = page["events"]
        return found

    async def right(self) -> None:
        final = await everything(self.mesh, {"ids": []})
        assert self.case.problems(final) == []
        assert not self.mesh.failures


@pytest.fixture
async def trading(bench: Bench) -> AsyncIterator[Callable[..., Any]]:
    made: list[Trading] = []

    async def start(**changes: Any) -> Trading:
        one = Trading(bench.case(recv_window_ms=1_500, **changes))
        made.append(one)
        await one.start()
        return one

    yield start
    for one in made:
        await one.mesh.stop()


async def test_a_repeated_command_is_answered_with_the_outcome_of_the_first(trading):
    one = await trading()
    body = placing(order(one.ids[0], "buy", "0.01", one.low))
    first, second = await asyncio.gather(one("place", body), one("place", body))
    assert first[0]["exchange_order_id"] == second[0]["exchange_order_id"]
    await one.again()
    assert (await one("place", body))[0]["exchange_order_id"] == first[0]["exchange_order_id"]
    with pytest.raises(Rejected) as other:
        await one("place", placing(order(one.ids[0], "sell", "0.01", one.high)))
    assert other.value.code == "duplicate_id"
    assert [row["received"] for row in one.case.receipts()] == [1]
    await one.right()


async def test_what_came_too_late_is_never_placed(trading):
    one = await trading()
    with pytest.raises(Rejected) as late:
        await one("place", placing(order(one.ids[0], "buy", "0.01", one.low), expires_s=-1.0))
    assert late.value.code == "expired"
    assert (await one("get", {"id": one.ids[0]}))["status"] == "FAILED"
    assert one.case.receipts() == []


async def test_an_id_that_was_queried_before_its_order_came_stays_unknown(trading):
    one = await trading()
    with pytest.raises(UnknownOrder):
        await one("get", {"id": one.ids[0]})
    await one.again()
    with pytest.raises(UnknownOrder):
        await one.place(0, price=one.low)
    assert one.case.receipts() == []


async def test_refusals_are_typed_and_nothing_of_them_is_sent(trading):
    one = await trading(
        limits=Limits(max_open_orders=1, price_band=Decimal("0.2")),
        pair_limits={"BTC-USDT": Limits(max_order_notional=Decimal(2000))},
    )
    await one.place(0, price=one.low)
    with pytest.raises(RuleViolation) as broken:
        await one.place(1, price=one.low)
    assert broken.value.rule == "max_open_orders"
    await one("cancel", {"id": one.ids[0]})
    for number, price, amount, rule in (
        (2, one.low, "1", "max_order_notional"),
        (3, str(one.case.price * 2), "0.001", "price_band"),
        (4, one.low, "0.00001", "min_notional"),
    ):
        with pytest.raises(RuleViolation) as broken:
            await one.place(number, price=price, amount=amount)
        assert broken.value.rule == rule
    with pytest.raises(UnknownInstrument):
        await one("place", placing({**order(one.ids[5], "buy", "1", "1"), "pair": "NO-SUCH"}))
    assert [row["client_order_id"] for row in one.case.receipts()] == [one.ids[0]]
    guards = (await one("account"))["guards"]
    assert (guards["account"]["price_band"], guards["BTC-USDT"]["max_order_notional"]) == ("0.2", "2000")


async def test_one_balance_is_not_spent_twice(trading):
    one = await trading()
    price = str(one.case.price * 105 // 100)
    first, second = await asyncio.gather(
        one.place(0, "sell", price=price, amount="3"),
        one.place(1, "sell", price=price, amount="3"),
        return_exceptions=True,
    )
    assert first["status"] == "OPEN"
    assert isinstance(second, InsufficientBalance)
    assert [row["client_order_id"] for row in one.case.receipts()] == [one.ids[0]]
    await one.right()


async def test_events_are_numbered_resumed_by_cursor_and_the_same_after_a_restart(trading):
    one = await trading()
    waiting = asyncio.ensure_future(one.mesh.ask(one.mesh.orders, "poll:events", {"limit": 10}, 5.0))
    await asyncio.sleep(0.05)
    await one.place(0, price=one.low, owner="quoter")
    page = await waiting
    assert [(event["number"], event["type"]) for event in page["events"]] == [(1, "created")]
    await one.place(1, owner="taker", amount="0.0002")
    await one.mesh.ask(one.mesh.orders, "poll:order", {"id": one.ids[1], "until": "done"}, 5.0)
    await one("cursor", {"name": "mine", "number": 1})
    await one("cursor", {"name": "mine", "number": 0})
    before = await one.events()
    await one.again()
    assert [event["type"] for event in before] == ["created", "created", "filled", "completed"]
    assert await one.events() == before
    assert await one("cursor_of", {"name": "mine"}) == 1
    page = await one.mesh.ask(one.mesh.orders, "poll:events", {"cursor": "mine"}, 1.0)
    assert [event["number"] for event in page["events"]] == [2, 3, 4]
    fresh = await one.mesh.ask(one.mesh.orders, "poll:events", {"cursor": "new"}, 1.0)
    assert [event["number"] for event in fresh["events"]] == [1, 2, 3, 4]
    mine = await one.events(owner="quoter")
    assert [event["number"] for event in mine] == [1]
    with pytest.raises(Rejected):
        await one("cursor", {"name": "mine", "number": 99})


async def test_reading_orders_fills_balances_fees_and_states(trading):
    one = await trading(maker_fee=Decimal("0.0002"))
    await one.place(0, price=one.low, owner="a")
    await one.place(1, owner="b", amount="0.002")
    await one.right()
    assert [row["client_order_id"] for row in (await one("orders", {"open": True}))["rows"]] == [one.ids[0]]
    assert (await one("orders", {"open": True, "owner": "b"}))["rows"] == []
    page = await one("orders", {"open": False, "limit": 1})
    rows = page["rows"]
    assert [row["client_order_id"] for row in rows] == [one.ids[0]]
    rest = (await one("orders", {"open": False, "after": page["next"]}))["rows"]
    assert [row["client_order_id"] for row in rest] == [one.ids[1]]
    fills = (await one("fills", {"id": one.ids[1]}))["rows"]
    assert {fill["client_order_id"] for fill in fills} == {one.ids[1]}
    assert (await one("fills", {"id": one.ids[0]}))["rows"] == []
    states = await one("tracking_states")
    assert list(states) == [one.ids[0]]
    assert await one("restore", {"states": states}) == []
    balances = await one("balances")
    assert float(balances["USDT"]["locked"]) > 0
    fees = await one("fees", {"pair": "BTC-USDT"})
    assert (fees["maker"], fees["taker"], fees["source"]) == ("0.0002", "0.00100000", "exchange")
    checked = await one("key_check")
    assert checked["can_trade"]
    raw = await one("request", {"method": "GET", "path": "/api/v3/openOrders", "params": {}})
    assert (raw["status"], raw["body"][0]["clientOrderId"]) == (200, one.ids[0])
    refused = await one("request", {"method": "DELETE", "path": "/api/v3/order", "params": {"symbol": "BTCUSDT"}})
    assert refused["status"] == 400


@pytest.mark.parametrize("changes", [{}, {"unknown_orders": "external"}])
async def test_orders_of_another_mesh_are_taken_over_and_requested(trading, bench, changes):
    one = await trading()
    await one.place(0, price=one.low)
    states = await one("tracking_states")
    await one.mesh.stop()
    two = Trading(bench.case(**changes))
    two.case.place.account, two.case.place.api_key = one.case.place.account, one.case.place.api_key
    two.case.place.secret = one.case.place.secret
    await two.start()
    try:
        assert await two("restore", {"states": states}) == [one.ids[0]]
        assert await two("restore", {"states": states}) == []
        status = await two("account")
        assert (status["adoptable"], status["adopted"]) == ([], [])
        found = await two("cancel", {"id": one.ids[0]})
        assert (found["done"], found["status"]) == (True, "CANCELED")
        with pytest.raises(Rejected):
            await two("restore", {"states": {"x": {**states[one.ids[0]], "account": "another"}}})
    finally:
        await two.mesh.stop()


async def test_trading_is_paused_for_the_account_or_a_pair_and_stays_so(trading):
    one = await trading()
    await one.place(0, price=one.low)
    await one("pause", {"scope": "BTC-USDT", "reason": "news"})
    with pytest.raises(Paused):
        await one.place(1, price=one.low)
    await one("resume", {"scope": "BTC-USDT"})
    await one("pause", {"scope": "account", "reason": "night"})
    await one.again()
    assert (await one("account"))["state"] == "PAUSED"
    with pytest.raises(Paused):
        await one.place(2, price=one.low)
    assert (await one("cancel", {"id": one.ids[0]}))["done"]
    await one("resume", {"scope": "account"})
    assert (await one.place(3, price=one.low))["status"] == "OPEN"
    with pytest.raises(UnknownInstrument):
        await one("pause", {"scope": "NO-SUCH"})


async def test_orders_of_a_dead_owner_are_cancelled_as_it_declared(trading):
    one = await trading()
    await one("lease", {"owner": "mortal", "on_death": "cancel", "lease_s": 0.3})
    await one("lease", {"owner": "careless", "on_death": "keep", "lease_s": 0.1})
    await one.place(0, price=one.low, owner="mortal")
    await one.place(1, price=one.low, owner="careless")
    found = await one.mesh.ask(one.mesh.orders, "poll:order", {"id": one.ids[0], "until": "done"}, 5.0)
    assert found["status"] == "CANCELED"
    assert [row["client_order_id"] for row in (await one("orders", {"open": True}))["rows"]] == [one.ids[1]]


async def test_a_manager_that_stops_cancels_open_orders_if_configured(trading):
    one = await trading(on_shutdown="cancel")
    await asyncio.gather(*(one.place(number, price=one.low) for number in range(3)))
    await one.mesh.stop()
    assert {row["status"] for row in one.case.ledger()["orders"]} == {"CANCELED"}


async def test_a_manager_that_still_starts_when_a_shutdown_comes_cancels_open_orders_if_configured(trading):
    one = await trading(on_shutdown="cancel")
    await asyncio.gather(*(one.place(number, price=one.low) for number in range(3)))
    await one.mesh.stop_manager(final=False)
    starts, may_start = asyncio.Event(), asyncio.Event()

    class Slow(OrderManagerRole):
        async def start(self) -> None:
            starts.set()
            await may_start.wait()
            await super().start()

    make = lambda context: Slow(one.case.place.settings().orders, context)  # noqa: E731
    starting = asyncio.ensure_future(one.mesh.cells.start(one.mesh.orders, make))
    await starts.wait()
    stopping = asyncio.ensure_future(one.mesh.stop_manager())
    await asyncio.sleep(0)
    may_start.set()
    with pytest.raises(RetryLater):
        await starting
    await stopping
    await one.mesh.stop()
    assert [row["status"] for row in one.case.ledger()["orders"]] == ["CANCELED"] * 3


async def test_a_manager_that_a_successor_follows_cancels_nothing(trading):
    one = await trading(on_shutdown="cancel")
    await asyncio.gather(*(one.place(number, price=one.low) for number in range(3)))
    await one.mesh.stop_manager(final=False)
    await one.mesh.stop()
    assert [row["status"] for row in one.case.ledger()["orders"]] == ["NEW"] * 3


@pytest.mark.parametrize("is_prepared", [True, False])
async def test_an_intent_that_becomes_durable_while_its_manager_ends_is_not_sent(trading, is_prepared):
    one = await trading()
    await one.place(0, price=one.low)
    shell = one.mesh.manager._shell
    submit, stop, held = shell.committer.submit, shell.markets.stop, asyncio.Event()
    durable = asyncio.Event()

    def slow(writes, batch_id=None, flushing=None):
        """Commit as the journal does, but tell so only later: a disk that stalls."""

        async def late():
            numbers = await done
            if is_prepared and flushing is not None:
                flushing()
            held.set()
            await durable.wait()
            return numbers

        done = submit(writes, batch_id)
        return asyncio.ensure_future(late())

    async def stop_markets():
        durable.set()
        for _ in range(20):
            await asyncio.sleep(0)
        await stop()

    shell._performer._commit_batch, shell.markets.stop = slow, stop_markets
    placing_it = asyncio.ensure_future(one.place(1, price=one.low))
    await held.wait()
    await one.mesh.stop_manager(final=False)
    placing_it.cancel()
    await asyncio.wait({placing_it})
    assert not one.mesh.failures
    assert shell.state != "FAILED"
    assert [row["received"] for row in one.case.receipts()] == [1], "only the first order was sent"


async def test_without_its_journal_a_manager_refuses_and_continues_when_it_is_back(trading):
    one = await trading()
    path = one.case.place.journal.removeprefix("sqlite:///")
    await one.place(0, price=one.low)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(JournalUnavailable):
            await one.place(1, price=one.low)
        assert (await one("account"))["state"] == "NO_JOURNAL"
        with pytest.raises(JournalUnavailable):
            await one.place(2, price=one.low)
        one.case.admin.cancel_all(one.case.place.account)
    finally:
        other.execute("ROLLBACK")
        other.close()
    await one.mesh.ready()
    found = await one.mesh.ask(one.mesh.orders, "poll:order", {"id": one.ids[0], "until": "done"}, 5.0)
    assert found["status"] == "CANCELED"
    assert (await one.place(3, price=one.low))["status"] == "OPEN"
    assert {row["client_order_id"] for row in one.case.receipts()} == {one.ids[0], one.ids[3]}
    await one.right()


async def test_orders_go_over_a_websocket_if_configured(trading):
    one = await trading(send_by="websocket")
    assert (await one.place(0, price=one.low))["status"] == "OPEN"
    assert (await one.place(1))["status"] in ("OPEN", "FILLED")
    (replaced, new) = await one(
        "replace",
        {"id": one.ids[0], "order": order(one.ids[2], "buy", "0.02", one.low), **placing(order("x", "buy", "1"))},
    )
    assert (replaced["status"], new["status"]) == ("CANCELED", "OPEN")
    assert (await one("amend", {"id": one.ids[2], "amount": "0.015"}))["amount"] == "0.01500000"
    results = await one("cancel_all", {"timeout_s": 5.0})
    assert [(row["client_order_id"], row["done"]) for row in results] == [(one.ids[2], True)]
    assert (await one("account"))["calls"]["sent"] == 5
    await one.right()


async def test_a_polled_account_is_followed_as_well(trading):
    one = await trading(source="polling", poll_fast_s=0.05, reconcile_s=(0.3, 60.0))
    await one.place(0, price=one.low)
    await one.place(1, amount="0.002")
    found = await one.mesh.ask(one.mesh.orders, "poll:order", {"id": one.ids[1], "until": "done"}, 5.0)
    assert found["status"] == "FILLED"
    one.case.admin.cancel_all(one.case.place.account)
    found = await one.mesh.ask(one.mesh.orders, "poll:order", {"id": one.ids[0], "until": "done"}, 5.0)
    assert found["status"] == "CANCELED"
    assert one.mesh.stream is not None
    assert one.mesh.stream.status()["source"] == "polling"


async def test_several_orders_of_one_command_and_an_order_list(trading):
    one = await trading()
    three = [order(one.ids[number], "buy", "0.01", one.low) for number in range(3)]
    found = await one("place", placing(*three))
    assert [row["status"] for row in found] == ["OPEN"] * 3
    high = str(one.case.price * 11 // 10)
    legs = [
        order(one.ids[4], "sell", "0.01", high, order_type="LIMIT_MAKER", time_in_force=None),
        order(one.ids[5], "sell", "0.01", None, order_type="STOP_LOSS", stop_price=one.low),
    ]
    listed = await one("place", {**placing(*legs), "list": "OCO"})
    assert len({row["list_id"] for row in listed} | {None}) >= 1
    assert {row["status"] for row in listed} == {"OPEN"}
    with pytest.raises(NotOffered):
        await one("place", {**placing(order(one.ids[6], "buy", "0.01", one.low)), "list": "NONSENSE"})
    results = await one("cancel_all", {"timeout_s": 5.0})
    assert all(row["done"] for row in results)
    await one.right()


@pytest.fixture
def stopped() -> Callable[[Trading], Any]:
    """Returns the queue of a manager, with no room for any order until the test makes room."""

    def stop(one: Trading) -> Any:
        placements = one.mesh.cells.role(one.mesh.orders)._placements  # type: ignore[attr-defined]
        placements._turns.limit(0, 0)
        return placements

    return stop


def release(placements: Any) -> None:
    placements._turns.limit(1, 1)
    placements._begin_turns()


@pytest.mark.parametrize("pair_limits", [{}, {"BTC-USDT": Limits(market_wait_s=20.0)}], ids=["account", "pair"])
async def test_a_market_order_that_waited_too_long_is_refused_and_a_limit_order_is_sent(trading, stopped, pair_limits):
    one = await trading(limits=Limits(market_wait_s=60.0 if pair_limits else 20.0), pair_limits=pair_limits)
    queue, asked_ns = stopped(one), time.time_ns() - 19_700_000_000  # sent again and again for so long
    late = asyncio.ensure_future(
        one("place", {**placing(order(one.ids[0], "buy", "0.0002", None)), "asked_ns": asked_ns})
    )
    limit = asyncio.ensure_future(
        one("place", {**placing(order(one.ids[1], "buy", "0.01", one.low)), "asked_ns": asked_ns})
    )
    await until(lambda: queue.status()["orders_queued"] == 2 and time.time_ns() > asked_ns + 20_000_000_000)
    release(queue)
    with pytest.raises(Rejected, match="market_wait_s") as refused:
        await late
    assert refused.value.code == "expired"
    assert (await one("get", {"id": one.ids[0]}))["status"] == "FAILED"
    assert (await limit)[0]["status"] == "OPEN"
    soon = {**placing(order(one.ids[2], "buy", "0.0002", None)), "asked_ns": time.time_ns()}
    assert (await one("place", soon))[0]["status"] in ("OPEN", "FILLED")
    assert [row["client_order_id"] for row in one.case.receipts()] == [one.ids[1], one.ids[2]]
    await one.right()


async def test_a_cancel_passes_queued_orders_and_those_of_a_cancelled_order_end_unsent(trading, stopped):
    one = await trading()
    resting = await one.place(0, price=one.low)
    queue = stopped(one)
    flood = [asyncio.ensure_future(one.place(n, price=one.low)) for n in range(1, 4)]
    await until(lambda: queue.status()["orders_queued"] == 3)
    assert (await one("cancel", {"id": resting["client_order_id"]}))["status"] == "CANCELED"
    cancelled = await one("cancel", {"id": one.ids[2]})
    assert (cancelled["done"], cancelled["status"]) == (True, "FAILED")
    with pytest.raises(Rejected) as refused:
        await flood[1]
    assert refused.value.code == "cancelled"
    asking = asyncio.ensure_future(one("get", {"id": one.ids[3]}))  # an order in the queue is known
    await asyncio.sleep(0.05)
    assert not asking.done()
    release(queue)
    assert [(await flood[0])["status"], (await flood[2])["status"]] == ["OPEN"] * 2
    assert (await asking)["status"] in ("PENDING_NEW", "OPEN")
    assert (await one("get", {"id": one.ids[2]}))["code"] == "cancelled"
    await one("cancel_all", {"timeout_s": 5.0})
    assert len(one.case.receipts()) == 3  # placed
    await one.right()


async def test_a_cancel_that_overtakes_its_order_ends_it_on_arrival(trading):
    one = await trading()
    cancelling = asyncio.ensure_future(one("cancel", {"id": one.ids[0], "pending": True}))
    again = asyncio.ensure_future(one("cancel", {"id": one.ids[0], "pending": True}))
    await asyncio.sleep(0.05)
    batch = placing(*(order(one.ids[n], "buy", "0.01", one.low) for n in range(2)))
    placed = await one("place", batch)
    assert [row["status"] for row in placed] == ["FAILED", "OPEN"]
    for result in await asyncio.gather(cancelling, again):
        assert (result["done"], result["status"]) == (True, "FAILED")
    await one("cancel_all", {"timeout_s": 5.0})
    await one.right()


async def test_cancel_all_ends_the_orders_of_the_queue_too(trading, stopped):
    one = await trading()
    queue = stopped(one)
    owners = ("a", "a", "b")
    flood = [asyncio.ensure_future(one.place(n, price=one.low, owner=owner)) for n, owner in enumerate(owners)]
    await until(lambda: queue.status()["orders_queued"] == 3)
    await one("cancel_all", {"timeout_s": 5.0, "owner": "a"})
    release(queue)
    found = await asyncio.gather(*flood, return_exceptions=True)
    assert [getattr(one, "code", None) for one in found[:2]] == ["cancelled"] * 2
    assert found[2]["status"] == "OPEN"
    await one("cancel_all", {"timeout_s": 5.0})
    await one.right()


async def test_messages_that_make_no_sense_are_refused_and_the_role_lives_on(trading):
    one = await trading()
    for kind, body in (
        ("nonsense", None),
        ("place", {"orders": []}),
        ("place", {"orders": [{"client_order_id": 5}]}),
        ("place", "text"),
        ("cancel", {}),
        ("amend", {"id": one.ids[0], "amount": "much"}),
        ("cancel_all", {"timeout_s": "long"}),
        ("reports", {"stream": "x"}),
        ("lease", {"owner": "a", "on_death": "haunt"}),
        ("restore", {"states": []}),
        ("request", {"method": "GET"}),
    ):
        with pytest.raises(Rejected):
            await one(kind, body)
    with pytest.raises((Rejected, Misconfigured)):
        await one("request", {"method": "GET", "path": "http://elsewhere.test/", "params": {}})
    for kind, body in (("poll:nonsense", {}), ("poll:order", {"id": one.ids[0], "until": "tea"})):
        with pytest.raises(Rejected):
            await one.mesh.ask(one.mesh.orders, kind, body, 0.1)
    assert not one.mesh.failures
