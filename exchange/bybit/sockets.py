"""The websocket endpoints: public market data of spot, accounts, and orders.

Source: websocket/wss-authentication.mdx, rate-limit/rate-limit.mdx, read 2026-11-27.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from ..wire.sockets import converse, refuse_handshake
from . import trade
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

    async def trade(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, private=True, receives=trade.receive)

    async def _serve(
        self, request: web.Request, private: bool, receives: Callable[[Desk, Client, bytes], None] = receive
    ) -> web.StreamResponse:
        desk = self.desk
        refused = await refuse_handshake(desk.floor, NAME, request, 403, desk.meter.connect)
        if refused is not None:
            return refused

        def connect(number: int, transport: asyncio.Transport) -> Client:
            now_ns = desk.floor.clock.monotonic_ns()
            return Client(number, request.remote or "", transport, desk.limits, now_ns, private)

        def closed(client: Client) -> None:
            desk.streams.topics.drop(client)
            desk.user_data.streams.drop(client)

        return await converse(
            desk.floor,
            request,
            connect,
            lambda client: None,
            lambda client, text: receives(desk, client, text),
            closed,
            counts_messages=False,
        )
