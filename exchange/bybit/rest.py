"""REST endpoints of the Bybit protocol: HTTP 200 with `retCode`, unless a fault or a limit says otherwise.

Source: guide.mdx (Common response parameters), rate-limit/rate-limit.mdx, error.mdx, read 2026-11-27.
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
from .client import NAME, milliseconds
from .desk import Desk
from .errors import SERVER_ERROR, TEXTS, TOO_MANY, UNKNOWN, ApiError
from .public import QUERIES, Sent


@dataclass(slots=True)
class Answer:
    """What became of a request."""

    result: Mapping[str, Any] = field(default_factory=dict)
    code: int = 0
    text: str = "OK"
    status: int = 200


class Envelope:
    """One HTTP request. Fault rules know it by its path, and by its verb and path together."""

    protocol = NAME
    slow_executes_first = False
    account: Account | None = None
    receipts: Sequence[Receipt] = ()

    def __init__(self, desk: Desk, request: web.Request, query: Callable[[Desk, Sent], Any]) -> None:
        self.desk = desk
        self.names = (request.path, f"{request.method} {request.path}")
        symbol = request.query.get("symbol")
        self.symbol = symbol if symbol in desk.pairs.by_symbol else None
        self.channel = HttpChannel(request)
        self._sent = dict(request.query)
        self._query = query

    def run(self) -> Answer:
        try:
            answer = Answer(self._query(self.desk, self._sent))
        except ApiError as error:
            answer = Answer(code=error.code, text=error.text)
        self.desk.floor.count(self.names[0], 200 if self.good(answer) else 400)
        return answer

    def good(self, answer: Answer) -> bool:
        return answer.code == 0

    placed = good

    def misstate(self, answer: Answer, wrong: Callable[[], dict[str, Decimal]]) -> Answer:
        """No public request is answered with balances."""
        return answer

    def refusal(self, fault: Fault) -> Answer:
        self.desk.floor.count(self.names[0], fault.status)
        code = _code(fault, TOO_MANY if fault.status == 429 else SERVER_ERROR)
        return Answer(code=code, text=TEXTS.get(code, "refused by a fault"), status=fault.status)

    def unknown(self, fault: Fault, answer: Answer) -> Answer:
        code = _code(fault, UNKNOWN[0])
        return Answer(code=code, text=TEXTS.get(code, "outcome unknown"), status=fault.status)

    def send(self, answer: Answer) -> None:
        self.channel.send(self._response(answer))

    def send_half(self, answer: Answer) -> None:
        self.channel.send_half(self._response(answer))

    def cut(self) -> None:
        self.channel.cut()

    def _response(self, answer: Answer) -> web.Response:
        body = {"retCode": answer.code, "retMsg": answer.text, "result": answer.result, "retExtInfo": {}}
        body["time"] = milliseconds(self.desk.now_ns())
        return web.Response(
            body=orjson.dumps(body), status=answer.status, content_type="application/json", charset="utf-8"
        )


def _code(fault: Fault, usual: int) -> int:
    """Return the code that a fault states, or the usual one where it states none that is a number."""
    text = str(fault.code)
    return int(text) if text.lstrip("-").isdigit() else usual


class Rest:
    """Answers every HTTP request."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, or do what faults make of the request."""
        desk = self.desk
        if not desk.meter.request(request.remote or "", desk.now_ns()):
            desk.floor.count(request.path, 403)
            return web.Response(status=403, text="403, access too frequent")
        query = QUERIES.get(request.path) if request.method == "GET" else None
        if query is None:
            desk.floor.count(request.path, 404)
            return web.Response(status=404, text="404 page not found")
        envelope = Envelope(desk, request, query)
        execute(desk.floor.faults, envelope)
        return await envelope.channel.response()
