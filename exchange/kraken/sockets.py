"""The two websocket endpoints: public market data, and accounts.

Source: spot-ws-intro (guide), read 2026-11-27; the manual does not say how a connection past the limit is refused.
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
        return await self._serve(request, private=False)

    async def private(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, private=True)

    async def _serve(self, request: web.Request, private: bool) -> web.StreamResponse:
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
            now = desk.floor.clock.monotonic_ns()
            return Client(number, request.remote or "", transport, desk.limits, now, private)

        def opened(client: Client) -> None:
            desk.streams.clients[client.number] = client
            desk.streams.greet(client)

        def closed(client: Client) -> None:
            desk.streams.clients.pop(client.number, None)
            desk.streams.topics.drop(client)
            desk.user_data.streams.drop(client)

        return await converse(
            desk.floor, request, connect, opened, lambda client, text: hear(desk, client, text), closed, False
        )


def _refusal(fault: Fault) -> web.Response:
    return web.Response(status=fault.status)
