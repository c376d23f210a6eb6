"""Websocket connections of the Binance protocol: market streams (/ws, /stream) and the WebSocket API (/ws-api/v3).

Source: web-socket-streams.md, web-socket-api.md (Connection limits, Rate limits), read 2026-11-22. The manual does not
say how connections past the limit are refused (429 here), nor how more than 1024 streams are (an error frame when
subscribing, a close when connecting).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from urllib.parse import unquote

from aiohttp import WSMsgType, web

from ..venue import Venue
from ..websocket_frames import text_frame
from . import commands, ws_api
from .client import Client, Form
from .errors import ApiError
from .rest import Rest, time_unit

Answer = Callable[[Venue, Client, bytes], bytes | None]


class Sockets:
    """Upgrades, reads and ends websocket connections."""

    def __init__(self, venue: Venue, rest: Rest) -> None:
        self.venue = venue
        self.rest = rest

    async def raw(self, request: web.Request) -> web.StreamResponse:
        """/ws, /ws/<stream>, /ws/<stream>/<stream>"""
        names = request.match_info.get("names", "")
        return await self._serve(request, "/ws", _names(names), False, commands.answer)

    async def combined(self, request: web.Request) -> web.StreamResponse:
        """/stream, /stream?streams=<stream>/<stream>"""
        return await self._serve(request, "/stream", _names(request.query.get("streams", "")), True, commands.answer)

    async def api(self, request: web.Request) -> web.StreamResponse:
        """/ws-api/v3"""
        return await self._serve(request, "/ws-api/v3", [], False, ws_api.answer)

    async def _serve(
        self, request: web.Request, endpoint: str, names: list[str], combined: bool, answer: Answer
    ) -> web.StreamResponse:
        venue, ip = self.venue, request.remote or ""
        refused = await self.rest.fault(endpoint) or self._refuse(request, endpoint, ip)
        if refused is not None:
            return refused
        is_api = answer is ws_api.answer
        try:
            unit = time_unit(request.query.get("timeUnit"))
            if is_api:
                venue.meter.spend(ip, 2, venue.clock.now_ns())
        except ApiError as error:
            return web.json_response(error.body, status=error.status)
        socket = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=1 << 20)
        await socket.prepare(request)
        if request.transport is None:
            return socket
        transport = request.transport
        number, venue.next_connection = venue.next_connection, venue.next_connection + 1
        now = venue.clock.monotonic_ns()
        client = Client(number, ip, transport, Form(combined, unit), venue.limits, now, is_api, venue.clock.now_ns())
        client.show_rate_limits = request.query.get("returnRateLimits") != "false"
        venue.hub.add(client)
        try:
            if len(names) > venue.limits.streams:
                client.close(1008, "Too many streams", "streams")
            for name in dict.fromkeys(names):
                venue.hub.subscribe(client, name)
            await self._read(socket, client, answer)
        finally:
            venue.hub.drop(client)
            venue.faults.forget(client.number)
        return socket

    def _refuse(self, request: web.Request, endpoint: str, ip: str) -> web.Response | None:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.Response(status=400, text="expected a websocket handshake")
        wait_s = self.venue.meter.connect(ip, self.venue.clock.now_ns())
        if wait_s is None:
            return None
        self.venue.count(endpoint, 429)
        return web.Response(status=429, headers={"Retry-After": str(wait_s)})

    async def _read(self, socket: web.WebSocketResponse, client: Client, answer: Answer) -> None:
        venue = self.venue
        with contextlib.suppress(ConnectionError, RuntimeError):
            async for message in socket:
                now = venue.clock.monotonic_ns()
                # The limit on incoming messages is of the streams; the WebSocket API counts weight.
                if not client.is_api and not client.received(now):
                    break
                if message.type is WSMsgType.PING:
                    client.answer_ping(bytes(message.data))
                elif message.type is WSMsgType.PONG:
                    client.pong(bytes(message.data), now)
                elif message.type is WSMsgType.TEXT:
                    reply = answer(venue, client, message.data.encode())
                    if reply is not None:
                        client.write(text_frame(reply))
                elif message.type is WSMsgType.BINARY:
                    client.close(1003, "text frames only", "binary")
                    break


def _names(path: str) -> list[str]:
    return [name for name in unquote(path).split("/") if name]
