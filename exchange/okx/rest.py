"""REST endpoints of the OKX protocol: `code`, `msg` and `data`, with HTTP 200 for most errors.

Source: error/code.md and the pages of each endpoint, read 2026-11-27. The manual does not state the answer to an
unknown path.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from ..engine.accounts import Account
from ..wire.executor import execute
from ..wire.http import HttpChannel
from .auth import authenticate
from .desk import Desk
from .envelope import BASE, Answer, Envelope
from .errors import ApiError
from .private import PLACES, READS, WRITES, perform
from .public import QUERIES
from .trading import Asked


class HttpEnvelope(Envelope):
    """One HTTP request. Fault rules know it by its path, and by its verb and path together."""

    slow_executes_first = False

    def __init__(
        self, desk: Desk, request: web.Request, account: Account | None, sent: Any, perform: Callable[[], Any]
    ) -> None:
        self.channel = HttpChannel(request, desk.floor.faults, self)
        names = (request.path, f"{request.method} {request.path}")
        listed = [row for row in (sent if isinstance(sent, list) else [sent]) if isinstance(row, dict)]
        name = request.path.removeprefix(BASE)
        super().__init__(
            desk, names, name if request.method == "POST" or name not in PLACES else "", account, listed, perform
        )

    def send(self, answer: Answer) -> None:
        self.channel.send(_response(answer))

    def send_half(self, answer: Answer) -> None:
        self.channel.send_half(_response(answer))

    def cut(self) -> None:
        self.channel.cut()


class Rest:
    """Answers every HTTP request."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, or apply a fault to it."""
        desk, raw = self.desk, await request.read()
        name = request.path.removeprefix(BASE) if request.path.startswith(BASE) else ""
        arrived_ns, ip = desk.now_ns(), request.remote or ""
        query = QUERIES.get(name) if request.method == "GET" else None
        private = (WRITES if request.method == "POST" else READS).get(name)
        account: Account | None = None
        sent: Any = dict(request.query)
        if query is not None:

            def perform() -> Any:
                desk.meter.request(ip, name.partition("/")[2], desk.now_ns())
                return query(desk, sent)

        elif private is not None and request.method in ("GET", "POST"):
            sent = sent if request.method == "GET" else _read(raw)
            perform = self._private(request, private, sent, raw, arrived_ns)
            owner = desk.floor.owner(request.headers.get("OK-ACCESS-KEY"))
            account = None if owner is None else owner[0]
        else:
            perform = _not_found
        envelope = HttpEnvelope(desk, request, account, sent, perform)
        execute(desk.floor.faults, envelope)
        return await envelope.channel.response()

    def _private(
        self, request: web.Request, answer: Callable[[Asked], Any], sent: Any, raw: bytes, arrived_ns: int
    ) -> Callable[[], Any]:
        """Authenticate a request on arrival; return a function that executes or refuses it."""
        desk, method = self.desk, request.method
        try:
            account, key = authenticate(desk.floor, method, request.raw_path, request.headers, raw, arrived_ns)
        except ApiError as error:
            refusal = error

            def refuse() -> Any:
                raise refusal

            return refuse
        limit = request.headers.get("expTime")

        def perform_it() -> Any:
            if method == "POST" and sent is None:
                raise ApiError("50002", "JSON syntax error", 400)
            return perform(answer, key, Asked(desk, account, sent, limit, arrived_ns, desk.now_ns()), method == "POST")

        return perform_it


def _read(raw: bytes) -> Any:
    """Read the body of a POST; None if it is not JSON."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def _not_found() -> Any:
    raise ApiError("404", "Not Found", 404)


def _response(answer: Answer) -> web.Response:
    body = {"code": answer.code, "msg": answer.text, "data": answer.data}
    return web.Response(body=orjson.dumps(body), status=answer.status, content_type="application/json")
