"""REST endpoints of the Bybit protocol: HTTP 200 with `retCode`, unless a fault or a limit requires another status.

Source: guide.mdx (Common response parameters), rate-limit/rate-limit.mdx, error.mdx, read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from ..engine.accounts import Account
from ..wire.executor import execute
from ..wire.http import HttpChannel
from ..wire.sending import OverHttp
from .auth import KEY, authenticate
from .client import milliseconds
from .desk import Desk
from .envelope import Answer, Envelope, carried_out
from .errors import BAD_PARAMETER, ApiError
from .private import READS, WRITES, Endpoint
from .public import QUERIES


class HttpEnvelope(OverHttp[Answer], Envelope):
    """One HTTP request. Fault rules know it by its path, and by its verb and path together."""

    def __init__(
        self,
        desk: Desk,
        request: web.Request,
        account: Account | None,
        sent: Mapping[str, Any],
        answer: Callable[[Envelope], Any],
    ) -> None:
        path = request.path
        super().__init__(desk, (path, f"{request.method} {path}"), path, account, sent, answer)
        self.channel = HttpChannel(request, desk.floor.faults, self)

    def response(self, answer: Answer) -> web.Response:
        head = {"retCode": answer.code, "retMsg": answer.text, "result": answer.result, "retExtInfo": self.more(answer)}
        return web.Response(
            body=orjson.dumps({**head, "time": milliseconds(self.desk.now_ns())}),
            status=answer.status,
            content_type="application/json",
            charset="utf-8",
            headers=None if self.use is None else self.use.headers,
        )


class Rest:
    """Answers every HTTP request."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, or apply a fault to it."""
        desk = self.desk
        if not desk.meter.request(request.remote or "", desk.now_ns()):
            desk.floor.count(request.path, 403)
            return web.Response(status=403, text="403, access too frequent")
        raw = await request.read()
        query = QUERIES.get(request.path) if request.method == "GET" else None
        endpoint = {"GET": READS, "POST": WRITES}.get(request.method, {}).get(request.path)
        sent: Mapping[str, Any] = dict(request.query)
        account: Account | None = None
        if query is not None:
            answer: Callable[[Envelope], Any] = lambda envelope: query(desk, sent)  # noqa: E731
        elif endpoint is not None:
            is_post = request.method == "POST"
            payload = raw if is_post else request.raw_path.partition("?")[2].encode()
            sent = _read(raw) if is_post else sent
            owner = desk.floor.owner(request.headers.get(KEY))
            account = None if owner is None else owner[0]
            answer = _private(endpoint, request, payload, sent)
        else:
            desk.floor.count(request.path, 404)
            return web.Response(status=404, text="404 page not found")
        envelope = HttpEnvelope(desk, request, account, sent, answer)
        execute(desk.floor.faults, envelope)
        return await envelope.channel.response()


def _private(
    endpoint: Endpoint, request: web.Request, payload: bytes, sent: Mapping[str, Any]
) -> Callable[[Envelope], Any]:
    """Return a function that authenticates, counts and executes a private request."""

    def answer(envelope: Envelope) -> Any:
        desk = envelope.desk
        owner = authenticate(desk.floor, request.headers, payload, desk.now_ns())
        if sent is UNREADABLE:
            raise ApiError("Request parameter error: the body is not a JSON object", BAD_PARAMETER)
        return carried_out(envelope, endpoint, request.path, owner, sent)

    return answer


UNREADABLE: Mapping[str, Any] = {}


def _read(raw: bytes) -> Mapping[str, Any]:
    """Read the body of a POST."""
    try:
        read = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return UNREADABLE
    return read if isinstance(read, dict) else UNREADABLE
