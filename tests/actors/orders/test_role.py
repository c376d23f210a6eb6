"""The parts of the manager's shell: effects in order, what is shown, the stream's numbers, the last look at a write."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.fakes.clock import FakeClock, until
from tests.fakes.trading import PlainAuth, PlainCodec, order_plain
from venuemesh.actors.account.reports import Marker
from venuemesh.actors.account.wire import Wire
from venuemesh.actors.cell.role import Context
from venuemesh.actors.limits.budget import Budget
from venuemesh.actors.orders.inbox import StreamEnd
from venuemesh.actors.orders.machine.effects import Answer, Ask, Commit, Halt, MeasureClock, Purpose, Refuse, Send
from venuemesh.actors.orders.performer import Performer
from venuemesh.actors.orders.reads import View
from venuemesh.actors.orders.settings import born, order_settings
from venuemesh.connectors.order_codec import Draft, Kind
from venuemesh.connectors.reports import OrderReport
from venuemesh.journal.writes import Batch, PutEvent, PutMark, PutOrder
from venuemesh.model.errors import (
    Fenced,
    InvalidTransition,
    JournalUnavailable,
    Misconfigured,
    OutcomeUnknown,
    Rejected,
    RetryLater,
)
from venuemesh.model.events import Side
from venuemesh.model.http import HttpResponse
from venuemesh.model.ids import OrderIds
from venuemesh.model.order import AccountEvent, EventType, Order, OrderStatus, OrderType


class Journal:
    """Commits when the test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, asyncio.Future[list[int]]]] = []

    async def commit(self, writes: Any, batch_id: str | None = None) -> list[int]:
        done: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self.asked.append((batch_id or "", done))
        return await done

    def answer(self, at: int = 0, error: Exception | None = None) -> None:
        done = self.asked[at][1]
        done.set_result([]) if error is None else done.set_exception(error)


class Role:
    """Notes what it is asked to do, in order."""

    def __init__(self) -> None:
        self.did: list[Any] = []
        self.failed: list[Any] = []

    def committed(self, writes: Any, numbers: Any) -> None:
        self.did.append(("committed", writes[0].name))

    def send(self, effect: Send) -> None:
        self.did.append(("send", effect.request))

    def ask(self, effect: Ask) -> None:
        self.did.append(("ask", effect.ask_id))

    def lookup(self, effect: Any) -> None:
        self.did.append(("lookup", effect))

    def measure_clock(self) -> None:
        self.did.append(("clock", None))

    def journal_failed(self, effects: Any, error: Any) -> None:
        self.failed.append((list(effects), error))

    def halt(self, error: BaseException) -> None:
        self.did.append(("halt", type(error).__name__))


def commit(name: str) -> Commit:
    return Commit(Batch(name, (PutMark(name, "x"),)))


def send(name: str) -> Send:
    return Send(name)  # type: ignore[arg-type]


@pytest.fixture
async def rig():
    journal, role = Journal(), Role()
    performer = Performer(journal.commit, role)
    performer.start()
    yield SimpleNamespace(journal=journal, role=role, performer=performer)
    await performer.stop()


async def test_nothing_behind_a_commit_happens_before_it_is_durable_and_all_of_it_in_order(rig):
    token = asyncio.get_running_loop().create_future()
    ask = Ask(7, Purpose.QUERY, None)  # type: ignore[arg-type]
    rig.performer.perform(
        [send("free"), commit("1"), send("a"), ask, MeasureClock(), commit("2"), Answer(token, "done")]
    )
    await until(lambda: len(rig.journal.asked) == 2)
    assert rig.role.did == [("send", "free"), ("ask", 7), ("clock", None)]
    rig.journal.answer(1)
    await asyncio.sleep(0.01)
    assert not token.done()
    rig.journal.answer(0)
    assert await token == "done"
    assert rig.role.did[3:] == [("committed", "1"), ("send", "a"), ("committed", "2")]
    refused = asyncio.get_running_loop().create_future()
    rig.performer.perform([Refuse(refused, Rejected("no", "no")), Halt(Rejected("x", "y"))])
    with pytest.raises(Rejected):
        await refused
    assert rig.role.did[-1] == ("halt", "Rejected")


async def test_a_failed_commit_takes_all_behind_it_along_later_commits_too(rig):
    rig.performer.perform([commit("1"), send("a"), commit("2"), send("b")])
    await until(lambda: len(rig.journal.asked) == 2)
    rig.journal.answer(0, JournalUnavailable(1.0, "disk full"))
    rig.performer.perform([commit("3"), send("c")])  # before anybody has looked at the failure
    rig.journal.answer(1, JournalUnavailable(1.0, "disk full"))
    await until(lambda: rig.role.failed)
    ((effects, error),) = rig.role.failed
    assert [one.batch.id if isinstance(one, Commit) else one.request for one in effects] == [
        "1",
        "a",
        "2",
        "b",
        "3",
        "c",
    ]
    assert isinstance(error, JournalUnavailable)
    assert rig.role.did == []
    assert [name for name, _ in rig.journal.asked] in (["1", "2"], ["1", "2", "3"])
    rig.performer.perform([commit("4"), send("d")])
    await until(lambda: rig.journal.asked[-1][0] == "4")
    rig.journal.answer(-1)
    await until(lambda: rig.role.did == [("committed", "4"), ("send", "d")])


async def test_a_newer_epoch_ends_the_role(rig):
    rig.performer.perform([commit("1"), send("a")])
    await until(lambda: rig.journal.asked)
    rig.journal.answer(0, Fenced("orders/acme/main", (1, 0), (2, 0)))
    await until(lambda: rig.role.did == [("halt", "Fenced")])


# ---------------------------------------------------------------------------------------------------------- the view


def order(name: str, status: OrderStatus = OrderStatus.OPEN, created_ns: int = 1) -> Order:
    return Order(
        "acme", "main", name, "A-B", Side.BUY, OrderType.LIMIT, Decimal(1), Decimal(1), None, status, created_ns, 1
    )


def event(name: str) -> PutEvent:
    return PutEvent(AccountEvent(0, EventType.CREATED, "acme", "main", 1, order=order(name)))


async def test_the_view_shows_what_is_durable_numbers_events_and_wakes_who_waits():
    view = View(6, [order("old", created_ns=5)], events=3, done=2)
    assert view.events(5, 10) == []
    waiting = asyncio.ensure_future(view.news(5))
    changed = asyncio.ensure_future(view.changed("new"))
    await asyncio.sleep(0)
    view.committed([PutOrder(order("new"), "NEW", 1), event("new"), event("old")], [6, 7])
    await asyncio.gather(waiting, changed)
    assert [one.number for one in view.events(5, 10) or []] == [6, 7]
    assert [one.number for one in view.events(5, 1) or []] == [6]
    assert view.events(4, 10) is None  # only the journal has it
    view.committed([event("new"), event("old")], [6, 7])  # a batch that was repeated
    assert view.last == 7
    assert [one.client_order_id for one in view.open_orders()] == ["new", "old"]
    for name in ("a", "b", "c"):
        view.committed([PutOrder(order(name, OrderStatus.FILLED), "FILL", 1)], [])
    assert view.order("a") is None
    assert view.order("c") is not None
    with pytest.raises(InvalidTransition):
        view.committed([event("new")], [])


async def test_who_gives_up_waiting_for_an_order_leaves_nothing_behind():
    view = View(1, [order("one")])
    waiting = [asyncio.ensure_future(view.changed("one")) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.gather(waiting[0], return_exceptions=True)
    view.committed([PutOrder(order("one", OrderStatus.OPEN), "ACK", 1)], [])
    await waiting[1]
    late = asyncio.ensure_future(view.changed("one"))
    await asyncio.sleep(0)
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    assert not view._waiters


# ------------------------------------------------------------------------------------------------- the stream's numbers


def message(first: int, *reports: Any, stream: tuple[int, int] = (1, 1), up: bool = True) -> dict[str, Any]:
    return {"stream": list(stream), "first": first, "reports": list(reports), "up": up}


UP = {"type": "marker", "what": "up", "reason": ""}
A, B, C = (order_plain(name, name) for name in "abc")


def told(found: tuple[list[Any], int]) -> list[str]:
    return [one.what if isinstance(one, Marker) else one.client_order_id for one in found[0]]


def test_reports_are_taken_once_and_what_is_missing_is_a_gap():
    end = StreamEnd()
    assert told(end.take(message(1, UP, A), 0)) == ["up", "a"]
    assert told(end.take(message(1, UP, A, B), 0)) == ["b"]
    assert end.take(message(4), 0) == ([], 3)
    assert told(end.take(message(6, C), 0)) == ["gap", "c"]
    assert isinstance(end.take(message(7, A), 0)[0][0], OrderReport)


def test_another_incarnation_of_the_stream_is_a_gap_and_an_older_one_is_not_heard():
    end = StreamEnd()
    end.take(message(1, UP, A), 0)
    assert told(end.take(message(1, UP, B, stream=(1, 2)), 0)) == ["gap", "up", "b"]
    assert end.take(message(3, C), 0) == ([], 3)
    assert told(end.take(message(3, C, stream=(1, 2)), 0)) == ["c"]


def test_a_stream_that_was_open_before_this_manager_is_up():
    end = StreamEnd()
    assert told(end.take(message(41, A), 0)) == ["up", "a"]
    assert told(StreamEnd().take(message(41, A, up=False), 0)) == ["a"]


def test_a_stream_role_that_says_nothing_is_down_until_it_is_heard_again():
    end = StreamEnd()
    end.take(message(1, UP), 0)
    assert end.silent(4_000_000_000) == []
    assert [one.what for one in end.silent(5_000_000_000) if isinstance(one, Marker)] == ["down"]
    assert end.silent(9_000_000_000) == []
    assert told(end.take(message(2), 9_000_000_000)) == ["up"]
    assert end.up


@pytest.mark.parametrize(
    "body",
    [None, {}, {"stream": [1], "first": 1, "reports": []}, message(1, {"type": "?"}), message(1, {"type": "order"})],
)
def test_what_is_no_message_of_reports_is_refused(body):
    with pytest.raises(Rejected):
        StreamEnd().take(body, 0)


# --------------------------------------------------------------------------------------------- the last look at a write


class Socket:
    """A `Rest` whose connection comes when the test says so."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.connected, self.written = clock, asyncio.Event(), 0

    async def send(self, request: Any, timeout_s: float | None = None, before_write: Any = None) -> HttpResponse:
        if request.url.startswith("/time"):
            return HttpResponse(200, {}, str(self.clock.time_ns()).encode(), 1, 2)
        await self.connected.wait()
        if before_write is not None:
            before_write()
        self.written += 1
        return HttpResponse(200, {}, b"[]", 1, 2)

    async def close(self) -> None: ...


class Ended(BaseException): ...


@pytest.fixture
async def wire():
    clock, alive = FakeClock(), [True]

    def check() -> None:
        if not alive[0]:
            raise Ended

    async def ask(address: str, kind: str, body: Any = None, timeout_s: float = 5.0) -> Any:
        return {"lease": 1}

    context = Context(
        "test", "orders/acme/main", (1, 1), "here", Path("/nowhere"), ask, lambda error: None, clock.monotonic_ns,
        clock.time_ns, check,
    )  # fmt: skip
    codec, socket = PlainCodec(), Socket(clock)
    budget = Budget(context, codec.spec, "acme", "default")
    made = Wire(context, codec, codec, PlainAuth(), socket, budget, validity_ms=1000)  # type: ignore[arg-type]
    made.start()
    await made.clock.ready()
    yield SimpleNamespace(wire=made, clock=clock, socket=socket, alive=alive)
    await made.close()


def signed(wire: Any) -> Any:
    return wire.sign_rest(Draft(Kind.PLACE, ("POST", "/order"), None, (), ("a",)), "r1")


async def test_a_request_is_written_when_its_connection_is_there_in_time(wire):
    writing = asyncio.ensure_future(wire.wire.write(signed(wire.wire)))
    await asyncio.sleep(0)
    wire.clock.advance(0.9)
    wire.socket.connected.set()
    assert (await writing).status == 200
    assert wire.socket.written == 1


async def test_a_request_whose_time_passed_while_it_waited_is_not_written(wire):
    writing = asyncio.ensure_future(wire.wire.write(signed(wire.wire)))
    await asyncio.sleep(0)
    wire.clock.advance(1.1)
    wire.socket.connected.set()
    with pytest.raises(RetryLater):
        await writing
    assert wire.socket.written == 0


async def test_a_process_that_stood_still_ends_before_it_writes(wire):
    writing = asyncio.ensure_future(wire.wire.write(signed(wire.wire)))
    await asyncio.sleep(0)
    wire.alive[0] = False
    wire.socket.connected.set()
    with pytest.raises(Ended):
        await writing
    assert wire.socket.written == 0


async def test_a_read_that_is_refused_for_its_time_is_asked_again_with_the_right_one(wire):
    answers = [HttpResponse(408, {}, b"", 1, 2), HttpResponse(200, {}, b"[]", 1, 2)]

    async def send(request: Any, timeout_s: float | None = None, before_write: Any = None) -> HttpResponse:
        if request.url.startswith("/time"):
            return HttpResponse(200, {}, str(wire.clock.time_ns()).encode(), 1, 2)
        return answers.pop(0)

    wire.socket.send = send
    reading = asyncio.ensure_future(wire.wire.read(wire.wire.codec.open_orders()))
    assert (await asyncio.wait_for(reading, 5.0)).orders == ()
    assert wire.wire.status()["clock_refusals"] == 1


async def test_an_unanswered_read_stays_unanswered(wire):
    async def send(request: Any, timeout_s: float | None = None, before_write: Any = None) -> HttpResponse:
        raise OutcomeUnknown("GET", "cut")

    wire.socket.send = send
    with pytest.raises(OutcomeUnknown):
        await wire.wire.read(wire.wire.codec.open_orders())


# -------------------------------------------------------------------------------------------------------- configuration


def test_settings_come_from_the_configuration_and_unknown_ones_are_named():
    config = {
        "exchange": "acme",
        "account": "main",
        "max_open_orders": 5,
        "price_band": "0.1",
        "pairs": {"A-B": {"max_order_notional": "10.5"}},
        "settings": {"margin_s": 0.5, "query_s": [1, 2], "processing_s": 3},
    }
    found = order_settings(config)
    assert (found.limits.max_open_orders, found.limits.price_band) == (5, Decimal("0.1"))
    assert found.pair_limits["A-B"].max_order_notional == Decimal("10.5")
    assert (found.margin_s, found.query_s) == (0.5, (1, 2))
    with pytest.raises(Misconfigured, match="nonsense"):
        order_settings({**config, "settings": {"nonsense": 1}})


def test_an_id_tells_when_its_maker_began():
    began_ns = 1_795_000_000_123_000_000
    assert born(OrderIds(began_ns, 5)()) == began_ns
    assert born("somebody-elses") is None
    assert born("vm!!") is None
