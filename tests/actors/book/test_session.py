"""One connection and its subscriptions: confirmed, refused, overdue, and the messages sent to the exchange."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from tests.fakes.clock import until
from tests.fakes.stage import NAMES, OTHER, Stage, channels, live
from tests.fakes.styles import ASKS, BIDS, SYMBOL, Model, StyledCodec, connector, packed
from venuemesh.connectors.market_codec import Outgoing
from venuemesh.connectors.spec import Dial, Limit
from venuemesh.model.errors import RetryLater
from venuemesh.model.events import BookState
from venuemesh.model.http import HttpRequest


@pytest.fixture
async def stages():
    made: list[Stage] = []

    def make(*args: Any, **options: Any) -> Stage:
        made.append(Stage(*args, **options))
        return made[-1]

    yield make
    for stage in made:
        await stage.session.stop()
        assert stage.failed == []


async def test_a_gap_subscribes_to_that_pair_again_and_the_other_notices_nothing(stages):
    stage = live(stages("chain"))
    assert stage.sent == [("subscribe", channels(SYMBOL, OTHER))]
    stage.change(SYMBOL, lost=True)
    stage.change(SYMBOL)
    assert (stage.state(SYMBOL), stage.state(OTHER)) == (BookState.GAP, BookState.LIVE)
    await until(lambda: len(stage.sent) == 3)
    assert stage.sent[1:] == [("unsubscribe", channels(SYMBOL)), ("subscribe", channels(SYMBOL))]
    stage.change(SYMBOL)  # still of the subscription before
    assert stage.state(SYMBOL) is BookState.GAP
    stage.confirm(SYMBOL)
    stage.book(SYMBOL)
    assert (stage.state(SYMBOL), stage.state(OTHER)) == (BookState.LIVE, BookState.LIVE)
    assert stage.rest.requests == []
    assert stage.feed.reconnects == []


async def test_resubscriptions_are_budgeted(stages):
    stage = live(stages("chain", book=replace(connector("chain").spec.book, resync_cost=(("weight", 5),))))
    stage.budget.refusal = RetryLater(40.0, "cooling down")
    stage.change(SYMBOL, lost=True)
    stage.change(SYMBOL)
    await until(lambda: stage.pairs[SYMBOL].machine.counters.snapshots_failed == 1)
    assert stage.budget.costs == [(("weight", 5),)]
    assert len(stage.sent) == 1
    assert "cooling down" in stage.pairs[SYMBOL].machine.error


async def test_a_first_book_that_does_not_come_is_overdue_and_requested_again(stages, monkeypatch):
    stage = stages("checksum")  # first_book_s is 5
    stage.open()
    for symbol in NAMES:
        stage.confirm(symbol)
    stage.book(OTHER)
    stage.beat(4.9)
    assert stage.pairs[SYMBOL].machine.counters.snapshots_failed == 0
    stage.beat(0.2)
    assert stage.pairs[SYMBOL].machine.error == "no book came within 5 s"
    await until(lambda: len(stage.sent) == 3)
    assert stage.sent[2] == ("subscribe", channels(SYMBOL))
    stage.beat(5.1)
    assert stage.pairs[SYMBOL].machine.counters.snapshots_failed == 2
    assert stage.state(OTHER) is BookState.LIVE
    assert stage.feed.reconnects == []


async def test_one_refused_pair_is_requested_alone_and_the_others_stay(stages):
    stage = stages("chain")
    stage.open()
    stage.confirm(OTHER)
    stage.book(OTHER)
    stage.tell(t="no", key=f"book:{SYMBOL}", code="60018", why="no such channel")
    stage.tell(t="ok", key=f"trade:{SYMBOL}")  # half of a pair confirms nothing
    assert stage.pairs[SYMBOL].machine.error == "60018: no such channel"
    stage.beat(11)
    assert stage.feed.reconnects == []
    assert stage.state(OTHER) is BookState.LIVE
    await until(lambda: len(stage.sent) == 3)
    assert stage.sent[1:] == [("unsubscribe", channels(SYMBOL)), ("subscribe", channels(SYMBOL))]
    stage.confirm(SYMBOL)
    stage.book(SYMBOL)
    assert stage.state(SYMBOL) is BookState.LIVE


async def test_an_unconfirmed_pair_among_confirmed_ones_is_requested_again(stages):
    stage = stages("requested")
    stage.open()
    stage.confirm(OTHER)
    stage.beat(10.1)
    assert stage.feed.reconnects == []
    assert "not confirmed" in stage.pairs[SYMBOL].machine.error
    await until(lambda: ("subscribe", channels(SYMBOL)) in stage.sent)
    stage.confirm(SYMBOL)
    await until(lambda: ("book", SYMBOL) in stage.sent)


async def test_a_connection_on_which_nothing_was_confirmed_is_left(stages):
    stage = stages("chain")
    stage.open()
    stage.tell(t="no", key=f"book:{SYMBOL}", code="1", why="not here")
    stage.beat(10.1)
    (reason,) = stage.feed.reconnects
    assert "not here" in reason


async def test_a_book_requested_over_the_socket_joins_what_waited(stages):
    stage = stages("requested")
    stage.open()
    for symbol in NAMES:
        stage.confirm(symbol)
    await until(lambda: len(stage.feed.link.sent) == 3)
    asked = [json.loads(frame) for frame in stage.feed.link.sent[1:]]
    assert [(message["op"], message["s"]) for message in asked] == [("book", SYMBOL), ("book", OTHER)]
    model = stage.models[SYMBOL]
    before = Model("requested", BIDS, ASKS, model.sequence)
    for _ in range(3):
        stage.change(SYMBOL)
    stage.feed.frame(before.book(id=asked[0]["id"]))
    assert stage.state(SYMBOL) is BookState.LIVE
    assert stage.pairs[SYMBOL].machine.sequence == model.sequence
    assert stage.pairs[SYMBOL].machine.counters.applied == 3
    stage.feed.frame(stage.renamed(before.book(id=999), OTHER))  # it was not requested
    assert stage.state(OTHER) is BookState.SYNCING
    stage.tell(t="no", key=str(asked[1]["id"]), code="bad", why="too many requests")
    assert stage.pairs[OTHER].machine.counters.snapshots_failed == 1


async def test_pings_inside_messages_are_answered_at_once(stages):
    stage = live(stages("chain"))
    stage.tell(t="ping", n=18212558000)
    assert stage.feed.link.sent[-1] == b'{"pong":18212558000}'
    assert stage.tapped[-1] == ("send", b'{"pong":18212558000}')


async def test_gzip_frames_are_inflated_before_tap_and_codec(stages):
    stage = stages("requested")
    stage.open()
    frame = b'{"t":"ping","n":1}'
    stage.feed.frame(packed(frame))
    assert stage.tapped[-2:] == [("recv", frame), ("send", b'{"pong":1}')]


@pytest.mark.parametrize(
    "broken",
    [b"\x1f\x8b", packed(b"x" * 50)[:-9], packed(b"{}") + b"x", b"\x1f\x8bgarbage", packed(b"")[:-1]],
    ids=["a header alone", "a cut stream", "bytes after the end", "no stream", "a cut trailer"],
)
async def test_a_gzip_frame_that_is_damaged_doubts_every_book(stages, broken):
    stage = stages("requested")
    stage.open()
    for number, symbol in enumerate(NAMES):
        stage.confirm(symbol)
        await until(lambda n=number: len(stage.feed.link.sent) == 2 + n)
        stage.book(symbol, id=json.loads(stage.feed.link.sent[-1])["id"])
        assert stage.state(symbol) is BookState.LIVE
    stage.feed.frame(broken)
    assert {stage.state(symbol) for symbol in NAMES} == {BookState.GAP}
    assert stage.session.ingest.unreadable == 1


async def test_the_hourly_limit_of_a_connection_is_kept(stages, monkeypatch):
    """A message waits until the oldest message of the window is an hour old; a new connection starts a new window."""
    stage = stages("chain", limits={"subscriptions": Limit(2, 3600.0, "connection")})
    loop = asyncio.get_running_loop()
    waits: list[float] = []
    put_off: list[Any] = []
    soon, later = loop.call_soon, loop.call_later

    def call_later(delay: float, call: Any, *args: Any, **options: Any) -> Any:
        if delay < 100:  # the time limit of the test's own waits, too
            return later(0 if delay < 1 else delay, call, *args, **options)
        waits.append(delay)
        put_off.append(call)
        return later(1000, call, *args, **options)

    live(stage)
    monkeypatch.setattr(loop, "call_later", call_later)
    stage.change(SYMBOL, lost=True)
    stage.change(SYMBOL)
    await until(lambda: waits)
    assert stage.sent == [("subscribe", channels(SYMBOL, OTHER)), ("unsubscribe", channels(SYMBOL))]
    assert max(waits) == pytest.approx(3600.0, abs=1.0)
    stage.clock.pass_s(3601)
    soon(put_off[-1])
    await until(lambda: len(stage.sent) == 3)
    assert stage.sent[-1] == ("subscribe", channels(SYMBOL))
    stage.feed.close("cut")
    stage.open()
    assert stage.sent == [("subscribe", channels(SYMBOL, OTHER))]


class GreetingCodec(StyledCodec):
    """Sends a message about all pairs first, on each connection."""

    def opening(self, request_id: int) -> list[Outgoing]:
        return [Outgoing(json.dumps({"op": "hello", "s": request_id}).encode())]


async def test_a_connection_begins_with_the_codecs_opening_messages(stages):
    stage = stages("chain", GreetingCodec)
    for number in (1, 3):
        stage.open()
        await until(lambda: len(stage.sent) == 2)
        assert stage.sent == [("hello", number), ("subscribe", channels(SYMBOL, OTHER))]
        stage.feed.close("cut")


class DialedCodec(StyledCodec):
    """Requests its address."""

    def dial_request(self) -> HttpRequest:
        return HttpRequest("POST", "https://acme.test/bullet", cost=(("weight", 10),))

    def dial(self, body: bytes) -> Dial:
        read = json.loads(body)
        return Dial(read["url"], read["age"])


async def test_an_address_is_requested_before_each_connection(stages):
    stage = stages("chain", DialedCodec)
    for number in (1, 2):
        asked = asyncio.ensure_future(stage.feed.url())
        await until(lambda: len(stage.rest.waiting) == 1)
        stage.rest.answer(json.dumps({"url": f"wss://acme.test/?token={number}", "age": 3600}).encode())
        assert await asked == Dial(f"wss://acme.test/?token={number}", 3600)
    assert stage.budget.costs == [(("weight", 10),)] * 2
    asked = asyncio.ensure_future(stage.feed.url())
    await until(lambda: len(stage.rest.waiting) == 1)
    stage.rest.answer(b'{"code":-1003,"msg":"slow down"}', 429, retry_after="7")
    with pytest.raises(RetryLater) as refused:
        await asked
    assert refused.value.after_s == 7


async def test_the_keepalive_of_the_spec_reaches_the_feed(stages):
    assert stages("chain").feed.options["keepalive"].frame == b"ping"
