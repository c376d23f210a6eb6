"""The websocket endpoints: market data, changes of books, and accounts.

Source: public_websocket_api.md (Websocket URL), private_websocket_api.md (Access URL), read 2026-11-28.
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

    async def market(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request)

    async def feed(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, feed=True)

    async def private(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, private=True)

    async def _serve(self, request: web.Request, private: bool = False, feed: bool = False) -> web.StreamResponse:
        desk = self.desk
        refused = await refuse_handshake(desk.floor, NAME, request, 429, desk.meter.connect)
        if refused is not None:
            return refused
        at = request.headers.get("Host", ""), request.path

        def connect(number: int, transport: asyncio.Transport) -> Client:
            now_ns = desk.floor.clock.monotonic_ns()
            return Client(number, request.remote or "", transport, desk.limits, now_ns, private, feed)

        def closed(client: Client) -> None:
            desk.streams.topics.drop(client)
            desk.user_data.streams.drop(client)

        return await converse(
            desk.floor,
            request,
            connect,
            lambda client: None,
            lambda client, text: receive(desk, client, text, *at),
            closed,
            counts_messages=False,
        )
