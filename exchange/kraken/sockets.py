"""The three websocket endpoints: public market data, accounts, and order-level books.

Source: spot-ws-intro (guide), read 2026-11-27; level3 (websocket v2), read 2026-11-28. The manual does not state how
the exchange refuses a connection above the limit.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from ..wire.sockets import converse, refuse_handshake
from .client import NAME, Client
from .desk import Desk
from .messages import receive


class Sockets:
    """Accepts connections."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def public(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, private=False)

    async def private(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, private=True)

    async def level3(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, private=False, level3=True)

    async def _serve(self, request: web.Request, private: bool, level3: bool = False) -> web.StreamResponse:
        desk = self.desk
        refused = await refuse_handshake(desk.floor, NAME, request, 429, desk.meter.connect)
        if refused is not None:
            return refused

        def connect(number: int, transport: asyncio.Transport) -> Client:
            now = desk.floor.clock.monotonic_ns()
            return Client(number, request.remote or "", transport, desk.limits, now, private, level3)

        def opened(client: Client) -> None:
            desk.streams.clients[client.number] = client
            desk.streams.greet(client)

        def closed(client: Client) -> None:
            desk.streams.clients.pop(client.number, None)
            desk.streams.topics.drop(client)
            desk.user_data.streams.drop(client)

        return await converse(
            desk.floor, request, connect, opened, lambda client, text: receive(desk, client, text), closed, False
        )
