"""A transport without a network: the test opens, feeds and closes the connection, and answers the requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from venuemesh.model.http import HttpRequest, HttpResponse


class FakeLink:
    """An open connection that records sent messages."""

    def __init__(self, now_ns: int) -> None:
        self.opened_ns = self.last_recv_ns = now_ns
        self.sent: list[bytes] = []

    def send(self, text: bytes) -> None:
        self.sent.append(text)

    def close(self, reason: str = "") -> None: ...


class FakeFeed:
    """A fake `connectors.transport.Feed` that the test controls."""

    def __init__(self, url: Callable[[], str], handler: Any, **options: Any) -> None:
        self.url, self.handler, self.options = url, handler, options
        self.link: FakeLink | None = None
        self.last_error: str | None = None
        self.connections = 0
        self.started = self.stopped = False
        self.reconnects: list[str] = []

    def start(self) -> None:
        self.started = True

    async def stop(self) -> None:
        self.stopped = True
        self.close("stopped")

    def reconnect(self, reason: str) -> None:
        self.reconnects.append(reason)
        self.close(reason)

    # the test's side

    def open(self, now_ns: int) -> FakeLink:
        self.link = FakeLink(now_ns)
        self.connections += 1
        self.handler.on_open(self.link)
        return self.link

    def close(self, reason: str) -> None:
        if self.link is not None:
            self.link = None
            self.handler.on_close(reason)

    def frame(self, frame: bytes, recv_ns: int = 7) -> None:
        assert self.link is not None
        self.handler.on_frame(frame, recv_ns)


class FakeRest:
    """Keeps requests until the test answers them, or answers by `auto`."""

    def __init__(self, auto: Callable[[HttpRequest], HttpResponse | Exception] | None = None) -> None:
        self.auto = auto
        self.waiting: list[tuple[HttpRequest, asyncio.Future[HttpResponse]]] = []
        self.requests: list[HttpRequest] = []
        self.closed = False

    async def send(self, request: HttpRequest, timeout_s: float | None = None) -> HttpResponse:
        self.requests.append(request)
        if self.auto is not None:
            answer = self.auto(request)
            if isinstance(answer, Exception):
                raise answer
            return answer
        future: asyncio.Future[HttpResponse] = asyncio.get_running_loop().create_future()
        entry = (request, future)
        self.waiting.append(entry)
        try:
            return await future
        finally:
            if entry in self.waiting:
                self.waiting.remove(entry)

    async def close(self) -> None:
        self.closed = True

    # the test's side

    def answer(self, body: bytes, status: int = 200, at: int = 0, **headers: str) -> None:
        _, future = self.waiting.pop(at)
        future.set_result(response(body, status, **headers))

    def refuse(self, error: Exception, at: int = 0) -> None:
        _, future = self.waiting.pop(at)
        future.set_exception(error)


def response(body: bytes, status: int = 200, **headers: str) -> HttpResponse:
    return HttpResponse(status, {name.replace("_", "-"): value for name, value in headers.items()}, body, 1, 2)
