"""REST endpoints of the Kraken protocol: HTTP 200 with `error` and `result`, unless a fault says otherwise.

Source: spot-rest-intro (guide), read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from ...model.errors import Rejected
from ...model.fixed import to_raw
from ..engine.accounts import Account
from ..engine.rules import SCALE
from ..faults import Fault
from ..wire.executor import execute
from ..wire.http import HttpChannel
from ..wire.numbers import text
from ..wire.receipts import Receipt
from .auth import Signed, authenticate
from .client import NAME
from .desk import Desk
from .errors import UNKNOWN, ApiError, refused
from .names import asset_id
from .private import METHODS, perform
from .public import QUERIES

PUBLIC, PRIVATE = "/0/public/", "/0/private/"


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

    def __init__(
        self,
        desk: Desk,
        request: web.Request,
        account: Account | None,
        sent: Mapping[str, Any],
        perform: Callable[[], Any],
    ) -> None:
        self.desk = desk
        self.names = (request.path, f"{request.method} {request.path}")
        self.symbol = desk.pairs.symbol(sent.get("pair"))
        self.account = account
        self.receipts: Sequence[Receipt] = ()
        if account is not None and request.path == PRIVATE + "AddOrder" and not _validates(sent):
            self.receipts = desk.floor.receipts_of(account).received([sent.get("cl_ord_id")])
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
        if self._path not in (PRIVATE + "Balance", PRIVATE + "BalanceEx"):
            return answer
        for asset, amount in wrong().items():
            body = answer.result.get(asset_id(asset), text(0))
            held = body["balance"] if isinstance(body, dict) else body
            shown = text(to_raw(held, SCALE) + to_raw(amount, SCALE))
            answer.result[asset_id(asset)] = body | {"balance": shown} if isinstance(body, dict) else shown
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
        path, body = request.path, await request.read()
        query = QUERIES.get(path.removeprefix(PUBLIC)) if path.startswith(PUBLIC) else None
        method = METHODS.get(path.removeprefix(PRIVATE)) if path.startswith(PRIVATE) else None
        sent: dict[str, Any] = dict(request.query)
        sent |= _fields(request.content_type, body)
        account = None
        if query is not None:
            answer: Callable[[], Any] = lambda: query(desk, sent)  # noqa: E731
        elif method is not None and request.method == "POST":
            signed = Signed(path, body, sent, request.headers.get("API-Key"), request.headers.get("API-Sign"))
            owner = desk.floor.owner(signed.key)
            account = None if owner is None else owner[0]
            arrived_ns = desk.now_ns()
            answer = lambda: perform(  # noqa: E731
                desk, method, *authenticate(desk.floor, desk.nonces, signed), sent, arrived_ns
            )
        else:
            answer = _unknown_method
        envelope = Envelope(desk, request, account, sent, answer)
        execute(desk.floor.faults, envelope)
        return await envelope.channel.response()


def _validates(sent: Mapping[str, Any]) -> bool:
    return str(sent.get("validate", "")).lower() in ("true", "1")


def _unknown_method() -> Any:
    raise ApiError("EGeneral:Unknown method")


def _fields(content_type: str, body: bytes) -> dict[str, Any]:
    """Read a body, a form or a JSON object; what is neither has no fields."""
    if content_type != "application/json":
        return dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True))
    try:
        read = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return read if isinstance(read, dict) else {}


def _response(answer: Answer) -> web.Response:
    body = {"error": [], "result": answer.result} if answer.error is None else {"error": [answer.error]}
    return web.Response(body=orjson.dumps(body), status=answer.status, content_type="application/json", charset="UTF-8")
