"""A websocket and an HTTP server whose bytes the test controls."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

TEXT, BINARY, CONT, PING, PONG, CLOSE = (
    Opcode.TEXT,
    Opcode.BINARY,
    Opcode.CONT,
    Opcode.PING,
    Opcode.PONG,
    Opcode.CLOSE,
)


class Peer:
    """The server's side of one client. Sends only what the test requests, and never answers on its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.received: list[Frame] = []
        self.gone = asyncio.Event()
        self.answers = True  # pings and close frames

    def frame(self, opcode: Opcode, payload: bytes = b"", fin: bool = True) -> None:
        self._writer.write(Frame(opcode, payload, fin).serialize(mask=False))

    def text(self, payload: bytes) -> None:
        self.frame(TEXT, payload)

    def close(self, code: int, reason: str = "") -> None:
        self.frame(CLOSE, struct.pack("!H", code) + reason.encode())

    def raw(self, data: bytes) -> None:
        self._writer.write(data)

    def reset(self) -> None:
        """Cut the connection with a TCP reset: 1006 at the client."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def of(self, opcode: Opcode) -> list[bytes]:
        return [bytes(frame.data) for frame in self.received if frame.opcode is opcode]

    async def serve(self, protocol: ServerProtocol) -> None:
        try:
            while data := await self._reader.read(65536):
                protocol.receive_data(data)
                for event in protocol.events_received():
                    assert isinstance(event, Frame)
                    self.received.append(event)
                if self.answers:
                    for out in protocol.data_to_send():
                        self._writer.write(out)
                    if protocol.close_expected():
                        break
        except ConnectionError:
            return
        finally:
            self._writer.close()
            self.gone.set()


class WebsocketServer:
    """Accepts websocket clients on a free loopback port. `refuse` answers upgrades with that HTTP status instead."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.refuse: int | None = None
        self.mute = False  # accept and never answer the upgrade
        self.attempts = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> WebsocketServer:
        self._server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}/stream"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.attempts += 1
        try:
            if self.mute:
                while await reader.read(65536):
                    pass
                return
            protocol = ServerProtocol(max_size=None)
            while not (events := protocol.events_received()):
                data = await reader.read(65536)
                if not data:
                    return
                protocol.receive_data(data)
            request: Any = events[0]
            if self.refuse is not None:
                response = protocol.reject(self.refuse, "no")
                response.headers["Retry-After"] = "7"
            else:
                response = protocol.accept(request)
            protocol.send_response(response)
            for out in protocol.data_to_send():
                writer.write(out)
            if self.refuse is not None:
                return
            peer = Peer(reader, writer)
            self.peers.append(peer)
            await peer.serve(protocol)
        finally:
            writer.close()


class RawHttp:
    """An HTTP server on a free loopback port: `script(reader, writer, request)` answers each request in raw bytes."""

    def __init__(self, script: Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[None]]) -> None:
        self._script = script
        self.requests: list[bytes] = []
        self.connections = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> RawHttp:
        self._server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(request)
                await self._script(reader, writer, request)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()
