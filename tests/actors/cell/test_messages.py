"""Envelopes, typed errors across processes, one execution per message, and the sender's repetitions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from venuemesh.actors.cell.messages import (
    Asker,
    Dedup,
    Envelope,
    Gone,
    Unreachable,
    pack_error,
    pack_reply,
    unpack_reply,
)
from venuemesh.model import errors
from venuemesh.model.address import Route
from venuemesh.model.errors import Fenced, InboxFull, MeshError, NotSynced, OutcomeUnknown, Rejected, RetryLater

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(PLAIN, st.integers(0, 2**62), st.integers(0, 2**40))
def test_an_envelope_arrives_as_it_was_sent(body: object, epoch: int, sequence: int) -> None:
    sent = Envelope("book/x/a", "me@1.2", (epoch, 3), sequence, "kind", 1.5, body)
    assert Envelope.unpack(sent.pack()) == sent
    assert unpack_reply(pack_reply(body)) == body


@pytest.mark.parametrize(
    "error",
    [
        Rejected("no", "reason"),
        RetryLater(0.5, "later"),
        OutcomeUnknown("x", "y"),
        NotSynced("book/x/a", "GAP", None),
        Fenced("a", (1, 2), (3, 4)),
        errors.UnknownExchange("x", ["a", "b"]),
        errors.DecodeError("bad", None),
    ],
)
def test_errors_cross_as_what_they_are(error: MeshError) -> None:
    with pytest.raises(type(error)) as caught:
        unpack_reply(pack_error(error))
    assert caught.value == error


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xc1",
        *(msgpack.packb(one) for one in ([], 1, [True], [False, "Rejected"], [False, {}, [], ""], [1, 2])),
        msgpack.packb([False, "NotSynced", ["a", "b", "c", "d"], "text"]),
        msgpack.packb([False, "BeyondDepth", [None] * 9, "text"]),
    ],
)
def test_an_answer_that_cannot_be_read_is_an_unknown_outcome(raw: bytes) -> None:
    with pytest.raises(OutcomeUnknown, match="cannot be read"):
        unpack_reply(raw)


def test_text_that_is_no_unicode_is_refused_where_it_is_sent() -> None:
    with pytest.raises(Rejected, match="surrogate"):
        Envelope("a", "b", (1, 1), 1, "events", 1.0, {"owner": "me\ud800"}).pack()


def test_an_error_unknown_here_is_a_rejection_with_its_name() -> None:
    class Strange(MeshError):
        fields = ("what",)

    with pytest.raises(Rejected, match="Strange"):
        unpack_reply(pack_error(Strange(object())))


async def test_a_message_is_executed_once_even_while_it_runs() -> None:
    dedup, ran, gate = Dedup(), [], asyncio.Event()

    async def answer() -> bytes:
        ran.append(1)
        await gate.wait()
        return b"done"

    both = [asyncio.ensure_future(dedup.once("s", 1, answer)) for _ in range(2)]
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*both) == [b"done", b"done"]
    assert await dedup.once("s", 1, answer) == b"done"
    assert len(ran) == 1
    assert await dedup.once("s", 2, answer) == b"done"
    assert len(ran) == 2


async def test_the_memory_of_answers_is_bounded() -> None:
    async def answer() -> bytes:
        return b"x" * 100

    few, small = Dedup(limit=10), Dedup(limit=10_000, limit_bytes=1000)
    for n in range(100):
        await few.once("s", n, answer)
        await small.once("s", n, answer)
    assert len(few) == 10
    assert len(small) <= 11


class Net:
    """Fake routes and cells: `script` defines what each cell does with a message."""

    def __init__(self) -> None:
        self.routes: dict[str, list[Route]] = {}
        self.script: dict[str, Callable[[Envelope], bytes]] = {}
        self.sent: list[tuple[str, str, Envelope]] = []
        self.now = 0.0

    def route(self, address: str, cell: str, counter: int) -> None:
        self.routes.setdefault(address, []).append(Route(address, address, cell, "n", (1, counter)))

    async def find(self, address: str, newer_than: tuple[int, int] | None, timeout_s: float) -> Route | None:
        for route in self.routes.get(address, ()):
            if newer_than is None or route.incarnation > newer_than:
                return route
        self.now += timeout_s
        return None

    async def send(self, route: Route, method: str, packed: bytes, timeout_s: float) -> bytes:
        envelope = Envelope.unpack(packed)
        self.sent.append((route.cell, method, envelope))
        self.now += 0.001
        return self.script[route.cell](envelope)

    def asker(self, **options: int) -> Asker:
        return Asker("me", self, self.send, lambda: self.now, **options)


def dies(_: Envelope) -> bytes:
    raise Gone


def never_there(_: Envelope) -> bytes:
    raise Gone(sent=False)


def late(_: Envelope) -> bytes:
    raise TimeoutError


def echo(envelope: Envelope) -> bytes:
    return pack_reply(envelope.body)


async def test_a_message_is_passed_to_the_next_incarnation_with_its_number() -> None:
    net = Net()
    net.route("a", "c1", 1)
    net.route("a", "c2", 2)
    net.script = {"c1": dies, "c2": echo}
    assert await net.asker()("a", "say", "hello") == "hello"
    (_, _, first), (_, _, second) = net.sent
    assert first.sequence == second.sequence
    assert (first.incarnation, second.incarnation) == ((1, 1), (1, 2))


async def test_an_unsent_message_may_be_retried_and_a_sent_one_is_unknown() -> None:
    net = Net()
    with pytest.raises(RetryLater):
        await net.asker()("nobody", "say")
    net.route("a", "c1", 1)
    net.script = {"c1": never_there}
    with pytest.raises(RetryLater):
        await net.asker()("a", "say")
    for script in (dies, late):
        net.script = {"c1": script}
        with pytest.raises(OutcomeUnknown):
            await net.asker()("a", "say")


async def test_an_unreachable_cell_is_asked_again_and_a_fenced_route_is_left() -> None:
    net = Net()
    net.route("a", "c1", 1)
    net.route("a", "c2", 2)
    answers = iter([Unreachable(), Unreachable()])

    def doubtful(envelope: Envelope) -> bytes:
        error = next(answers, None)
        if error is not None:
            raise error
        return pack_error(Fenced("a", (1, 1), (1, 2)))

    net.script = {"c1": doubtful, "c2": echo}
    assert await net.asker()("a", "say", 7) == 7
    assert [cell for cell, _, _ in net.sent] == ["c1", "c1", "c1", "c2"]


async def test_refusals_reach_the_caller_and_polls_go_to_the_poll_group() -> None:
    net = Net()
    net.route("a", "c1", 1)
    net.script = {"c1": lambda _: pack_error(Rejected("no", "x"))}
    with pytest.raises(Rejected):
        await net.asker()("a", "say")
    net.script = {"c1": echo}
    await net.asker()("a", "poll:next", {}, 0.1)
    assert net.sent[-1][1] == "poll"
    assert net.sent[-1][2].timeout_s == pytest.approx(0.1)


async def test_the_outbox_is_bounded() -> None:
    net = Net()
    gate = asyncio.Event()

    async def waits(route: Route, method: str, packed: bytes, timeout_s: float) -> bytes:
        await gate.wait()
        return pack_reply(None)

    net.route("a", "c1", 1)
    asker = Asker("me", net, waits, lambda: net.now, limit=2)
    pending = [asyncio.ensure_future(asker("a", "say")) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(InboxFull):
        await asker("a", "say")
    gate.set()
    await asyncio.gather(*pending)
    assert asker.outbox == 0


async def test_a_full_lane_leaves_room_for_other_lanes_and_for_a_cancel() -> None:
    net = Net()
    gate = asyncio.Event()
    methods: list[str] = []

    async def waits(route: Route, method: str, packed: bytes, timeout_s: float) -> bytes:
        methods.append(method)
        await gate.wait()
        return pack_reply(None)

    net.route("a", "c1", 1)
    asker = Asker("me", net, waits, lambda: net.now, limit=1)
    pending = [asyncio.ensure_future(asker("a", "place", lane=lane)) for lane in ("orders of flood", "orders of calm")]
    pending.append(asyncio.ensure_future(asker("a", "cancel")))
    await asyncio.sleep(0)
    with pytest.raises(InboxFull):
        await asker("a", "place", lane="orders of flood")
    assert methods == ["ask", "ask", "urgent"]
    gate.set()
    await asyncio.gather(*pending)
    assert asker.outbox == 0
