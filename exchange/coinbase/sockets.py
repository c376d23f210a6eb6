"""The websocket endpoint: public channels, and those of accounts.

Source: ws, Protocol, Limits. The manual does not state how the exchange refuses a connection above the limit.
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

    async def serve(self, request: web.Request) -> web.StreamResponse:
        desk = self.desk
        refused = await refuse_handshake(desk.floor, NAME, request, 429, desk.meter.connect)
        if refused is not None:
            return refused

        def connect(number: int, transport: asyncio.Transport) -> Client:
            now_ns = desk.floor.clock.monotonic_ns()
            return Client(number, request.remote or "", transport, desk.limits, now_ns)

        def closed(client: Client) -> None:
            desk.streams.topics.drop(client)
            desk.user_data.streams.drop(client)

        return await converse(
            desk.floor,
            request,
            connect,
            lambda client: None,
            lambda client, text: receive(desk, client, text),
            closed,
        )
