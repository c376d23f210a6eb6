"""The connecting side of a link: a mirror's one connection to a node whose books it copies.

The client asks over Ray where the node's link listens, connects, proves the key, and sends its subscriptions whenever
they change. It sends a PING often; when no PONG has come for `LOST_S`, it ends the connection and opens another.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from typing import Any, Protocol, cast

from ...model.address import link_address
from ...model.errors import MeshError
from ...model.time import in_ns
from ..cell.messages import BadMessage
from ..cell.near import frame
from ..cell.role import Context
from . import wire
from .access import cluster_token, link_key, tls_context, uses_tls
from .wire import Book, Kind, Position, Trade

CONNECT_S = 1.0
ASK_S = 1.0
LOST_S = 1.0
PAUSES_S = (0.05, 0.1, 0.2, 0.5)  # before the next attempt


class Hearer(Protocol):
    """What a client tells its owner. `number` is that of a subscription."""

    def subscriptions(self) -> dict[int, tuple[str, Position | None]]: ...
    def on_book(self, number: int, book: Book) -> None: ...
    def on_trades(self, number: int, trades: list[Trade]) -> None: ...
    def on_gone(self, number: int) -> None: ...
    def on_life(self, number: int, proved_ns: int) -> None:
        """The source lived at `proved_ns` or later, and all of it until then has arrived."""


class LinkClient:
    """See the module. Runs on one event loop until `close`."""

    def __init__(self, node: str, context: Context, hearer: Hearer, ping_ns: int) -> None:
        self.error: str | None = f"not yet connected to the link of node {node[:12]}"
        self._address, self._context, self._hearer, self._ping_ns = link_address(node), context, hearer, ping_ns
        self._connection: _Connection | None = None
        self._where: dict[str, Any] | None = None  # where the link listens, by its last answer
        self._works = False  # whether it was there at the last attempt
        self._token: str | None = None
        self._task = asyncio.ensure_future(self._run())
        self._task.add_done_callback(self._ended)

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    def close(self) -> None:
        self._task.cancel()
        if self._connection is not None:
            self._connection.transport.abort()

    def follow(self) -> None:
        """Send the subscriptions, which have changed."""
        if self._connection is not None:
            self._connection.follow(self._context.monotonic_ns())

    def beat(self, now_ns: int) -> None:
        """Send a PING if it is time; end a connection without answers."""
        if self._connection is not None:
            self._connection.beat(now_ns, self._ping_ns)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._context.fail(error)

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                await self._connect()
                failures = 0
            except (MeshError, OSError, TimeoutError, BadMessage) as error:
                self.error = f"{self._address}: {_text(error)}"
            await asyncio.sleep(PAUSES_S[min(failures, len(PAUSES_S) - 1)])
            failures += 1

    async def _connect(self) -> None:
        """Serve one connection until it ends."""
        where = await self._find()
        host, port, secret = str(where["host"]), int(where["port"]), bytes(where["secret"])
        if self._token is None:
            self._token = await asyncio.to_thread(cluster_token)
        tls = await asyncio.to_thread(tls_context, False) if uses_tls() else None
        connection = _Connection(link_key(self._token, secret), self._context, self._hearer)
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._open(connection, host, port, tls)
                await connection.proved
        except (OSError, TimeoutError, BadMessage) as error:
            self._works = False
            connection.abort()
            raise ConnectionError(
                f"cannot connect to {host}:{port} ({_text(error)}); this port must be open between the hosts"
            ) from error
        self.error, self._connection, self._works = None, connection, True
        try:
            connection.follow(self._context.monotonic_ns())
            await connection.lost
        finally:
            self._connection = None
            connection.abort()
        raise ConnectionError(f"the connection to {host}:{port} ended: {connection.reason}")

    async def _open(self, connection: _Connection, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        options: dict[str, Any] = {} if tls is None else {"server_hostname": host, "ssl_handshake_timeout": CONNECT_S}
        await asyncio.get_running_loop().create_connection(lambda: connection, host, port, ssl=tls, **options)

    async def _find(self) -> dict[str, Any]:
        """Return where the link listens: where the last attempt found it; otherwise by its answer, new or last."""
        if self._where is None or not self._works:
            try:
                self._where = await self._context.ask(self._address, "where", None, ASK_S)
            except MeshError:
                if self._where is None:
                    raise
        return self._where


def _text(error: BaseException) -> str:
    return str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)


class _Connection(asyncio.Protocol):
    """One connection, from its opening to its end."""

    transport: asyncio.Transport

    def __init__(self, key: bytes, context: Context, hearer: Hearer) -> None:
        self._key, self._context, self._hearer = key, context, hearer
        loop = asyncio.get_running_loop()
        self.proved: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()
        self.reason = "by the other side"
        self._frames = wire.frame_reader(wire.UNPROVEN_MAX)
        self._nonce = secrets.token_bytes(wire.NONCE_BYTES)
        self._of_link = b""
        self._pinged_ns = 0
        self._answered_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None and str(error):
            self.reason = str(error)
        for future in (self.proved, self.lost):
            if not future.done():
                if future is self.proved:
                    future.set_exception(ConnectionError("the other side ended the connection"))
                    future.exception()  # retrieved: it may be awaited no longer
                else:
                    future.set_result(None)

    def abort(self) -> None:
        if hasattr(self, "transport"):
            self.transport.abort()

    def follow(self, now_ns: int) -> None:
        self._pinged_ns = now_ns
        self._answered_ns = max(self._answered_ns, now_ns)
        self._write(now_ns, Kind.FOLLOW, wire.pack_follow(self._hearer.subscriptions()))

    def beat(self, now_ns: int, ping_ns: int) -> None:
        if now_ns - self._answered_ns > in_ns(LOST_S):
            self.reason = f"no answer for {LOST_S:g} s"
            self.transport.abort()
        elif now_ns - self._pinged_ns >= ping_ns:
            self._pinged_ns = now_ns
            self._write(now_ns, Kind.PING)

    def _write(self, number: int, kind: Kind, content: bytes = b"") -> None:
        if not self.transport.is_closing():
            self.transport.write(frame(number, kind, content))

    def data_received(self, data: bytes) -> None:
        self._context.alive()
        try:
            for number, kind, content in self._frames.feed(data):
                if self.transport.is_closing():
                    return
                if self.proved.done():
                    self._take(number, kind, content)
                else:
                    self._prove(kind, content)
        except BadMessage as error:
            self.reason = str(error)
            if not self.proved.done():
                self.proved.set_exception(error)
                self.proved.exception()
            self.transport.abort()

    def _prove(self, kind: int, content: bytes) -> None:
        address = self._context.address
        if kind == Kind.CHALLENGE and not self._of_link:
            self._of_link = wire.read_challenge(content)
            proof = wire.prove(self._key, "mirror", self._of_link, self._nonce, address)
            self._write(0, Kind.PROOF, wire.pack_proof(self._nonce, proof, address))
        elif kind == Kind.PROOF and self._of_link:
            if not wire.is_proof(content, self._key, "link", self._of_link, self._nonce, address):
                raise BadMessage("the other side does not know the key of this cluster")
            self._frames.content_max = wire.NEWS_MAX
            self.proved.set_result(None)
        else:
            raise BadMessage(f"kind {kind} before the proof")

    def _take(self, number: int, kind: int, content: bytes) -> None:
        hearer = self._hearer
        match kind:
            case Kind.BOOK:
                hearer.on_book(number, Book.unpack(content))
            case Kind.TRADES:
                hearer.on_trades(number, wire.unpack_trades(content))
            case Kind.PONG:
                if number > self._pinged_ns:
                    raise BadMessage("a PONG from the future")
                self._answered_ns = max(self._answered_ns, number)
                for subscription, age_ns in wire.unpack_ages(content):
                    hearer.on_life(subscription, number - age_ns)
            case Kind.GONE:
                hearer.on_gone(number)
            case _:
                raise BadMessage(f"kind {kind} from a link")
