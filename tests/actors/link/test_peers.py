"""Peers of a link that are no mirrors, or bad ones: each costs its own connection only."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.certificates import Authority
from tests.fakes.context import context_of
from tests.fakes.link_stage import ADDRESS, Stage, stage_in, until
from venuemesh.actors.cell.near import HEAD, frame
from venuemesh.actors.link import server as of_server
from venuemesh.actors.link import wire
from venuemesh.actors.link.access import TLS_FILES, TOKEN, USE_TLS, cluster_token, link_key
from venuemesh.actors.link.role import LinkRole
from venuemesh.actors.link.settings import LinkSettings
from venuemesh.actors.link.wire import Kind
from venuemesh.model.errors import Misconfigured
from venuemesh.model.events import BookState
from venuemesh.orderbook.segment import SegmentReader

TOKEN_OF_TEST = "t" * 64


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, TOKEN_OF_TEST)
    for name in (USE_TLS, *TLS_FILES):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage whose mirror shows a LIVE book."""
    async with stage_in(tmp_path, limit_s=10.0) as stage:
        stage.there.writer().say(1)
        await stage.follow(ADDRESS)
        await live(stage)
        yield stage


async def live(stage: Stage) -> SegmentReader:
    book = await stage.reader()
    await until(lambda: book.state is BookState.LIVE)
    return book


async def still_pushes(stage: Stage, sequence: int) -> None:
    stage.there.writers[0].say(sequence)
    book = await stage.reader()
    await until(lambda: book.top().sequence == sequence)


class Peer:
    """A connection to the link, without any manners."""

    def __init__(self, stage: Stage) -> None:
        assert stage.there.link is not None
        self.port: int = stage.there.link.status()["port"]
        self.secret: bytes = stage.there.where["secret"]

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)

    async def frame(self) -> tuple[int, int, bytes]:
        length, number, kind = HEAD.unpack(await self.reader.readexactly(HEAD.size))
        return number, kind, await self.reader.readexactly(length)

    async def prove(self, token: str, address: str = "mirror/x") -> None:
        of_link = wire.read_challenge((await self.frame())[2])
        nonce = secrets.token_bytes(wire.NONCE_BYTES)
        key = link_key(token, self.secret)
        proof = wire.prove(key, "mirror", of_link, nonce, address)
        self.send(0, Kind.PROOF, wire.pack_proof(nonce, proof, address))

    def send(self, number: int, kind: int, content: bytes = b"") -> None:
        self.writer.write(frame(number, kind, content))

    async def rest(self) -> bytes:
        """Return all that still comes, when the link has ended the connection."""
        found = b""
        with contextlib.suppress(ConnectionResetError):
            while data := await asyncio.wait_for(self.reader.read(1 << 16), 10.0):
                found += data
        return found

    def close(self) -> None:
        self.writer.transport.abort()


@pytest.fixture
async def peer(stage: Stage) -> AsyncIterator[Peer]:
    peer = Peer(stage)
    await peer.open()
    yield peer
    peer.close()


def refused(stage: Stage) -> dict[str, int]:
    assert stage.there.link is not None
    counted: dict[str, int] = stage.there.link.status()["refused"]
    return counted


async def test_a_peer_without_the_token_gets_a_challenge_and_nothing_else(stage: Stage, peer: Peer) -> None:
    await peer.prove("another token")
    peer.send(1, Kind.FOLLOW, wire.pack_follow({1: (ADDRESS, None)}))
    assert await peer.rest() == b""
    assert refused(stage) == {"it does not know the key of this cluster": 1}
    await still_pushes(stage, 2)


async def test_the_token_and_the_secret_are_never_sent(stage: Stage, peer: Peer) -> None:
    sent = (await peer.frame())[2]
    assert peer.secret not in sent
    assert TOKEN_OF_TEST.encode() not in sent


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        random.Random(64).randbytes(64),
        frame(0, Kind.FOLLOW, wire.pack_follow({1: (ADDRESS, None)})),  # before the proof
        frame(0, Kind.PROOF, b"short"),
        HEAD.pack(wire.UNPROVEN_MAX + 1, 0, Kind.PROOF),
        HEAD.pack(0, 0, max(Kind) + 1),
    ],
)
async def test_what_is_no_proof_ends_the_connection(stage: Stage, peer: Peer, sent: bytes) -> None:
    await peer.frame()
    peer.writer.write(sent)
    assert await peer.rest() == b""
    assert refused(stage) == {"it sent no proof": 1}
    await still_pushes(stage, 2)


async def test_half_a_frame_has_a_few_seconds(stage: Stage, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_server, "PROVE_S", 0.3)
    await peer.frame()
    peer.writer.write(HEAD.pack(100, 0, Kind.PROOF) + b"half")
    assert await peer.rest() == b""
    assert refused(stage) == {"it proved nothing in time": 1}


async def test_a_thousand_connections_keep_no_mirror_out(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(of_server.logger, "warning", lambda text, *values, **fields: told.append(values[0]))
    writers = []
    for _ in range(1000):
        _, writer = await asyncio.open_connection("127.0.0.1", Peer(stage).port)
        writers.append(writer)
    await until(lambda: sum(refused(stage).values()) >= 1000 - of_server.UNPROVEN_PEERS)
    await still_pushes(stage, 2)
    stage.there.proxy.cut()  # the mirror must connect again, among them
    await still_pushes(stage, 3)
    for writer in writers:
        writer.transport.abort()
    assert 0 < len(told) == len(set(told)), "each reason is logged once"


@pytest.mark.parametrize("sent", [frame(1, Kind.BOOK, b""), frame(1, Kind.FOLLOW, b"\xc1"), b"\xff" * 64])
async def test_a_mirror_that_sends_garbage_loses_its_connection(stage: Stage, peer: Peer, sent: bytes) -> None:
    await peer.prove(TOKEN_OF_TEST)
    assert (await peer.frame())[1] == Kind.PROOF
    peer.writer.write(sent)
    await peer.rest()
    assert refused(stage) == {"it sent what is no message of a mirror": 1}
    await still_pushes(stage, 2)


async def test_a_peer_that_does_not_read_has_one_full_buffer_and_then_loses_its_connection(
    stage: Stage, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_server, "UNREAD_S", 0.5)
    wide = stage.there.writer(address="book/x/WIDE", levels=2000)
    wide.say(1, levels=2000)
    await peer.prove(TOKEN_OF_TEST)
    peer.send(1, Kind.FOLLOW, wire.pack_follow({1: ("book/x/WIDE", None)}))
    link = stage.there.link
    assert link is not None
    assert link._server is not None
    await until(lambda: "mirror/x" in link.status()["mirrors"])
    unread: Any = link._server._peers["mirror/x"]
    peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
    most, sequence = 0, 1
    while "mirror/x" in link.status()["mirrors"]:
        sequence += 1
        wide.say(sequence, levels=2000)
        most = max(most, unread.unsent)
        if sequence % 50 == 0:
            await still_pushes(stage, sequence)
        await asyncio.sleep(0.001)
        assert sequence < 50_000
    frame_bytes = 2 * 2000 * 16 + 1000
    assert 0 < most <= of_server.FULL_BYTES + 2 * frame_bytes
    assert refused(stage) == {"it does not read": 1}


async def test_a_slow_reader_gets_the_newest_state_and_not_those_between(
    stage: Stage, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for patience in ("UNREAD_S", "UNHEARD_S"):
        monkeypatch.setattr(of_server, patience, 300.0)
    wide = stage.there.writer(address="book/x/WIDE", levels=2000)
    await peer.prove(TOKEN_OF_TEST)
    await peer.frame()
    peer.send(1, Kind.FOLLOW, wire.pack_follow({1: ("book/x/WIDE", None)}))
    link = stage.there.link
    assert link is not None
    await until(lambda: link.status()["mirrors"].get("mirror/x", {}).get("books"))
    peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
    sequence = 0
    while not link.status()["mirrors"]["mirror/x"]["behind"] or sequence < 500:
        sequence += 1
        wide.say(sequence, levels=2000)
        await asyncio.sleep(0.001)
    for _ in range(500):
        sequence += 1
        wide.say(sequence, levels=2000)
        await asyncio.sleep(0)
    peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
    seen = []
    while not seen or seen[-1] != sequence:
        _, kind, content = await asyncio.wait_for(peer.frame(), 10.0)
        if kind == Kind.BOOK:
            seen.append(wire.Book.unpack(content).sequence)
    assert seen == sorted(seen)
    assert len(seen) < sequence - 400, "states in between must be left out"


async def test_a_later_connection_of_a_mirror_ends_the_earlier(stage: Stage, peer: Peer) -> None:
    await peer.prove(TOKEN_OF_TEST, "mirror/y")
    await peer.frame()
    later = Peer(stage)
    await later.open()
    await later.prove(TOKEN_OF_TEST, "mirror/y")
    assert (await later.frame())[1] == Kind.PROOF
    assert await peer.rest() == b""
    later.close()


async def test_a_silent_mirror_loses_its_connection(stage: Stage, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    await peer.prove(TOKEN_OF_TEST)
    await peer.frame()
    monkeypatch.setattr(of_server, "UNHEARD_S", 0.3)
    await peer.rest()
    assert refused(stage)["it is silent"] >= 1


async def test_a_link_serves_no_copy_of_this_nodes_mirror(stage: Stage, peer: Peer) -> None:
    """Two mirrors that copied each other would keep a dead book alive."""
    copy = stage.there.writer((9, 9), address="book/x/COPY", mirrored=True)
    copy.say(1)
    await peer.prove(TOKEN_OF_TEST)
    await peer.frame()
    peer.send(5, Kind.FOLLOW, wire.pack_follow({1: ("book/x/COPY", None)}))
    assert await peer.frame() == (5, Kind.PONG, b"")
    stage.there.writer((1, 5), address="book/x/COPY").say(2)  # an older incarnation, but the book's own
    number, kind, content = await peer.frame()
    assert (number, kind, wire.Book.unpack(content).sequence) == (1, Kind.BOOK, 2)


async def test_a_mirror_with_another_token_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage_in(tmp_path) as stage:
        stage.there.writer().say(1)
        monkeypatch.setenv(TOKEN, "another")
        await stage.follow(ADDRESS)
        await until(lambda: "cannot connect to 127.0.0.1" in (stage.mirror.status()["error"] or ""))
        assert "this port must be open between the hosts" in stage.mirror.status()["error"]
        assert refused(stage)["it does not know the key of this cluster"] >= 1


async def test_a_false_link_learns_nothing_and_shows_nothing(tmp_path: Path) -> None:
    """Another process has the port: it does not know the key, so the mirror tells it no book and takes none from it."""
    heard = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(0, Kind.CHALLENGE, wire.challenge(b"n" * 32)))
        heard.append(await reader.read(1 << 16))
        writer.write(frame(0, Kind.PROOF, b"p" * 32))
        heard.append(await reader.read(1 << 16))
        writer.close()

    async with stage_in(tmp_path) as stage:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        stage.there.proxy.target = server.sockets[0].getsockname()[:2]
        await stage.follow(ADDRESS)
        await until(lambda: "does not know the key" in (stage.mirror.status()["error"] or ""))
        assert ADDRESS.encode() not in b"".join(heard)
        server.close()


async def test_a_port_in_use_is_named(stage: Stage, tmp_path: Path) -> None:
    port = Peer(stage).port
    role = LinkRole(LinkSettings(port), context_of("link/z", segments=tmp_path))
    with pytest.raises(Misconfigured, match=f"127.0.0.1:{port}.*link_port"):
        await role.start()
    await role.stop()


def test_the_token_is_where_ray_looks_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cluster_token() == TOKEN_OF_TEST
    monkeypatch.delenv(TOKEN)
    (tmp_path / "token").write_text("of a file\n")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    assert cluster_token() == "of a file"
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cluster_token() == ""
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("of the home")
    assert cluster_token() == "of the home"


# ---------------------------------------------------------------------- TLS


def use(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


async def test_with_rays_tls_a_link_uses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Authority(tmp_path, "ours").environment())
    async with stage_in(tmp_path, limit_s=10.0) as stage:
        stage.there.writer().say(1)
        await stage.follow(ADDRESS)
        await live(stage)
        await still_pushes(stage, 2)
        peer = Peer(stage)  # speaks no TLS
        await peer.open()
        peer.writer.write(b"x" * 64)
        assert wire.GREETING not in await peer.rest()
        peer.close()
        await still_pushes(stage, 3)


async def test_a_mirror_of_another_authority_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Authority(tmp_path, "ours").environment())
    async with stage_in(tmp_path) as stage:
        stage.there.writer().say(1)
        (tmp_path / "others").mkdir()
        use(monkeypatch, Authority(tmp_path / "others", "theirs").environment())
        await stage.follow(ADDRESS)
        await until(lambda: "certificate" in (stage.mirror.status()["error"] or "").lower())
        await until(lambda: any(reason.startswith("no TLS") for reason in refused(stage)))


async def test_missing_files_of_tls_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(USE_TLS, "1")
    role = LinkRole(LinkSettings(), context_of("link/z", segments=tmp_path))
    with pytest.raises(Misconfigured, match="RAY_TLS_SERVER_CERT"):
        await role.start()
