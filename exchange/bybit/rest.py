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
from ..wire.receipts import Receipt, settle_refused
from .auth import KEY, authenticate
from .client import NAME, milliseconds
from .desk import Desk
from .errors import BAD_PARAMETER, SERVER_ERROR, TEXTS, TOO_MANY, UNKNOWN, ApiError
from .limits import Use
from .order_bodies import misstate
from .private import READS, WRITES, Asked, Batch, Endpoint, perform
from .public import QUERIES

BALANCE = "/v5/account/wallet-balance"
CREATE, CREATE_BATCH = "/v5/order/create", "/v5/order/create-batch"


@dataclass(slots=True)
class Answer:
    """What became of a request."""

    result: Mapping[str, Any] = field(default_factory=dict)
    code: int = 0
    text: str = "OK"
    status: int = 200
    outcomes: Sequence[tuple[int, str]] | None = None  # of the rows of a batch


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
        answer: Callable[[Envelope], Any],
    ) -> None:
        self.desk = desk
        self.names = (request.path, f"{request.method} {request.path}")
        batch = sent.get("request")
        rows = [row for row in batch if isinstance(row, dict)] if isinstance(batch, list) else [sent]
        named = {str(row.get("symbol")) for row in rows}
        self.symbol = named.pop() if len(named) == 1 and named <= desk.pairs.by_symbol.keys() else None
        self.account = account
        placed = [row.get("orderLinkId") for row in rows] if request.path in (CREATE, CREATE_BATCH) else []
        self.receipts = [] if account is None else desk.floor.receipts_of(account).received(placed)
        self.channel = HttpChannel(request)
        self.use: Use | None = None
        self._answer = answer

    def run(self) -> Answer:
        try:
            made = self._answer(self)
            answer = Answer({"list": made.rows}, outcomes=made.outcomes) if isinstance(made, Batch) else Answer(made)
            self.receipts = self._settled(answer)
        except ApiError as error:
            answer = Answer(code=error.code, text=error.text, status=error.status)
        self.desk.floor.count(self.names[0], 200 if self.good(answer) else max(400, answer.status))
        return answer

    def _settled(self, answer: Answer) -> list[Receipt]:
        """Note which orders of a batch were refused; return the receipts that are still open."""
        codes = zip(answer.result["list"], answer.outcomes, strict=True) if answer.outcomes else ()
        refused = [row["orderLinkId"] for row, (code, _) in codes if code]
        return settle_refused(self.receipts, refused)

    def good(self, answer: Answer) -> bool:
        return answer.code == 0

    placed = good

    def misstate(self, answer: Answer, wrong: Callable[[], dict[str, Decimal]]) -> Answer:
        """Spoil the free balances in an answer that has balances."""
        if self.names[0] != BALANCE:
            return answer
        (row,) = answer.result["list"]
        return Answer({"list": [misstate(row, wrong())]})

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
        more = {} if answer.outcomes is None else {"list": [{"code": one, "msg": msg} for one, msg in answer.outcomes]}
        body = {"retCode": answer.code, "retMsg": answer.text, "result": answer.result, "retExtInfo": more}
        body["time"] = milliseconds(self.desk.now_ns())
        return web.Response(
            body=orjson.dumps(body),
            status=answer.status,
            content_type="application/json",
            charset="utf-8",
            headers=None if self.use is None else self.use.headers,
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
        envelope = Envelope(desk, request, account, sent, answer)
        execute(desk.floor.faults, envelope)
        return await envelope.channel.response()


def _private(
    endpoint: Endpoint, request: web.Request, payload: bytes, sent: Mapping[str, Any]
) -> Callable[[Envelope], Any]:
    """Return what authenticates, counts and carries out a private request."""

    def answer(envelope: Envelope) -> Any:
        desk = envelope.desk
        now_ns = desk.now_ns()
        account, key = authenticate(desk.floor, request.headers, payload, now_ns)

        def spend() -> None:
            envelope.use = desk.meter.spend(account, request.path, endpoint.per_s, now_ns)
            if envelope.use.refused:
                raise ApiError(TEXTS[TOO_MANY], TOO_MANY)

        if sent is UNREADABLE:
            raise ApiError("Request parameter error: the body is not a JSON object", BAD_PARAMETER)
        return perform(endpoint, Asked(desk, account, key, sent, now_ns), request.method == "POST", spend)

    return answer


UNREADABLE: Mapping[str, Any] = {}


def _read(raw: bytes) -> Mapping[str, Any]:
    """Read the body of a POST."""
    try:
        read = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return UNREADABLE
    return read if isinstance(read, dict) else UNREADABLE
