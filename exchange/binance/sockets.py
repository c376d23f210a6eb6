"""Websocket connections of the Binance protocol: market streams (/ws, /stream) and the WebSocket API (/ws-api/v3).

Source: web-socket-streams.md, web-socket-api.md (Connection limits, Rate limits), read 2026-11-22. The manual does not
state how the exchange refuses connections past the limit (429 here) and more than 1024 streams (here an error frame to
a subscription, a close on connecting).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import unquote

from aiohttp import web

from ..faults import Fault
from ..wire.sockets import converse, handshake_fault, is_handshake
from . import commands, ws_api
from .client import Client, Form
from .desk import Desk
from .errors import ApiError
from .rest import refusal, response, time_unit

Receive = Callable[[Desk, Client, bytes], None]


class Sockets:
    """Upgrades and serves websocket connections."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def raw(self, request: web.Request) -> web.StreamResponse:
        """/ws, /ws/<stream>, /ws/<stream>/<stream>"""
        names = request.match_info.get("names", "")
        return await self._serve(request, "/ws", _names(names), False, commands.receive)

    async def combined(self, request: web.Request) -> web.StreamResponse:
        """/stream, /stream?streams=<stream>/<stream>"""
        return await self._serve(request, "/stream", _names(request.query.get("streams", "")), True, commands.receive)

    async def api(self, request: web.Request) -> web.StreamResponse:
        """/ws-api/v3"""
        return await self._serve(request, "/ws-api/v3", [], False, ws_api.receive)

    async def _serve(
        self, request: web.Request, endpoint: str, names: list[str], combined: bool, receive: Receive
    ) -> web.StreamResponse:
        desk, floor, ip = self.desk, self.desk.floor, request.remote or ""

        def refuse(fault: Fault) -> web.Response:
            floor.count(endpoint, fault.status)
            return response(refusal(fault))

        refused = await handshake_fault(floor.faults, desk.protocol, endpoint, refuse) or self._refuse(
            request, endpoint, ip
        )
        if refused is not None:
            return refused
        is_api = receive is ws_api.receive
        try:
            unit = time_unit(request.query.get("timeUnit"))
            if is_api:
                desk.meter.spend(ip, 2, desk.now_ns())
        except ApiError as error:
            return web.json_response(error.body, status=error.status)

        def connect(number: int, transport: asyncio.Transport) -> Client:
            now = floor.clock.monotonic_ns()
            shows = request.query.get("returnRateLimits") != "false"
            form = Form(combined, unit)
            return Client(desk.protocol, number, ip, transport, form, desk.limits, now, is_api, desk.now_ns(), shows)

        def opened(client: Client) -> None:
            if len(names) > desk.limits.streams:
                client.close(1008, "Too many streams", "streams")
            for name in dict.fromkeys(names):
                self.subscribe(client, name)

        def closed(client: Client) -> None:
            desk.streams.topics.drop(client)
            desk.user_data.drop(client)

        # The limit on incoming messages applies to streams; the WebSocket API counts weight.
        return await converse(
            floor, request, connect, opened, lambda client, text: receive(desk, client, text), closed, not is_api
        )

    def subscribe(self, client: Client, name: str) -> None:
        """Subscribe a connection to a stream that its address names."""
        self.desk.streams.subscribe(client, name)

    def _refuse(self, request: web.Request, endpoint: str, ip: str) -> web.Response | None:
        if not is_handshake(request):
            return web.Response(status=400, text="expected a websocket handshake")
        wait_s = self.desk.meter.connect(ip, self.desk.now_ns())
        if wait_s is None:
            return None
        self.desk.floor.count(endpoint, 429)
        return web.Response(status=429, headers={"Retry-After": str(wait_s)})


def _names(path: str) -> list[str]:
    return [name for name in unquote(path).split("/") if name]
