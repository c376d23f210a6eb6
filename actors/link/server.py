"""The listening side of a link: proves its peers, and sends each of them the newest state of the books that it follows.

A peer costs the others nothing. Before it has proved the key it gets nothing but a challenge, may send one short frame,
and has `PROVE_S` seconds; there are few places for such peers, and a new one takes the place of the oldest. A mirror
has one connection: a later one ends the earlier, which may be half open. A peer that does not read gets no news until
it reads again, and then the newest state only: nothing is queued for it beyond one full buffer. A peer that has not
read for `UNREAD_S`, or has not sent a PING for `UNHEARD_S`, loses its connection. The reason is logged once for each
host.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from loguru import logger

from ...model.errors import Misconfigured
from ...model.time import in_ns
from ..cell.messages import BadMessage
from ..cell.near import frame
from . import wire
from .books import LocalBooks, Watched
from .wire import Kind, Position, Segment

PROVE_S = 3.0
UNREAD_S = 5.0
UNHEARD_S = 5.0
UNPROVEN_PEERS = 64
PEERS = 4096  # mirrors: a node has one
FULL_BYTES = 64 << 10  # of the buffer of a peer; so much may wait in this process, and a frame
HOSTS_TOLD = 256
_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25 if sys.platform == "linux" else None)


class LinkServer:
    """Listens for mirrors. Made and used on one event loop; `beat` must be called often."""

    def __init__(
        self,
        segments: Path,
        key: bytes,
        tls: ssl.SSLContext | None,
        fail: Callable[[BaseException], None],
        monotonic_ns: Callable[[], int],
        time_ns: Callable[[], int],
    ) -> None:
        self.key, self.tls, self.fail, self.monotonic_ns = key, tls, fail, monotonic_ns
        self._time_ns = time_ns
        self.books = LocalBooks(segments, self._on_change, fail)
        self.refused: Counter[str] = Counter()  # by reason
        self._followed: dict[Watched, set[Follower]] = {}
        self._unproven: dict[_Peer, None] = {}  # oldest first
        self._peers: dict[str, _Peer] = {}  # by the address of the mirror
        self._told: dict[tuple[str, str], None] = {}
        self._server: asyncio.Server | None = None

    async def open(self, host: str, port: int) -> int:
        """Listen on an address of this host; return the port.

        Raises:
            Misconfigured: the address or the port cannot be used.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: _Peer(self), host, port, backlog=128, reuse_address=True, reuse_port=False
            )
        except OSError as error:
            remedy = "set link_port of [mesh] to a port that is free on every host, or to 0"
            raise Misconfigured(f"the link on {host}:{port}", f"{error.strerror or error}; {remedy}") from error
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for peer in [*self._unproven, *self._peers.values()]:
            peer.transport.abort()
            self.forget(peer)

    def beat(self) -> None:
        """Look for new segments and for peers whose time is over."""
        now_ns = self.monotonic_ns()
        if len(self.books):
            self.books.look(self._time_ns())
        for peer in [*self._unproven, *self._peers.values()]:
            peer.check(now_ns)

    def status(self) -> dict[str, Any]:
        return {
            "books": len(self.books),
            "mirrors": {
                address: {"books": len(peer.followers), "behind": peer.is_full}
                for address, peer in sorted(self._peers.items())
            },
            "refused": dict(self.refused),
        }

    def _on_change(self, book: Watched) -> None:
        for follower in list(self._followed.get(book, ())):
            follower.push()

    # ------------------------------------------------------------------ for the peers

    def admit(self, peer: _Peer) -> None:
        """Give an unproven peer a place."""
        if len(self._unproven) >= UNPROVEN_PEERS:
            next(iter(self._unproven)).end("too many connections without proof")
        self._unproven[peer] = None

    def prove(self, peer: _Peer) -> bool:
        """Make a peer that has proved the key the one connection of its mirror. False: there are too many."""
        self._unproven.pop(peer, None)
        before = self._peers.get(peer.address)
        if before is not None:
            before.transport.abort()
            self.forget(before)
        if len(self._peers) >= PEERS:
            return False
        self._peers[peer.address] = peer
        return True

    def forget(self, peer: _Peer) -> None:
        self._unproven.pop(peer, None)
        if self._peers.get(peer.address) is peer:
            del self._peers[peer.address]
        peer.follow({})

    def follow(self, follower: Follower) -> None:
        self._followed.setdefault(follower.book, set()).add(follower)

    def leave(self, follower: Follower) -> None:
        followers = self._followed[follower.book]
        followers.discard(follower)
        if not followers:
            del self._followed[follower.book]
        self.books.leave(follower.book)

    def tell(self, host: str, reason: str) -> None:
        """Count why a connection ended; log it once for each host and reason."""
        self.refused[reason] += 1
        if (host, reason) not in self._told and len(self._told) < HOSTS_TOLD:
            self._told[host, reason] = None
            logger.warning("ended a link connection: {}", reason, host=host)


class Follower:
    """One subscription of a peer: what it has been sent of a book."""

    __slots__ = ("_has_begun", "_last_trade", "_peer", "_segment", "_update", "_version", "book", "number", "position")

    def __init__(self, peer: _Peer, number: int, book: Watched, position: Position | None) -> None:
        self._peer, self.number, self.book, self.position = peer, number, book, position
        self._segment: Segment | None = None
        self._version = self._update = -1
        self._last_trade = 0
        self._has_begun = False

    def push(self) -> bool:
        """Send what is new. Return whether the peer has been sent the newest content that there was at the call."""
        book, peer = self.book, self._peer
        reader, segment = book.reader, book.segment
        if reader is None or segment is None:
            if self._segment is not None:
                self._segment = None
                peer.write(self.number, Kind.GONE)
            return False
        if reader.ended:
            return False  # the next look finds its successor, or sends its end
        version = reader.version
        if segment == self._segment and version == self._version:
            return True
        if peer.is_full:
            return False
        content = book.content()
        if content is None:
            return False
        if segment != self._segment:
            self._begin(content)
        elif content.update != self._update:
            peer.write(self.number, Kind.BOOK, book.packed(content))
        self._update = content.update
        while (found := book.trades(self._last_trade))[0]:
            if peer.unsent > FULL_BYTES:
                return False  # the rest follows when the peer has read
            peer.write(self.number, Kind.TRADES, found[0])
            self._last_trade = found[1]
        self._version = content.version
        return True

    def _begin(self, content: Any) -> None:
        """Send the first content of a segment, and the proof of its life, without which a mirror does not show it."""
        book, position, is_first = self.book, self.position, not self._has_begun
        assert book.reader is not None
        first = book.first(content)
        self._segment, self.position, self._has_begun = first.segment, None, True
        if position is not None and position.segment == first.segment:
            self._last_trade = position.last_trade
        else:  # of a later segment the mirror may need all trades
            self._last_trade = first.last_trade if is_first and position is None else 0
        self._peer.write(self.number, Kind.BOOK, first.pack())
        self._peer.pong([(self.number, max(0, book.reader.heartbeat_age_ns))])

    @property
    def age_ns(self) -> int:
        """The age of the heartbeat of the source whose content was sent last."""
        assert self.book.reader is not None
        return max(0, self.book.reader.heartbeat_age_ns)


class _Peer(asyncio.Protocol):
    """One connection."""

    transport: asyncio.Transport

    def __init__(self, server: LinkServer) -> None:
        self._server = server
        self.address = ""  # of the mirror, once it is proved
        self.is_full = False
        self.followers: dict[int, Follower] = {}
        self._frames = wire.frame_reader(wire.UNPROVEN_MAX)
        self._nonce = secrets.token_bytes(wire.NONCE_BYTES)
        self._host = ""
        self._since_ns = self._heard_ns = server.monotonic_ns()
        self._full_since_ns = 0
        self._pinged = 0  # the mirror's time in its last PING or FOLLOW
        self._securing: asyncio.Task[None] | None = None

    # ---- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._host = str((transport.get_extra_info("peername") or ("unknown",))[0])
        self._server.admit(self)
        if self._server.tls is None:
            self._greet()
        else:
            self.transport.pause_reading()
            self._securing = asyncio.ensure_future(self._secure(self._server.tls))

    async def _secure(self, tls: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        try:
            secured = await loop.start_tls(self.transport, self, tls, server_side=True, ssl_handshake_timeout=PROVE_S)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.end(f"no TLS: {type(error).__name__}")
            self._server.forget(self)
            return
        if secured is None:  # the connection ended meanwhile
            self._server.forget(self)
            return
        self.transport = secured
        self._greet()

    def _greet(self) -> None:
        self.transport.set_write_buffer_limits(FULL_BYTES)
        if _NOTSENT_LOWAT is not None and (raw := self.transport.get_extra_info("socket")) is not None:
            raw.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, FULL_BYTES)  # what waits in the kernel is stale
        self.write(0, Kind.CHALLENGE, wire.challenge(self._nonce))

    def connection_lost(self, error: Exception | None) -> None:
        self._server.forget(self)

    def pause_writing(self) -> None:
        self.is_full, self._full_since_ns = True, self._server.monotonic_ns()

    def resume_writing(self) -> None:
        self.is_full = False
        for follower in list(self.followers.values()):
            follower.push()

    def check(self, now_ns: int) -> None:
        """End the connection if its time is over."""
        if not self.address:
            if now_ns - self._since_ns > in_ns(PROVE_S):
                self.end("it proved nothing in time")
        elif self.is_full and now_ns - self._full_since_ns > in_ns(UNREAD_S):
            self.end("it does not read")
        elif now_ns - self._heard_ns > in_ns(UNHEARD_S):
            self.end("it is silent")

    def end(self, reason: str) -> None:
        self._server.tell(self._host, reason)
        if self._securing is not None:
            self._securing.cancel()
        self.transport.abort()
        self._server.forget(self)

    def write(self, number: int, kind: Kind, content: bytes = b"") -> None:
        if not self.transport.is_closing():
            self.transport.write(frame(number, kind, content))

    @property
    def unsent(self) -> int:
        """The number of bytes that the peer has not read."""
        return self.transport.get_write_buffer_size()

    def pong(self, ages: list[tuple[int, int]]) -> None:
        self.write(self._pinged, Kind.PONG, wire.pack_ages(ages))

    # ---- frames

    def data_received(self, data: bytes) -> None:
        try:
            for number, kind, content in self._frames.feed(data):
                if self.transport.is_closing():
                    return
                self._take(number, kind, content)
        except BadMessage as error:
            self.end("it sent what is no message of a mirror" if self.address else "it sent no proof")
            logger.debug("not a message of a mirror: {}", error, host=self._host)

    def _take(self, number: int, kind: int, content: bytes) -> None:
        if not self.address:
            if kind != Kind.PROOF:
                raise BadMessage(f"kind {kind} before the proof")
            self._prove(content)
            return
        match kind:
            case Kind.PING:
                self._heard(number)
            case Kind.FOLLOW:
                self._pinged = number
                self.follow(wire.unpack_follow(content))
                self._heard(number)
            case _:
                raise BadMessage(f"kind {kind} from a mirror")

    def _prove(self, content: bytes) -> None:
        nonce, proof, address = wire.read_proof(content)
        server = self._server
        if not wire.is_proof(proof, server.key, "mirror", self._nonce, nonce, address):
            self.end("it does not know the key of this cluster")
            return
        self.address = address
        if not server.prove(self):
            self.end(f"over {PEERS} mirrors")
            return
        self._heard_ns = server.monotonic_ns()
        self._frames.content_max = wire.FOLLOW_MAX
        self.write(0, Kind.PROOF, wire.prove(server.key, "link", self._nonce, nonce, address))

    def _heard(self, number: int) -> None:
        """Answer a PING: send what is new, then tell which sources live."""
        self._heard_ns, self._pinged = self._server.monotonic_ns(), number
        if not self.is_full:
            ages = [(follower.number, follower.age_ns) for follower in self.followers.values() if follower.push()]
            self.pong(ages)

    def follow(self, wanted: dict[int, tuple[str, Position | None]]) -> None:
        """Follow these books from now on, and no others."""
        server = self._server
        for number in [number for number in self.followers if number not in wanted]:
            server.leave(self.followers.pop(number))
        for number, (address, position) in wanted.items():
            known = self.followers.get(number)
            if known is not None and known.book.address == address:
                continue
            if known is not None:
                server.leave(self.followers.pop(number))
            follower = self.followers[number] = Follower(self, number, server.books.watch(address), position)
            server.follow(follower)
