"""REST endpoints of the OKX protocol: `code`, `msg` and `data`, with HTTP 200 for most errors.

Source: error/code.md and the pages of each endpoint, read 2026-11-27. The manual does not say how an unknown path is
answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson
from aiohttp import web

from ..engine.accounts import Account
from ..faults import Fault
from ..wire.executor import execute
from ..wire.http import HttpChannel
from ..wire.receipts import Receipt
from .client import NAME
from .desk import Desk
from .errors import UNKNOWN, ApiError
from .public import QUERIES

BASE = "/api/v5/"


@dataclass(slots=True)
class Answer:
    """What became of a request."""

    data: Any = field(default_factory=list)
    code: str = "0"
    text: str = ""
    status: int = 200


class Envelope:
    """One HTTP request. Fault rules know it by its path, and by its verb and path together."""

    protocol = NAME
    slow_executes_first = False
    account: Account | None = None
    receipts: Sequence[Receipt] = ()

    def __init__(self, desk: Desk, request: web.Request, perform: Callable[[], Any]) -> None:
        self.desk = desk
        self.names = (request.path, f"{request.method} {request.path}")
        self.symbol = desk.symbol(request.query.get("instId"))
        self.channel = HttpChannel(request)
        self._path = request.path
        self._perform = perform

    def run(self) -> Answer:
        try:
            answer = Answer(self._perform())
        except ApiError as error:
            answer = Answer(code=error.code, text=error.text, status=error.status)
        self.desk.floor.count(self._path, 200 if answer.code == "0" else max(answer.status, 400))
        return answer

    def good(self, answer: Answer) -> bool:
        return answer.code == "0"

    placed = good

    def misstate(self, answer: Answer, wrong: Callable[[], dict[str, Decimal]]) -> Answer:
        return answer

    def refusal(self, fault: Fault) -> Answer:
        self.desk.floor.count(self._path, fault.status)
        code, text = (
            ("50011", "Too Many Requests") if fault.status == 429 else ("50001", "Service temporarily unavailable")
        )
        return Answer(code=str(fault.code or code), text=text, status=fault.status)

    def unknown(self, fault: Fault, answer: Answer) -> Answer:
        return Answer(code=str(fault.code or UNKNOWN[0]), text="API endpoint request timeout.", status=fault.status)

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
        """Answer a request, or do what faults make of the request."""
        name = request.path.removeprefix(BASE) if request.path.startswith(BASE) else ""
        query, sent = QUERIES.get(name), dict(request.query)
        ip, keys = request.remote or "", request.headers

        def perform() -> Any:
            if query is not None and request.method == "GET":
                self.desk.meter.request(ip, name.partition("/")[2], self.desk.now_ns())
                return query(self.desk, sent)
            return _refuse(name, keys)

        envelope = Envelope(self.desk, request, perform)
        execute(self.desk.floor.faults, envelope)
        return await envelope.channel.response()


def _refuse(name: str, headers: Mapping[str, str]) -> Any:
    """Refuse what is not public: accounts are not served yet."""
    if name.split("/")[0] not in ("account", "trade", "asset"):
        raise ApiError("404", "Not Found", 404)
    if "OK-ACCESS-KEY" not in headers:
        raise ApiError("50103", 'Request header "OK-ACCESS-KEY" cannot be empty.', 401)
    raise ApiError("50111", "Invalid OK-ACCESS-KEY.", 401)


def _response(answer: Answer) -> web.Response:
    body = {"code": answer.code, "msg": answer.text, "data": answer.data}
    return web.Response(body=orjson.dumps(body), status=answer.status, content_type="application/json")
