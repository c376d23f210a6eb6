"""Sends answers over HTTP: complete, half, or none."""

from __future__ import annotations

import asyncio
from typing import Protocol

from aiohttp import web

from ..engine.accounts import Account
from ..faults import Faults


class Asked(Protocol):
    """What fault rules may name of a request."""

    @property
    def protocol(self) -> str: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def symbol(self) -> str | None: ...
    @property
    def account(self) -> Account | None: ...


class HttpChannel:
    """The answer to one HTTP request. `response` waits until `send`, `send_half` or `cut` decides it."""

    def __init__(self, request: web.Request, faults: Faults, asked: Asked) -> None:
        self._request = request
        self._faults, self._asked = faults, asked
        self._response: asyncio.Future[web.StreamResponse] = asyncio.get_running_loop().create_future()

    async def response(self) -> web.StreamResponse:
        """Wait for the answer; a request with the fault `hang` waits until its client disconnects."""
        return await self._response

    def send(self, response: web.Response) -> None:
        """Send the answer; does nothing if the client has disconnected."""
        asked, body = self._asked, body_of(response)
        if response.status == 200 and body:
            account = None if asked.account is None else asked.account.name
            response.body = self._faults.rewritten(asked.protocol, asked.names, asked.symbol, account, body)
        if not self._response.done():
            self._response.set_result(response)

    def send_half(self, response: web.Response) -> None:
        """Send half of the body, then close the connection."""
        transport, body = self._request.transport, body_of(response)
        if transport is not None:
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            transport.write(head.encode() + body[: len(body) // 2])
            transport.close()
        self.send(web.Response(status=500))

    def cut(self) -> None:
        """Reset the connection."""
        if self._request.transport is not None:
            self._request.transport.abort()
        self.send(web.Response(status=500))


def body_of(response: web.Response) -> bytes:
    return response.body if isinstance(response.body, bytes) else b""


async def pause(faults: Faults, ms: float) -> None:
    """Wait, by the timer of the faults."""
    ended = asyncio.Event()
    faults.later(ms / 1000, ended.set)
    await ended.wait()
