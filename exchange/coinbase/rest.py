"""REST endpoints of the Coinbase protocol: an HTTP status, and JSON; a refusal is {"message": "..."}.

Source: rest, REST API Requests (Errors, Success), REST API Rate Limits.
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
from ..wire.receipts import Receipt
from ..wire.sending import OverHttp
from . import private, public
from .auth import HEADERS, authenticate
from .client import NAME
from .desk import Desk
from .errors import NOT_FOUND, UNKNOWN, ApiError
from .order_bodies import misstated
from .private import ACCOUNTS, PLACE, Asked


@dataclass(slots=True)
class Answer:
    """The outcome of a request. `headers` are the cursors of a page."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Envelope(OverHttp[Answer]):
    """One HTTP request. Fault rules know it by its path (/orders/{id} for one order), and by its verb and path."""

    protocol = NAME

    def __init__(self, desk: Desk, request: web.Request, name: str, perform: Callable[[], Answer]) -> None:
        self.desk = desk
        self.names = (name, f"{request.method} {name}")
        self.account: Account | None = None
        self.symbol: str | None = None
        self.receipts: Sequence[Receipt] = ()
        self._perform = perform
        self.channel = HttpChannel(request, desk.floor.faults, self)

    def run(self) -> Answer:
        try:
            answer = self._perform()
        except ApiError as error:
            answer = Answer({"message": error.text}, error.status)
        self.desk.floor.count(self.names[0], answer.status)
        return answer

    def good(self, answer: Answer) -> bool:
        return answer.status == 200

    placed = good

    def misstate(self, answer: Answer, wrong: Callable[[], dict[str, Decimal]]) -> Answer:
        """Change what is available in an answer with balances."""
        if self.names[0] != ACCOUNTS.name:
            return answer
        return Answer(misstated(answer.body, wrong()))

    def refusal(self, fault: Fault) -> Answer:
        self.desk.floor.count(self.names[0], fault.status)
        text = "Private rate limit exceeded" if fault.status == 429 else UNKNOWN[0]
        return Answer({"message": str(fault.code or text)}, fault.status)

    def unknown(self, fault: Fault, answer: Answer) -> Answer:
        return Answer({"message": str(fault.code or UNKNOWN[0])}, fault.status)

    def response(self, answer: Answer) -> web.Response:
        body = orjson.dumps(answer.body)
        return web.Response(body=body, status=answer.status, content_type="application/json", headers=answer.headers)


class Rest:
    """Answers every HTTP request."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, or apply a fault to it."""
        desk, raw = self.desk, await request.read()
        sent: Any = dict(request.query)
        query = public.find(request.path) if request.method == "GET" else None
        endpoint, order = private.find(request.method, request.path)
        if query is not None:
            envelope = Envelope(desk, request, _public_name(request.path), lambda: self._public(request, query))
            named = public.PRODUCT.fullmatch(request.path)
            envelope.symbol = self._symbol(named["product"] if named is not None else None)
        elif endpoint is not None:
            sent = _read(raw) if request.method == "POST" else sent
            perform = self._private(request, endpoint, sent, raw, order)
            envelope = Envelope(desk, request, endpoint.name, perform)
            envelope.symbol = self._symbol(sent.get("product_id") if isinstance(sent, dict) else None)
            owner = desk.floor.owner(request.headers.get(HEADERS[0]))
            envelope.account = None if owner is None else owner[0]
            if endpoint is PLACE and envelope.account is not None and isinstance(sent, dict):
                receipts = desk.floor.receipts_of(envelope.account)
                envelope.receipts = receipts.received([sent.get("client_oid")])
        else:
            envelope = Envelope(desk, request, "/", _not_found)
        execute(desk.floor.faults, envelope)
        return await envelope.channel.response()

    def _symbol(self, product: object) -> str | None:
        market = self.desk.streams.markets.get(product) if isinstance(product, str) else None
        return None if market is None else market.symbol

    def _public(self, request: web.Request, query: Callable[[Desk, public.Sent], Any]) -> Answer:
        if not self.desk.meter.spend(request.remote or "", "public", self.desk.now_ns()):
            raise ApiError("Public rate limit exceeded", 429)
        return Answer(query(self.desk, dict(request.query)))

    def _private(
        self, request: web.Request, endpoint: private.Endpoint, sent: Any, raw: bytes, order: str
    ) -> Callable[[], Answer]:
        """Authenticate a request on arrival; return a function that executes or refuses it."""
        desk, states = self.desk, request.query.getall("status", [])
        try:
            account, key = authenticate(
                desk.floor, request.method, request.raw_path, request.headers, raw, desk.now_ns()
            )
        except ApiError as error:
            refusal = error

            def refuse() -> Answer:
                raise refusal

            return refuse

        def perform() -> Answer:
            if not isinstance(sent, dict):
                raise ApiError("Malformed JSON")
            asked = Asked(desk, account, sent, states, order, desk.now_ns())
            return Answer(private.perform(endpoint, key, asked), headers=asked.cursors)

        return perform


def _public_name(path: str) -> str:
    """Return the name of a public endpoint for fault rules."""
    named = public.PRODUCT.fullmatch(path)
    if named is None or path in public.QUERIES:
        return path
    return "/products/{id}" + (f"/{named['what']}" if named["what"] else "")


def _read(raw: bytes) -> Any:
    """Read the body of a POST; None if it is not JSON."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def _not_found() -> Answer:
    raise ApiError(NOT_FOUND, 404)
