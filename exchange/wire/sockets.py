"""Serves websocket endpoints: faults of a handshake, the upgrade, reading frames until the end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TypeVar

from aiohttp import WSMsgType, web

from ..faults import Fault, Faults
from ..floor import Floor
from .connection import Connection
from .http import pause

C = TypeVar("C", bound=Connection)


async def handshake_fault(
    faults: Faults, protocol: str, endpoint: str, refusal: Callable[[Fault], web.Response]
) -> web.Response | None:
    """Apply a fault to a handshake: return an answer, wait, or return None to continue."""
    fault = faults.request(protocol, endpoint)
    if fault is None:
        return None
    if fault.kind == "hang":
        await asyncio.get_running_loop().create_future()
    if fault.kind == "slow":
        await pause(faults, fault.ms)
        return None
    return refusal(fault)


def is_handshake(request: web.Request) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"


async def refuse_handshake(
    floor: Floor, protocol: str, request: web.Request, limit_status: int, connect: Callable[[str, int], bool]
) -> web.Response | None:
    """Return the refusal of a handshake as an answer with a status only; None to continue.

    `connect(address, now_ns)` counts the attempt; an attempt past the limit is answered with `limit_status`.
    """
    if not is_handshake(request):
        return web.Response(status=400, text="expected a websocket handshake")
    if not connect(request.remote or "", floor.clock.now_ns()):
        floor.count(request.path, limit_status)
        return web.Response(status=limit_status)
    refused = await handshake_fault(
        floor.faults, protocol, request.path, lambda fault: web.Response(status=fault.status)
    )
    if refused is not None:
        floor.count(request.path, refused.status)
    return refused


async def converse(
    floor: Floor,
    request: web.Request,
    connect: Callable[[int, asyncio.Transport], C],
    opened: Callable[[C], None],
    receive: Callable[[C, bytes], None],
    closed: Callable[[C], None],
    counts_messages: bool = True,
) -> web.StreamResponse:
    """Upgrade a request and serve the connection until its end.

    `connect(number, transport)` makes the connection, and `receive` gets each text message. `counts_messages`: incoming
    messages count against `ConnectionLimits.messages`.
    """
    socket = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=1 << 20)
    await socket.prepare(request)
    if request.transport is None:
        return socket
    connection = connect(floor.connections.number(), request.transport)
    floor.connections.add(connection)
    try:
        opened(connection)
        with contextlib.suppress(ConnectionError, RuntimeError):
            await _read(floor, socket, connection, receive, counts_messages)
    finally:
        floor.connections.drop(connection)
        closed(connection)
        floor.faults.forget(connection.number)
    return socket


async def _read(
    floor: Floor, socket: web.WebSocketResponse, connection: C, receive: Callable[[C, bytes], None], counts: bool
) -> None:
    async for message in socket:
        now = floor.clock.monotonic_ns()
        connection.mark_active(now)
        if counts and not connection.admits_message(now):
            return
        if message.type is WSMsgType.PING:
            connection.answer_ping(bytes(message.data))
        elif message.type is WSMsgType.PONG:
            connection.pong(bytes(message.data))
        elif message.type is WSMsgType.TEXT:
            receive(connection, message.data.encode())
        elif message.type is WSMsgType.BINARY:
            connection.close(1003, "text frames only", "binary")
            return
