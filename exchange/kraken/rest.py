"""REST endpoints of the Kraken protocol: HTTP 200 with `error` and `result`, unless a fault says otherwise.

Source: spot-rest-intro (guide), read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson
from aiohttp import web

from ...model.errors import Rejected
from ..engine.accounts import Account
from ..faults import Fault
from ..wire.executor import execute
from ..wire.http import HttpChannel
from ..wire.receipts import Receipt
from .client import NAME
from .desk import Desk
from .errors import UNKNOWN, ApiError, refused
from .public import QUERIES

PUBLIC = "/0/public/"


@dataclass(slots=True)
class Answer:
    """What became of a request: a result, or the text of an error."""

    result: Any = None
    error: str | None = None
    status: int = 200


class Envelope:
    """One HTTP request. Fault rules know it by its path, and by its verb and path together."""

    protocol = NAME
    slow_executes_first = False

    def __init__(self, desk: Desk, request: web.Request, sent: Mapping[str, Any], perform: Callable[[], Any]) -> None:
        self.desk = desk
        self.names = (request.path, f"{request.method} {request.path}")
        self.symbol = desk.pairs.symbol(sent.get("pair"))
        self.account: Account | None = None
        self.receipts: Sequence[Receipt] = ()
        self.channel = HttpChannel(request)
        self._path = request.path
        self._perform = perform

    def run(self) -> Answer:
        try:
            answer = Answer(self._perform())
        except ApiError as error:
            answer = Answer(error=error.text)
        except Rejected as rejected:
            answer = Answer(error=refused(rejected).text)
        self.desk.floor.count(self._path, answer.status if answer.error is None else 400)
        return answer

    def good(self, answer: Answer) -> bool:
        return answer.error is None

    placed = good

    def misstate(self, answer: Answer, wrong: Callable[[], dict[str, Decimal]]) -> Answer:
        return answer

    def refusal(self, fault: Fault) -> Answer:
        self.desk.floor.count(self._path, fault.status)
        text = "EAPI:Rate limit exceeded" if fault.status == 429 else UNKNOWN[1]
        return Answer(error=str(fault.code or text), status=fault.status)

    def unknown(self, fault: Fault, answer: Answer) -> Answer:
        return Answer(error=str(fault.code or UNKNOWN[0]), status=fault.status)

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
        desk = self.desk
        query = QUERIES.get(request.path.removeprefix(PUBLIC)) if request.path.startswith(PUBLIC) else None
        sent: dict[str, Any] = dict(request.query)
        if query is not None:
            if request.method == "POST":
                sent |= dict(await request.post())
            envelope = Envelope(desk, request, sent, lambda: query(desk, sent))
        else:
            envelope = Envelope(desk, request, sent, _unknown_method)
        execute(desk.floor.faults, envelope)
        return await envelope.channel.response()


def _unknown_method() -> Any:
    raise ApiError("EGeneral:Unknown method")


def _response(answer: Answer) -> web.Response:
    body = {"error": [], "result": answer.result} if answer.error is None else {"error": [answer.error]}
    return web.Response(body=orjson.dumps(body), status=answer.status, content_type="application/json", charset="UTF-8")
