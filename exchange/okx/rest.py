"""REST endpoints of the OKX protocol: `code`, `msg` and `data`, with HTTP 200 for most errors.

Source: error/code.md and the pages of each endpoint, read 2026-11-27. The manual does not state the answer to an
unknown path.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson
from aiohttp import web

from ..engine.accounts import Account
from ..faults import Fault
from ..wire.executor import execute
from ..wire.http import HttpChannel
from ..wire.receipts import Receipt, settle
from . import payloads
from .auth import authenticate
from .client import NAME
from .desk import Desk
from .errors import UNKNOWN, ApiError
from .private import PLACES, READS, WRITES, perform
from .public import QUERIES
from .trading import Asked, Rows

BASE = "/api/v5/"


@dataclass(slots=True)
class Answer:
    """The outcome of a request."""

    data: Any = field(default_factory=list)
    code: str = "0"
    text: str = ""
    status: int = 200


class Envelope:
    """One HTTP request. Fault rules know it by its path, and by its verb and path together."""

    protocol = NAME
    slow_executes_first = False

    def __init__(
        self, desk: Desk, request: web.Request, account: Account | None, sent: Any, perform: Callable[[], Any]
    ) -> None:
        self.desk = desk
        self.account = account
        self.names = (request.path, f"{request.method} {request.path}")
        listed = [row for row in (sent if isinstance(sent, list) else [sent]) if isinstance(row, dict)]
        named = {str(row.get("instId")) for row in listed}
        self.symbol = desk.symbol(named.pop()) if len(named) == 1 else None
        self.channel = HttpChannel(request)
        self.receipts: Sequence[Receipt] = ()
        self._placing = account is not None and request.method == "POST" and request.path.removeprefix(BASE) in PLACES
        if account is not None and self._placing:
            self.receipts = desk.floor.receipts_of(account).received([row.get("clOrdId") for row in listed])
        self._path = request.path
        self._perform = perform

    def run(self) -> Answer:
        try:
            made = self._perform()
            answer = Answer(made.rows, made.code, made.text) if isinstance(made, Rows) else Answer(made)
        except ApiError as error:
            answer = Answer(code=error.code, text=error.text, status=error.status)
        if self._placing and answer.code == "2":  # each order of a batch has its own outcome
            refused = {row["clOrdId"] for row in answer.data if row["sCode"] != "0"}
            settle([receipt for receipt in self.receipts if receipt.client_id in refused], accepted=False)
            self.receipts = [receipt for receipt in self.receipts if receipt.client_id not in refused]
        self.desk.floor.count(self._path, 200 if self.good(answer) else max(answer.status, 400))
        return answer

    def good(self, answer: Answer) -> bool:
        return answer.code in ("0", "2")

    placed = good

    def misstate(self, answer: Answer, wrong: Callable[[], dict[str, Decimal]]) -> Answer:
        """Change the free balances in an answer with balances."""
        if self._path != BASE + "account/balance":
            return answer
        (account,) = answer.data
        account["details"] = payloads.misstated(account["details"], wrong())
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
        envelope = Envelope(desk, request, account, sent, perform)
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
