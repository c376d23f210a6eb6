"""The gateway: a request is written once, at the last moment at which it is valid, or not at all."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.context import context_of, grant
from tests.fakes.trading import PlainAuth, PlainCodec
from venuemesh.actors.account.gateway import SHARED_S, WRITING_MAX, Gateway
from venuemesh.actors.account.opening import CONNECTIONS
from venuemesh.actors.limits.budget import Budget
from venuemesh.connectors.order_codec import Draft, Kind, Reply
from venuemesh.connectors.reports import FillReport
from venuemesh.model.errors import NotOffered, OutcomeUnknown, RetryLater
from venuemesh.model.http import HttpResponse


class Socket:
    """A `Rest` whose connection comes when the test says so."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.connected, self.written = clock, asyncio.Event(), 0

    async def send(
        self, request: Any, timeout_s: float | None = None, before_write: Any = None, release: Any = None
    ) -> HttpResponse:
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
async def gateway():
    clock, alive = FakeClock(), [True]

    def check() -> None:
        if not alive[0]:
            raise Ended

    context = context_of("orders/acme/main", clock, ask=grant, fail=lambda error: None, alive=check)
    codec, socket = PlainCodec(), Socket(clock)
    budget = Budget(context, codec.spec, "acme", "default")
    made = Gateway(context, codec, codec, PlainAuth(), socket, budget, validity_ms=1000, answer_s=10.0)  # type: ignore[arg-type]
    made.start()
    await made.clock.ready()
    yield SimpleNamespace(gateway=made, clock=clock, socket=socket, alive=alive)
    await made.close()


def signed(gateway: Any) -> Any:
    return gateway.sign_rest(Draft(Kind.PLACE, ("POST", "/order"), None, (), ("a",)), "r1")


async def test_a_request_is_written_when_its_connection_is_there_in_time(gateway):
    writing = asyncio.ensure_future(gateway.gateway.write(signed(gateway.gateway)))
    await asyncio.sleep(0)
    gateway.clock.advance(0.9)
    gateway.socket.connected.set()
    assert (await writing).status == 200
    assert gateway.socket.written == 1


async def test_a_cancel_gets_a_connection_while_many_orders_are_written(gateway):
    begun: list[str] = []

    async def send(request: Any, timeout_s: float | None = None, before_write: Any = None, release: Any = None) -> Any:
        begun.append(request.url)
        await gateway.socket.connected.wait()
        return HttpResponse(200, {}, b"[]", 1, 2)

    gateway.socket.send = send
    made = gateway.gateway
    orders = [asyncio.ensure_future(made.write(signed(made))) for _ in range(CONNECTIONS)]
    await asyncio.sleep(0)
    assert len(begun) == WRITING_MAX < CONNECTIONS
    cancel = Draft(Kind.CANCEL, ("POST", "/cancel"), None, (), ("a",))
    cancelling = asyncio.ensure_future(made.write(made.sign_rest(cancel, "c1")))
    await asyncio.sleep(0)
    assert begun[-1].startswith("/cancel")
    gateway.socket.connected.set()
    await asyncio.gather(*orders, cancelling)


async def test_a_request_whose_time_passed_while_it_waited_is_not_written(gateway):
    writing = asyncio.ensure_future(gateway.gateway.write(signed(gateway.gateway)))
    await asyncio.sleep(0)
    gateway.clock.advance(1.1)
    gateway.socket.connected.set()
    with pytest.raises(RetryLater):
        await writing
    assert gateway.socket.written == 0


async def test_a_process_that_stood_still_ends_before_it_writes(gateway):
    writing = asyncio.ensure_future(gateway.gateway.write(signed(gateway.gateway)))
    await asyncio.sleep(0)
    gateway.alive[0] = False
    gateway.socket.connected.set()
    with pytest.raises(Ended):
        await writing
    assert gateway.socket.written == 0


async def test_a_process_that_stood_still_does_not_arm_the_dead_man_switch(gateway):
    sent: list[Any] = []

    async def send(
        request: Any, timeout_s: float | None = None, before_write: Any = None, release: Any = None
    ) -> HttpResponse:
        if request.url.startswith("/time"):
            return HttpResponse(200, {}, str(gateway.clock.time_ns()).encode(), 1, 2)
        sent.append(request)
        return HttpResponse(200, {}, b"[]", 1, 2)

    gateway.socket.send = send
    gateway.alive[0] = False
    with pytest.raises(Ended):
        await gateway.gateway.read(Draft(Kind.DEAD_MAN, ("POST", "/dead"), None, ()))
    assert not sent


async def test_a_read_that_is_refused_for_its_time_is_sent_again_with_the_right_one(gateway):
    answers = [HttpResponse(408, {}, b"", 1, 2), HttpResponse(200, {}, b"[]", 1, 2)]

    async def send(
        request: Any, timeout_s: float | None = None, before_write: Any = None, release: Any = None
    ) -> HttpResponse:
        if request.url.startswith("/time"):
            return HttpResponse(200, {}, str(gateway.clock.time_ns()).encode(), 1, 2)
        return answers.pop(0)

    gateway.socket.send = send
    reading = asyncio.ensure_future(gateway.gateway.read(gateway.gateway.codec.open_orders()))
    assert (await asyncio.wait_for(reading, 5.0)).orders == ()
    assert gateway.gateway.status()["clock_refusals"] == 1


async def test_a_read_that_comes_in_pages_is_one_reply(gateway):
    codec, first = gateway.gateway.codec, gateway.gateway.codec.open_orders()
    fills = [FillReport(str(n), Decimal(1), Decimal(1), Decimal(1), None, None, None, n) for n in range(3)]
    pages = iter([Reply(fills=(fills[0],), then=first), Reply(fills=(fills[1],), then=first), Reply(fills=(fills[2],))])
    codec.reply = lambda signed, response: next(pages)
    gateway.socket.connected.set()
    assert (await gateway.gateway.read(first)).fills == tuple(fills)
    codec.reply = lambda signed, response: Reply(then=first)
    with pytest.raises(RetryLater, match="more than 1000 pages"):
        await gateway.gateway.read(first)


async def test_an_unanswered_read_stays_unanswered(gateway):
    async def send(
        request: Any, timeout_s: float | None = None, before_write: Any = None, release: Any = None
    ) -> HttpResponse:
        raise OutcomeUnknown("GET", "cut")

    gateway.socket.send = send
    with pytest.raises(OutcomeUnknown):
        await gateway.gateway.read(gateway.gateway.codec.open_orders())


async def test_connections_share_a_token_until_it_is_refused_or_old(gateway, monkeypatch):
    made, given = gateway.gateway, []

    async def request(codec: Any) -> str:
        await asyncio.sleep(0)
        given.append(f"token {len(given) + 1}")
        return given[-1]

    monkeypatch.setattr(made, "_tokens", object())
    monkeypatch.setattr(made, "request_token", request)

    async def many(renew: bool) -> set[str]:
        return {found["token"] for found in await asyncio.gather(*(made.market_access(renew) for _ in range(50)))}

    assert await many(False) == {"token 1"}
    gateway.clock.advance(1.0)
    assert await many(True) == {"token 2"}
    gateway.clock.advance(SHARED_S - 1)
    assert await many(False) == {"token 2"}
    gateway.clock.advance(2.0)
    assert await many(False) == {"token 3"}


async def test_an_exchange_without_such_market_data_gives_no_access(gateway):
    with pytest.raises(NotOffered, match="market data that needs an account"):
        await gateway.gateway.market_access()
