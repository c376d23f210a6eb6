"""The public websocket endpoint.

Source: overview/websocket/connect.md, read 2026-11-27; the manual does not say how a connection past the limit is
refused.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from ..faults import Fault
from ..wire.sockets import converse, handshake_fault, is_handshake
from .client import NAME, Client
from .desk import Desk
from .messages import hear


class Sockets:
    """Accepts connections."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def public(self, request: web.Request) -> web.StreamResponse:
        desk = self.desk
        if not is_handshake(request):
            return web.Response(status=400, text="expected a websocket handshake")
        if not desk.meter.connect(request.remote or "", desk.now_ns()):
            desk.floor.count(request.path, 429)
            return web.Response(status=429)
        refused = await handshake_fault(desk.floor.faults, NAME, request.path, _refusal)
        if refused is not None:
            desk.floor.count(request.path, refused.status)
            return refused

        def connect(number: int, transport: asyncio.Transport) -> Client:
            return Client(number, request.remote or "", transport, desk.limits, desk.floor.clock.monotonic_ns())

        return await converse(
            desk.floor,
            request,
            connect,
            lambda client: None,
            lambda client, text: hear(desk, client, text),
            desk.streams.topics.drop,
            counts_messages=False,
        )


def _refusal(fault: Fault) -> web.Response:
    return web.Response(status=fault.status)
