"""Near calls: names, frames, answers and errors, and peers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors.cell.near_cells import ADDRESS, NearCell, Routes, route_of
from tests.fakes.clock import until
from venuemesh.actors.cell import near_client, near_server
from venuemesh.actors.cell.messages import ASK_METHOD, Asker, BadMessage, Envelope, unpack_reply
from venuemesh.actors.cell.near import (
    CONTENT_MAX,
    HEAD,
    FrameReader,
    Method,
    frame,
    is_listening,
    near_directory,
    short_path,
    socket_name,
)
from venuemesh.actors.cell.near_client import NearCalls, NotSent
from venuemesh.actors.cell.sweep import UNFINISHED_S, sweep
from venuemesh.model.errors import Fenced, InboxFull, OutcomeUnknown, Rejected
from venuemesh.orderbook.segment.names import private_directory

NAME = socket_name(ADDRESS, (1, 1))


@pytest.fixture(autouse=True)
def private(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)


@pytest.fixture
async def cell(tmp_path: Path) -> AsyncIterator[NearCell]:
    made = await NearCell(tmp_path).start()
    yield made
    made.server.close()


@pytest.fixture
async def calls(tmp_path: Path) -> AsyncIterator[NearCalls]:
    made = NearCalls(near_directory(tmp_path))
    yield made
    made.close()


def envelope(kind: str, body: Any = None, *, sequence: int = 1, incarnation: tuple[int, int] = (1, 1)) -> bytes:
    return Envelope(ADDRESS, "me", incarnation, sequence, kind, 1.0, body).pack()


@contextlib.contextmanager
def raw_peer(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer, short_path(near_directory(tmp_path), NAME) as path:
        peer.connect(path)
        peer.setblocking(False)
        yield peer


async def ended(peer: socket.socket) -> bool:
    """Wait until the other side has ended the connection."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):
        while await asyncio.wait_for(loop.sock_recv(peer, 65536), 10.0):
            pass
    return True


async def works(calls: NearCalls, sequence: int = 1) -> bool:
    """Return whether an ordinary caller gets its answer."""
    answer = unpack_reply(await calls.call(NAME, Method.ASK, envelope("who", 7, sequence=sequence), 10.0))
    return bool(answer["body"] == 7)


# ---------------------------------------------------------------------- frames and names


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.sampled_from(Method), st.binary(max_size=60))), st.data())
def test_frames_arrive_as_they_were_sent_however_they_are_cut(
    frames: list[tuple[int, Method, bytes]], data: st.DataObject
) -> None:
    sent = b"".join(frame(*one) for one in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=5)))
    reader, got = FrameReader(), []
    for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        got += list(reader.feed(sent[start:end]))
    assert got == frames
    assert len(reader) == 0


@pytest.mark.parametrize("head", [HEAD.pack(CONTENT_MAX + 1, 1, 0), HEAD.pack(1, 1, max(Method) + 1)])
def test_what_is_no_frame_is_refused_at_its_head(head: bytes) -> None:
    with pytest.raises(BadMessage):
        list(FrameReader().feed(head))


def test_socket_names_are_short_and_differ() -> None:
    long = "book/exchange/" + "X" * 100
    names = {socket_name(long + end, (2, number)) for end in "ab" for number in (1, 2)}
    assert len(names) == 4
    assert all(len(name) <= 80 for name in names)
    assert socket_name("book/acme/BTC-USDT", (3, 17)) == "book~acme~BTC-USDT@3.17"


# ---------------------------------------------------------------------- answers


async def test_a_call_is_answered_with_the_same_errors_as_by_the_host(cell: NearCell, calls: NearCalls) -> None:
    assert await works(calls)
    for kind, error in (("nothing", Rejected), ("broken_read", Rejected)):
        sent = envelope(kind, sequence=2 if kind == "nothing" else 3)
        over_socket = await calls.call(NAME, Method.ASK, sent, 10.0)
        assert over_socket == await cell.host.ask(sent)
        with pytest.raises(error):
            unpack_reply(over_socket)
    with pytest.raises(Fenced):
        unpack_reply(await calls.call(NAME, Method.ASK, envelope("who", incarnation=(1, 2)), 10.0))
    assert unpack_reply(await calls.call(NAME, Method.POLL, envelope("poll:news"), 10.0)) == "news"
    assert unpack_reply(await calls.call(NAME, Method.STATUS, b"", 10.0))["state"] == "SERVING"
    with pytest.raises(OutcomeUnknown):  # the role fails, the message may have been executed
        unpack_reply(await calls.call(NAME, Method.ASK, envelope("broken", sequence=9), 10.0))


async def test_a_thousand_waiting_polls_delay_no_command(
    cell: NearCell, calls: NearCalls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wait(kind: str, body: Any, timeout_s: float) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(cell.toy, "poll", wait)
    polls = [asyncio.ensure_future(calls.call(NAME, Method.POLL, envelope("poll:x"), None)) for _ in range(5000)]
    assert await works(calls)
    other = NearCalls(near_directory(tmp_path))
    assert await works(other, sequence=2)
    refused = [poll for poll in polls if poll.done()]
    assert len(refused) == 5000 - near_server.POLLS_MAX
    for poll in polls:
        poll.cancel()
    other.close()


async def test_a_long_message_is_not_sent_and_a_long_answer_is_an_error(
    cell: NearCell, calls: NearCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Rejected, match="at most"):
        await calls.call(NAME, Method.ASK, bytes(CONTENT_MAX + 1), 10.0)
    assert cell.toy.handled == 0
    monkeypatch.setattr(near_server, "CONTENT_MAX", 1000)
    with pytest.raises(Rejected, match="at most 1000"):
        unpack_reply(await calls.call(NAME, Method.ASK, envelope("who", bytes(2000)), 10.0))
    assert await works(calls, sequence=2)


async def test_an_unexpected_error_ends_the_connection(
    cell: NearCell, calls: NearCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cell.host, "status", lambda: 1 / 0)
    with pytest.raises(near_client.Lost):
        await calls.call(NAME, Method.STATUS, b"", 10.0)
    assert await works(calls)


# ---------------------------------------------------------------------- peers that misbehave


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 10,
        frame(1, Method.ASK, b"\xc1"),
        frame(1, Method.ASK, b"\x93\x01\x02\x03"),
        frame(1, Method.POLL, envelope("who")[:-1]),
        frame(1, Method.SUPERVISOR, b"\x92\xa6status\x90"),
        frame(1, Method.PASS, b"\x00"),
    ],
    ids=["http", "no msgpack", "no envelope", "cut", "not for a cell", "no call to pass on"],
)
async def test_garbage_ends_only_its_own_connection(
    cell: NearCell, calls: NearCalls, tmp_path: Path, garbage: bytes
) -> None:
    assert await works(calls)
    with raw_peer(tmp_path) as peer:
        await asyncio.get_running_loop().sock_sendall(peer, garbage)
        assert await ended(peer)
    assert await works(calls, sequence=2)


async def test_a_peer_that_does_not_read_is_ended_and_costs_the_others_nothing(
    cell: NearCell, calls: NearCalls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_server, "UNREAD_S", 0.05)
    loop = asyncio.get_running_loop()
    big = frame(1, Method.POLL, envelope("poll:" + "x" * 60_000))
    with raw_peer(tmp_path) as peer:
        sending = asyncio.ensure_future(loop.sock_sendall(peer, big * 200))
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(sending, 10.0)
        assert await works(calls)
        assert await ended(peer)
    assert await works(calls, sequence=2)


async def test_unread_answers_have_a_bound(cell: NearCell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_server, "UNSENT_MAX", 200_000)
    loop = asyncio.get_running_loop()
    with raw_peer(tmp_path) as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(
                loop.sock_sendall(peer, frame(1, Method.POLL, envelope("poll:" + "x" * 60_000)) * 50), 10
            )
        assert await ended(peer)


async def test_one_process_has_few_connections_and_a_stranger_has_none(
    cell: NearCell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = near_server.CONNECTIONS_OF_PROCESS
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(raw_peer(tmp_path)) for _ in range(limit + 5)]
        for refused in peers[limit:]:
            assert await ended(refused)
    stranger = NearCell(tmp_path, (1, 2), user=os.geteuid() + 1)
    await stranger.start()
    calls = NearCalls(near_directory(tmp_path))
    with pytest.raises((NotSent, near_client.Lost)):
        await calls.call(socket_name(ADDRESS, (1, 2)), Method.STATUS, b"", 10.0)
    stranger.server.close()


async def test_connections_of_many_processes_have_a_bound(
    calls: NearCalls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (80, 80))  # a quarter of the process's files: 20
    pids = iter(range(10**6, 2 * 10**6))
    monkeypatch.setattr(near_server, "peer", lambda _: (next(pids), os.geteuid()))
    cell = await NearCell(tmp_path).start()
    assert await works(calls)
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(raw_peer(tmp_path)) for _ in range(40)]
        for refused in peers[19:]:
            assert await ended(refused)
        assert await works(calls, sequence=2)  # an open connection stays
    cell.server.close()


async def test_unfinished_frames_have_a_common_bound(
    cell: NearCell, calls: NearCalls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_server, "UNFINISHED_MAX", 300_000)
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as stack:
        greedy = stack.enter_context(raw_peer(tmp_path))
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(loop.sock_sendall(greedy, HEAD.pack(CONTENT_MAX, 1, 0) + bytes(400_000)), 10.0)
        assert await ended(greedy)
    assert await works(calls)


async def test_many_unanswered_commands_of_one_peer_wait_in_its_own_socket(
    cell: NearCell, calls: NearCalls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_server, "ASKS_MAX", 5)
    greedy = NearCalls(near_directory(tmp_path))
    hanging = [
        asyncio.ensure_future(greedy.call(NAME, Method.ASK, envelope("hang", sequence=100 + n), None)) for n in range(5)
    ]
    await until(lambda: cell.toy.handled == 5)
    waiting = [
        asyncio.ensure_future(greedy.call(NAME, Method.ASK, envelope("who", 7, sequence=200 + n), None))
        for n in range(20)
    ]
    assert await works(calls)
    assert cell.toy.handled == 6
    for task in [task for task in asyncio.all_tasks() if "_reply_to_ask" in repr(task)]:
        task.cancel()  # the role gives the five up
    assert [unpack_reply(answer)["body"] for answer in await asyncio.wait_for(asyncio.gather(*waiting), 10.0)] == [
        7
    ] * 20
    for call in hanging:
        call.cancel()
    greedy.close()


async def test_an_urgent_call_passes_the_unanswered_commands_of_its_process(
    cell: NearCell, calls: NearCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_server, "ASKS_MAX", 2)
    hanging = [
        asyncio.ensure_future(calls.call(NAME, Method.ASK, envelope("hang", sequence=100 + n), None)) for n in range(2)
    ]
    waiting = asyncio.ensure_future(calls.call(NAME, Method.ASK, envelope("who", 7, sequence=200), None))
    await until(lambda: cell.toy.handled == 2)
    answer = unpack_reply(await calls.call(NAME, Method.URGENT, envelope("who", 8, sequence=300), 10.0))
    assert answer["body"] == 8
    assert not waiting.done()
    for call in (*hanging, waiting):
        call.cancel()


async def test_a_burst_of_one_peer_begins_in_parts_and_the_call_of_another_peer_between_them(
    cell: NearCell, calls: NearCalls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_server, "AT_ONCE", 2)
    began: list[int] = []

    async def handle(kind: str, body: Any) -> None:
        began.append(body)

    monkeypatch.setattr(cell.toy, "handle", handle)
    with raw_peer(tmp_path) as greedy:
        assert await calls.call(NAME, Method.ASK, envelope("who", 0, sequence=1), 10.0)  # both are connected
        burst = b"".join(frame(n, Method.ASK, envelope("who", n, sequence=100 + n)) for n in range(1, 41))
        await asyncio.get_running_loop().sock_sendall(greedy, burst)
        await calls.call(NAME, Method.URGENT, envelope("who", -1, sequence=2), 10.0)
        await until(lambda: len(began) == 42)
    assert began[0] == 0
    assert [one for one in began if one > 0] == list(range(1, 41))
    assert began.index(-1) < 41


async def test_a_server_that_does_not_read_fills_no_caller(
    tmp_path: Path, calls: NearCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_client, "UNSENT_MAX", 1 << 20)
    private_directory(near_directory(tmp_path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as deaf, short_path(near_directory(tmp_path), NAME) as path:
        deaf.bind(path)
        deaf.listen()
        sent = [asyncio.ensure_future(calls.call(NAME, Method.ASK, bytes(1 << 20), None)) for _ in range(3)]
        done, waiting = await asyncio.wait(sent, timeout=10.0, return_when=asyncio.FIRST_EXCEPTION)
        with pytest.raises(InboxFull):
            next(iter(done)).result()
        for call in waiting:
            call.cancel()


# ---------------------------------------------------------------------- sockets as files


async def test_sockets_are_private_and_the_dead_ones_are_swept(cell: NearCell, tmp_path: Path) -> None:
    directory = near_directory(tmp_path)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / NAME).stat().st_mode & 0o777 == 0o600
    for name in ("dead@1.1", ".77.new", ".78.new"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead, short_path(directory, name) as path:
            dead.bind(path)
    long_ago = time.time() - 2 * UNFINISHED_S
    os.utime(directory / ".78.new", (long_ago, long_ago))
    assert sweep(tmp_path) == 2
    assert sorted(os.listdir(directory)) == [".77.new", NAME]  # another process may just be making its socket
    assert is_listening(directory / NAME)
    cell.server.close()
    assert os.listdir(directory) == [".77.new"]


async def test_a_long_directory_and_a_successor_of_the_same_name(tmp_path: Path) -> None:
    segments = private_directory(tmp_path / ("long" * 30))
    first = await NearCell(segments).start()
    second = await NearCell(segments).start()  # takes the name over
    calls = NearCalls(near_directory(segments))
    assert await works(calls)
    assert second.toy.handled == 1
    first.server.close()  # leaves the socket of the other alone
    assert (near_directory(segments) / NAME).exists()
    second.server.close()
    calls.close()


# ---------------------------------------------------------------------- routes


async def test_a_cell_on_another_node_is_reached_the_other_way(cell: NearCell, tmp_path: Path) -> None:
    routes = Routes(tmp_path)
    routes.set(route_of(node="another-node"))
    routes.other_way = lambda route, method, packed: cell.host.ask(packed)
    ask = Asker("me", routes, routes.send, asyncio.get_running_loop().time)
    assert (await ask(ADDRESS, "who", 1))["body"] == 1
    assert routes.elsewhere == [(route_of(node="another-node"), ASK_METHOD)]


async def test_a_missing_socket_of_a_living_cell_costs_only_the_detour(cell: NearCell, tmp_path: Path) -> None:
    routes = Routes(tmp_path)
    routes.set(route_of())
    routes.other_way = lambda route, method, packed: cell.host.ask(packed)
    cell.server.close()
    ask = Asker("me", routes, routes.send, asyncio.get_running_loop().time)
    assert (await ask(ADDRESS, "who", 1))["body"] == 1
    assert len(routes.elsewhere) == 1
