"""The nonces of one key: they rise even if the clock goes back, and requests are written in their order."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.context import context_of, grant
from tests.fakes.trading import SPEC, PlainAuth, PlainCodec
from venuemesh.actors.account.gateway import Gateway
from venuemesh.actors.account.nonces import FAR_MS, LEAPS_MS, Nonces
from venuemesh.actors.limits.budget import Budget
from venuemesh.actors.limits.counters import Counters
from venuemesh.actors.limits.machine import Priority
from venuemesh.connectors.limit_answers import Hit, LimitAnswer
from venuemesh.connectors.order_codec import At, Draft, Kind, Refusal, Reply
from venuemesh.connectors.spec import Decay, Offer
from venuemesh.model.errors import Misconfigured, Rejected, RetryLater
from venuemesh.model.http import HttpResponse
from venuemesh.model.order import OrderType, TimeInForce
from venuemesh.model.time import SECOND_NS, in_ns

MS = 1_000_000


class Time:
    def __init__(self, ms: int) -> None:
        self.ms = ms

    def __call__(self) -> int:
        return self.ms * MS + 999_999


def test_a_nonce_is_the_time_and_rises_where_the_time_does_not():
    time = Time(5_000)
    nonces = Nonces(time)
    assert [nonces.take(), nonces.take()] == [5_000, 5_001]
    time.ms = 4_000
    assert nonces.take() == 5_002
    time.ms = 6_000
    assert nonces.take() == 6_000


def test_a_successor_begins_above_what_was_journaled():
    nonces = Nonces(Time(4_000))
    nonces.raise_above(9_000)
    assert nonces.take() == 9_001


async def test_a_turn_comes_when_all_lower_nonces_have_ended():
    nonces, written = Nonces(Time(1)), []
    first, second, third = (nonces.take() for _ in range(3))

    async def write(nonce: int) -> None:
        async with nonces.turn(nonce):
            written.append(nonce)
            await asyncio.sleep(0)
            assert written[-1] == nonce

    later = [asyncio.ensure_future(write(nonce)) for nonce in (third, second)]
    await asyncio.sleep(0.01)
    assert written == []
    nonces.end(first)  # never written: its intent was not journaled
    await asyncio.gather(*later)
    assert written == [second, third]


async def test_a_request_that_hangs_lets_others_pass_and_is_not_written_after_them():
    nonces = Nonces(Time(1), stuck_s=0.01)
    stuck, next_one = nonces.take(), nonces.take()
    async with nonces.turn(next_one):
        pass
    with pytest.raises(RetryLater):
        async with nonces.turn(stuck):
            raise AssertionError("a later nonce was written before")


async def test_a_request_under_way_holds_up_others_for_any_answer_time():
    nonces = Nonces(Time(1), stuck_s=0.01)
    slow, next_one = nonces.take(), nonces.take()
    async with nonces.turn(slow):
        waiting = asyncio.ensure_future(nonces.turn(next_one).__aenter__())
        await asyncio.sleep(0.05)
        assert not waiting.done()
    await waiting


def test_refused_nonces_leap_ahead_and_give_up_an_hour_away():
    nonces = Nonces(Time(1_000))
    last = nonces.take()
    for leap in LEAPS_MS:
        nonces.answered(refused=True)
        assert nonces.take() == last + leap + 1
        last += leap + 1
    nonces.answered(refused=False)
    nonces.answered(refused=True)
    assert nonces.take() == last + 1
    nonces.raise_above(1_000 + 2 * FAR_MS)
    with pytest.raises(Misconfigured):
        nonces.take()


# ------------------------------------------------------------------ the gateway


class NonceAuth(PlainAuth):
    def sign(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Any:
        assert draft.nonce is not None
        return super().sign(draft, request_id, now_ns, validity_ms)


class NonceCodec(PlainCodec):
    def __init__(self) -> None:
        super().__init__()
        self.offer = Offer(frozenset(OrderType), frozenset(TimeInForce), nonces=True)

    def reply(self, signed: Any, response: HttpResponse) -> Reply:
        if response.body == b"nonce":
            raise Rejected("nonce", "too low")
        if response.body == b"busy":
            raise RetryLater(0.0, "a counter is full")
        return super().reply(signed, response)

    def refusal(self, code: str, reason: str = "") -> Refusal:
        return Refusal.NONCE if code == "nonce" else super().refusal(code, reason)


class Socket:
    """Answers requests when the test lets it, and keeps how many were under way at once."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.free, self.bodies = clock, asyncio.Event(), [b"[]"] * 9
        self.under_way = self.most = 0
        self.urls: list[str] = []

    async def send(
        self, request: Any, timeout_s: float | None = None, before_write: Any = None, release: Any = None
    ) -> HttpResponse:
        if request.url.startswith("/time"):
            return HttpResponse(200, {}, str(self.clock.time_ns()).encode(), 1, 2)
        if before_write is not None:
            before_write()
        self.urls.append(request.url)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self.free.wait()
        self.under_way -= 1
        return HttpResponse(200, {}, self.bodies.pop(0), 1, 2)

    async def close(self) -> None: ...


@pytest.fixture
async def scene():
    clock, asked = FakeClock(), []

    async def ask(address: str, kind: str, body: Any, timeout_s: float) -> Any:
        if address.startswith("orders/"):
            asked.append((address, kind, body))
            return {"status": 200, "headers": {}, "body": b"[]", "sent_ns": 1}
        return await grant(address, kind, body, timeout_s)

    context = context_of("orders/acme/main", clock, ask=ask, fail=lambda error: None, alive=lambda: None)
    socket = Socket(clock)

    def gateway(manager: str | None = None) -> Gateway:
        codec = NonceCodec()
        budget = Budget(context, codec.spec, "acme", "default")
        made = Gateway(
            context, codec, codec, NonceAuth(), socket, budget, validity_ms=5000, answer_s=10.0, manager=manager
        )  # type: ignore[arg-type]
        made.start()
        return made

    owner, other = gateway(), gateway("orders/acme/main")
    await owner.clock.ready()
    await other.clock.ready()
    yield SimpleNamespace(clock=clock, owner=owner, other=other, socket=socket, asked=asked)
    await owner.close()
    await other.close()


def place(gateway: Any, name: str) -> Any:
    return gateway.sign_rest(Draft(Kind.PLACE, ("POST", f"/{name}"), None, (), ("a",)), name)


async def test_one_request_of_the_key_is_under_way_and_they_go_in_the_order_of_signing(scene):
    gateway, socket = scene.owner, scene.socket
    one, two = place(gateway, "one"), place(gateway, "two")
    assert one.draft.nonce < two.draft.nonce
    read = asyncio.ensure_future(gateway.read(gateway.codec.open_orders()))
    await asyncio.sleep(0.01)
    writes = [asyncio.ensure_future(gateway.write(signed)) for signed in (two, one)]
    await asyncio.sleep(0.01)
    assert [url.partition("?")[0] for url in socket.urls] == ["/one"]
    socket.free.set()
    await asyncio.gather(read, *writes)
    assert [url.partition("?")[0] for url in socket.urls] == ["/one", "/two", "/open"]
    assert socket.most == 1


async def test_a_request_that_waits_for_its_turn_is_signed_when_its_turn_comes(scene):
    """The journaled end allows for waiting as long as the request is valid; the written end is that of a new one."""
    gateway, socket, ends = scene.owner, scene.socket, []
    one, two = place(gateway, "one"), place(gateway, "two")
    begun_ns = gateway.clock.now_ns()
    assert two.not_after_ns == begun_ns + 10 * SECOND_NS
    writes = [asyncio.ensure_future(gateway.write(signed, ends.append)) for signed in (one, two)]
    await asyncio.sleep(0.01)
    scene.clock.advance(4.9)
    socket.free.set()
    await asyncio.gather(*writes)
    assert ends == [At(begun_ns + 5 * SECOND_NS), At(begun_ns + in_ns(9.9))]


async def test_a_request_that_waits_for_its_turn_too_long_is_not_sent(scene):
    gateway, socket = scene.owner, scene.socket
    writes = [asyncio.ensure_future(gateway.write(place(gateway, name))) for name in ("one", "two")]
    await asyncio.sleep(0.01)
    scene.clock.advance(5.1)
    socket.free.set()
    await writes[0]
    with pytest.raises(RetryLater, match="waited too long"):
        await writes[1]
    assert len(socket.urls) == 1


async def test_a_read_whose_nonce_was_refused_is_sent_again_with_a_higher_one(scene):
    scene.socket.bodies[:2] = [b"nonce", b"nonce"]
    scene.socket.free.set()
    assert (await scene.owner.read(scene.owner.codec.open_orders())).orders == ()
    assert len(scene.socket.urls) == 3
    assert scene.owner.status()["nonce_refusals"] == 2


async def test_an_answer_that_a_limit_was_hit_fills_the_counters(scene, monkeypatch):
    def limit_answer(status: int, headers: Any, body: bytes, cost: Any) -> LimitAnswer:
        return LimitAnswer(Hit(5.0, ("weight",)) if body == b"busy" else None)

    monkeypatch.setattr(scene.owner.budget, "_spec", replace(SPEC, limit_answer=limit_answer))
    scene.owner.counters = Counters({"weight": Decay(20, 0.5)}, scene.clock.monotonic_ns)
    scene.socket.bodies[0] = b"busy"
    scene.socket.free.set()
    with pytest.raises(RetryLater):
        await scene.owner.read(scene.owner.codec.open_orders())
    assert scene.owner.counters.status()["weight"]["used"] == 20


async def test_another_role_of_the_account_lets_the_manager_sign(scene):
    assert (await scene.other.read(scene.other.codec.open_orders())).orders == ()
    ((address, kind, body),) = scene.asked
    assert (address, kind) == ("orders/acme/main", "signed_read")
    assert (body["kind"], body["method"], body["path"], body["urgent"]) == ("open_orders", "GET", "/open", False)
    assert scene.socket.urls == []
    await scene.other.read(scene.other.codec.open_orders(), Priority.URGENT)
    assert scene.asked[-1][2]["urgent"]


@pytest.mark.parametrize("urgent", [False, True])
async def test_a_relayed_read_that_is_not_urgent_leaves_the_reserve_of_polls(scene, urgent):
    scene.owner.counters = Counters({"weight": Decay(10, 0.01)}, scene.clock.monotonic_ns)
    scene.socket.free.set()
    await scene.owner.relay(Draft(Kind.OPEN_ORDERS, ("GET", "/open"), None, (), cost=(("weight", 7),)), True)
    one_more = scene.owner.relay(Draft(Kind.OPEN_ORDERS, ("GET", "/open"), None, (), cost=(("weight", 2),)), urgent)
    if urgent:
        await one_more
        return
    with pytest.raises(RetryLater):
        await one_more


async def test_a_role_that_does_not_own_the_nonces_signs_nothing(scene):
    with pytest.raises(Misconfigured):
        place(scene.other, "one")
