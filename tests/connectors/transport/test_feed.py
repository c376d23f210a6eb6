"""A feed against a server whose bytes the test controls, with a clock that the test moves."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.fakes import servers
from tests.fakes.clock import FakeClock, until
from tests.fakes.servers import BINARY, CLOSE, CONT, PING, PONG, TEXT, Peer, WebsocketServer
from venuemesh.connectors.spec import Dial, KeepAlive
from venuemesh.connectors.transport import Feed
from venuemesh.connectors.transport import feed as feed_module
from venuemesh.connectors.transport import picows as link_picows
from venuemesh.connectors.transport import websockets as link_websockets
from venuemesh.model.backoff import Backoff
from venuemesh.model.errors import Misconfigured, Rejected, RetryLater


class Recorder:
    """A handler that records its calls in order."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.link: Any = None
        self.raises: dict[str, BaseException] = {}

    def _note(self, what: str, value: Any) -> None:
        self.calls.append((what, value))
        if what in self.raises:
            raise self.raises[what]

    def on_open(self, link: Any) -> None:
        self.link = link
        self._note("open", None)

    def on_frame(self, frame: memoryview | bytes, recv_ns: int) -> None:
        self._note("frame", bytes(frame))

    def on_close(self, reason: str) -> None:
        self._note("close", reason)

    @property
    def frames(self) -> list[bytes]:
        return [value for what, value in self.calls if what == "frame"]

    @property
    def closes(self) -> list[str]:
        return [value for what, value in self.calls if what == "close"]


class Rig:
    """A feed, its handler, its clock and its reports."""

    def __init__(self, server: WebsocketServer) -> None:
        self.server = server
        self.handler = Recorder()
        self.clock = FakeClock()
        self.failures: list[BaseException] = []
        self.refused: list[tuple[int, dict[str, str]]] = []
        self.feed: Feed | None = None

    def start(self, **options: Any) -> Feed:
        options.setdefault("backoff", Backoff(first_s=1.0, cap_s=8.0))
        options.setdefault("silence_s", 60.0)
        self.feed = Feed(
            options.pop("url", lambda: self.server.url),
            self.handler,
            on_failure=self.failures.append,
            on_refused=lambda status, headers: self.refused.append((status, headers)),
            clock=self.clock,
            **options,
        )
        self.feed.start()
        return self.feed

    async def connected(self, nth: int = 1) -> Peer:
        await until(lambda: len(self.server.peers) >= nth and sum(w == "open" for w, _ in self.handler.calls) >= nth)
        await until(lambda: self.feed is not None and self.feed.link is not None)
        return self.server.peers[nth - 1]

    def backs_off(self) -> bool:
        """Return whether the feed waits before its next connection. A close handshake waits for a full second."""
        return any(seconds < 1.0 for seconds in self.clock.sleepers)

    async def sleeping(self, seconds: float) -> None:
        await until(lambda: self.clock.sleepers == [pytest.approx(seconds)])


@pytest.fixture(params=["picows", "websockets"])
async def rig(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    client = {"picows": link_picows, "websockets": link_websockets}[request.param]
    monkeypatch.setattr(feed_module, "dial", client.dial)
    async with WebsocketServer() as server:
        rig = Rig(server)
        yield rig
        if rig.feed is not None:
            await rig.feed.stop()
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()}, 2.0)


async def test_messages_text_binary_and_in_fragments_arrive_whole_and_in_order(rig: Rig) -> None:
    rig.start()
    peer = await rig.connected()
    peer.text(b'{"n":1}')
    peer.frame(BINARY, b"\x00\x01")
    peer.frame(TEXT, b"ab", fin=False)
    peer.frame(PING, b"between fragments")
    peer.frame(CONT, b"cd", fin=False)
    peer.frame(CONT, b"ef")
    peer.text(b"x" * 70_000)
    await until(lambda: len(rig.handler.frames) == 4)
    assert rig.handler.frames == [b'{"n":1}', b"\x00\x01", b"abcdef", b"x" * 70_000]
    await until(lambda: peer.of(PONG) == [b"between fragments"])


async def test_what_is_sent_arrives_as_masked_text(rig: Rig) -> None:
    rig.start()
    peer = await rig.connected()
    rig.handler.link.send(b'{"method":"SUBSCRIBE"}')
    await until(lambda: peer.of(TEXT) == [b'{"method":"SUBSCRIBE"}'])  # the server's parser refuses unmasked frames


async def test_a_ping_counts_as_a_sign_of_life(rig: Rig) -> None:
    rig.start()
    peer = await rig.connected()
    opened = rig.handler.link.last_recv_ns
    rig.clock.now_ns += 5
    peer.frame(PING, b"p")
    await until(lambda: rig.handler.link.last_recv_ns == opened + 5)


@pytest.mark.parametrize("code", [1000, 1001, 1012, 3999])
async def test_the_exchange_closes_and_the_feed_comes_back(rig: Rig, code: int) -> None:
    feed = rig.start()
    peer = await rig.connected()
    peer.close(code, "bye")
    await until(lambda: len(rig.handler.closes) == 1)
    assert str(code) in rig.handler.closes[0]
    await until(lambda: peer.of(CLOSE) != [])  # the handshake is completed
    await rig.sleeping(0.75)  # nothing was proven: the first wait of the backoff
    rig.clock.advance(1.0)
    await rig.connected(2)
    assert feed.connections == 2
    assert [what for what, _ in rig.handler.calls] == ["open", "close", "open"]


async def test_a_cut_line_is_1006(rig: Rig) -> None:
    rig.start()
    peer = await rig.connected()
    peer.reset()
    await until(lambda: len(rig.handler.closes) == 1)
    assert "1006" in rig.handler.closes[0]


async def test_after_a_proven_connection_the_wait_starts_again(rig: Rig) -> None:
    rig.start()
    for nth in (1, 2):
        peer = await rig.connected(nth)
        peer.reset()
        await rig.sleeping(0.75 * 2 ** (nth - 1))  # before its next connection; jitter takes a quarter off
        rig.clock.advance(10.0)
    peer = await rig.connected(3)
    rig.clock.advance(6.0)
    peer.text(b"still here")
    await until(lambda: rig.handler.frames == [b"still here"])
    peer.reset()
    await until(lambda: len(rig.handler.closes) == 3)
    await rig.sleeping(0.5)  # first_s x chance


async def test_refused_connections_back_off_up_to_the_cap(rig: Rig) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    feed = rig.start(url=lambda: f"ws://127.0.0.1:{port}/")
    for full in (1.0, 2.0, 4.0, 8.0, 8.0, 8.0):
        await rig.sleeping(full * 0.75)  # jitter 0.5 at chance 0.5 takes a quarter off
        assert feed.last_error is not None
        rig.clock.advance(full)
    assert rig.handler.calls == []


async def test_an_upgrade_answered_by_429_is_reported_with_its_headers(rig: Rig) -> None:
    rig.server.refuse = 429
    feed = rig.start()
    await until(lambda: rig.refused != [])
    assert rig.refused[0][0] == 429
    assert rig.refused[0][1]["retry-after"] == "7"
    rig.server.refuse = None
    await until(rig.backs_off)
    rig.clock.advance(1.0)
    await rig.connected()
    assert feed.connections == 1


async def test_a_server_that_never_answers_the_upgrade_is_left(rig: Rig) -> None:
    rig.server.mute = True
    feed = rig.start(connect_timeout_s=10.0)
    await until(lambda: rig.server.attempts == 1 and rig.clock.sleepers == [10.0])
    rig.server.mute = False
    rig.clock.advance(10.0)
    await rig.sleeping(0.75)
    assert "10.0 s" in (feed.last_error or "")
    rig.clock.advance(1.0)
    await rig.connected()


async def test_silence_gets_a_ping_and_then_ends_the_connection(rig: Rig) -> None:
    rig.start(silence_s=60.0)
    peer = await rig.connected()
    peer.answers = False
    await rig.sleeping(30.0)
    rig.clock.advance(30.0)
    await until(lambda: len(peer.of(PING)) == 1)
    await rig.sleeping(30.0)
    rig.clock.advance(29.0)
    assert rig.handler.closes == []
    rig.clock.advance(1.0)
    await until(lambda: len(rig.handler.closes) == 1)
    assert "silent" in rig.handler.closes[0]
    await asyncio.wait_for(peer.gone.wait(), 5.0)
    await until(rig.backs_off)
    rig.clock.advance(1.0)
    await rig.connected(2)


async def test_a_pong_keeps_a_quiet_connection(rig: Rig) -> None:
    rig.start(silence_s=60.0)
    peer = await rig.connected()
    for _ in range(4):
        heard = rig.handler.link.last_recv_ns
        await rig.sleeping(30.0)
        rig.clock.advance(30.0)
        await until(lambda heard=heard: rig.handler.link.last_recv_ns > heard)
        rig.clock.advance(0.0)
        await until(lambda: len(rig.clock.sleepers) == 1)
        rig.clock.advance(30.0)  # the old deadline passes; the pong has moved it
        peer.text(b"tick")
        await until(lambda heard=heard: rig.handler.link.last_recv_ns == rig.clock.now_ns)
    assert rig.handler.closes == []


async def test_it_leaves_before_the_exchange_would_cut_it(rig: Rig) -> None:
    rig.start(silence_s=1e6, max_connection_s=1000.0)
    peer = await rig.connected()
    await rig.sleeping(930.0)  # between 0.88 and 0.98 of the age, at chance 0.5
    rig.clock.advance(930.0)
    await until(lambda: len(rig.handler.closes) == 1)
    await until(lambda: peer.of(CLOSE) == [b"\x03\xe8"])
    await until(rig.backs_off)
    rig.clock.advance(1.0)
    await rig.connected(2)


async def test_asked_to_reconnect_it_tells_why_at_once(rig: Rig) -> None:
    feed = rig.start()
    peer = await rig.connected()
    feed.reconnect("the book gapped")
    assert rig.handler.closes == ["the book gapped"]
    peer.text(b"too late")
    await until(lambda: rig.backs_off() and feed.link is None and peer.gone.is_set())
    rig.clock.advance(1.0)
    await rig.connected(2)
    assert rig.handler.frames == []


async def test_stop_while_open_completes_the_close_handshake(rig: Rig) -> None:
    feed = rig.start()
    peer = await rig.connected()
    await feed.stop()
    assert rig.handler.closes == ["stopped"]
    await until(lambda: peer.of(CLOSE) == [b"\x03\xe8"])
    assert feed.link is None
    assert rig.failures == []


async def test_stop_is_bounded_when_the_exchange_does_not_answer(rig: Rig) -> None:
    feed = rig.start(close_timeout_s=1.0)
    peer = await rig.connected()
    peer.answers = False
    stopping = asyncio.ensure_future(feed.stop())
    await rig.sleeping(1.0)
    rig.clock.advance(1.0)
    await asyncio.wait_for(stopping, 5.0)
    await asyncio.wait_for(peer.gone.wait(), 5.0)


@pytest.mark.parametrize("feed_first", [True, False])
async def test_it_ends_with_its_loop_which_cancels_every_task(rig: Rig, feed_first: bool) -> None:
    before = asyncio.all_tasks()
    rig.start()
    peer = await rig.connected()
    tasks = {task for task in asyncio.all_tasks() - before if not _is_of_the_server(task)}
    for task in sorted(tasks, key=_is_of_a_feed, reverse=feed_first):
        task.cancel()
    _, pending = await asyncio.wait(tasks, timeout=5.0)
    assert pending == set()
    assert rig.handler.closes
    await asyncio.wait_for(peer.gone.wait(), 5.0)


def _is_of_a_feed(task: asyncio.Task[Any]) -> bool:
    return "Feed." in getattr(task.get_coro(), "__qualname__", "")


def _is_of_the_server(task: asyncio.Task[Any]) -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and code.co_filename == servers.__file__


@pytest.mark.parametrize("when", ["dialing", "waiting", "never started"])
async def test_stop_at_any_other_moment_leaves_nothing(rig: Rig, when: str) -> None:
    if when == "never started":
        await Feed(lambda: rig.server.url, rig.handler, on_failure=rig.failures.append, clock=rig.clock).stop()
        return
    if when == "dialing":
        rig.server.mute = True
    else:
        rig.server.refuse = 503
    feed = rig.start()
    await until(lambda: rig.server.attempts == 1 and rig.clock.sleepers != [])
    await asyncio.wait_for(feed.stop(), 5.0)
    assert rig.handler.calls == []
    assert rig.failures == []


async def test_admission_is_asked_before_every_attempt_and_its_refusal_is_obeyed(rig: Rig) -> None:
    asked: list[int] = []

    async def admit() -> None:
        asked.append(1)
        if len(asked) == 1:
            raise RetryLater(42.0, "the window is spent")

    feed = rig.start(admit=admit)
    await rig.sleeping(42.0)
    assert rig.server.attempts == 0
    assert "the window is spent" in (feed.last_error or "")
    rig.clock.advance(42.0)
    peer = await rig.connected()
    peer.reset()
    await rig.sleeping(1.5)  # the pause after the second failure, not the timer of the connection's end
    assert len(rig.handler.closes) == 1
    assert feed.link is None
    rig.clock.advance(60.0)
    await rig.connected(2)
    assert len(asked) == 3


@pytest.mark.parametrize("fragments", [False, True])
async def test_a_message_beyond_the_bound_ends_the_connection(rig: Rig, fragments: bool) -> None:
    rig.start(max_message=1000)
    peer = await rig.connected()
    peer.text(b"y" * 1000)
    await until(lambda: len(rig.handler.frames) == 1)
    if fragments:
        peer.frame(TEXT, b"x" * 600, fin=False)
        peer.frame(CONT, b"x" * 600)
    else:
        peer.text(b"x" * 1001)
    await until(lambda: len(rig.handler.closes) == 1)
    await until(lambda: [payload[:2] for payload in peer.of(CLOSE)] == [b"\x03\xf1"])
    assert len(rig.handler.frames) == 1
    await until(lambda: rig.clock.sleepers != [])


@pytest.mark.parametrize("rig", ["picows"], indirect=True)
async def test_empty_fragments_count_towards_the_bound(rig: Rig) -> None:
    rig.start(max_message=1000)
    peer = await rig.connected()
    peer.frame(TEXT, b"", fin=False)
    for _ in range(20):
        peer.frame(CONT, b"", fin=False)
    await until(lambda: len(rig.handler.closes) == 1)
    assert rig.handler.frames == []
    await until(lambda: rig.clock.sleepers != [])


@pytest.mark.parametrize("bytes_", [b"\x80\x00", b"\x83\x00", b"\x81\x80abcd"])
async def test_bytes_that_break_the_protocol_end_the_connection(rig: Rig, bytes_: bytes) -> None:
    rig.start()
    peer = await rig.connected()
    peer.raw(bytes_)  # a continuation of nothing, an unknown opcode, a masked frame from a server
    await until(lambda: len(rig.handler.closes) == 1)
    await until(lambda: [payload[:2] for payload in peer.of(CLOSE)] == [b"\x03\xea"])


@pytest.mark.parametrize("where", ["open", "frame", "close"])
async def test_what_the_handler_raises_ends_the_feed_and_reaches_its_owner(rig: Rig, where: str) -> None:
    rig.handler.raises[where] = Boom(where)
    feed = rig.start()
    await until(lambda: len(rig.server.peers) == 1)
    peer = rig.server.peers[0]
    if where == "frame":
        await rig.connected()
        for _ in range(3):
            peer.text(b"one of three in one buffer")
    if where == "close":
        await rig.connected()
        peer.reset()
    await until(lambda: len(rig.failures) == 1)
    assert rig.failures == [rig.handler.raises[where]]
    assert len(rig.handler.frames) == (where == "frame")
    assert [what for what, _ in rig.handler.calls][-1] == "close"
    await until(lambda: peer.gone.is_set())
    assert rig.clock.sleepers == []
    assert feed.link is None
    assert len(rig.server.peers) == 1


class Boom(Exception):
    pass


def _raise_misconfigured() -> str:
    raise Misconfigured("url", "none today")


@pytest.mark.parametrize("url", [_raise_misconfigured, lambda: "not a url"])
async def test_an_invalid_url_ends_the_feed(rig: Rig, url: Callable[[], str]) -> None:
    rig.start(url=url)
    await until(lambda: len(rig.failures) == 1)
    assert isinstance(rig.failures[0], Misconfigured)


async def test_a_keepalive_is_sent_by_its_period_also_while_frames_arrive(rig: Rig) -> None:
    rig.start(keepalive=KeepAlive(b"ping", 20.0), silence_s=1000.0)
    peer = await rig.connected()
    for count in (1, 2, 3):
        await rig.sleeping(20.0)
        peer.text(b'{"busy":true}')
        await until(lambda n=count: len(rig.handler.frames) == n)
        rig.clock.advance(20.0)
        await until(lambda n=count: peer.of(TEXT) == [b"ping"] * n)


async def test_an_address_is_obtained_for_each_connection_and_ends_it_in_time(rig: Rig) -> None:
    dials = [Dial(rig.server.url, max_age_s=100.0, keepalive_s=7.0), Dial(rig.server.url)]
    answers: list[object] = [RetryLater(30.0, "slow down"), Rejected("400", "not now"), *dials]

    async def obtain() -> Dial:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, Dial)
        return found

    feed = rig.start(url=obtain, keepalive=KeepAlive(b"ping", 20.0), silence_s=1000.0)
    await rig.sleeping(30.0)
    assert "slow down" in (feed.last_error or "")
    rig.clock.advance(30.0)
    await until(lambda: "not now" in (feed.last_error or ""))
    await until(lambda: rig.clock.sleepers != [])
    rig.clock.advance(10.0)
    peer = await rig.connected()
    await rig.sleeping(7.0)  # the period that came with the address
    rig.clock.advance(93.0)  # of the address's age 0.88 to 0.98 are used
    await until(lambda: rig.handler.closes == ["near the age at which the exchange closes it"])
    assert peer.of(TEXT) in ([], [b"ping"])
