"""REST endpoints of the Kraken protocol: HTTP 200 with `error` and `result`, unless a fault requires another status.

Source: spot-rest-intro (guide), read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from ...model.fixed import to_raw
from ..engine.accounts import Account
from ..engine.rules import SCALE
from ..wire.executor import execute
from ..wire.http import HttpChannel
from ..wire.numbers import text
from .auth import Signed, authenticate
from .desk import Desk
from .errors import ApiError
from .front import Front, Reply
from .names import asset_id
from .private import METHODS, Batch, perform
from .public import QUERIES

PUBLIC, PRIVATE = "/0/public/", "/0/private/"


class Envelope(Front):
    """One HTTP request. Fault rules know it by its path, and by its verb and path together."""

    def __init__(
        self,
        desk: Desk,
        request: web.Request,
        account: Account | None,
        sent: Mapping[str, Any],
        answer: Callable[[], Any],
    ) -> None:
        names = (request.path, f"{request.method} {request.path}")
        super().__init__(desk, names, account, sent.get("pair"), *_places(request.path, sent))
        self.channel = HttpChannel(request, desk.floor.faults, self)
        self._answer = answer

    def perform(self) -> list[Reply]:
        answer = self._answer()
        return [Reply({"orders": answer.rows}, refused=answer.refused) if isinstance(answer, Batch) else Reply(answer)]

    def misstate(self, answer: list[Reply], wrong: Callable[[], dict[str, Decimal]]) -> list[Reply]:
        if self.names[0] not in (PRIVATE + "Balance", PRIVATE + "BalanceEx"):
            return answer
        shown = answer[0].result
        for asset, amount in wrong().items():
            row = shown.get(asset_id(asset), text(0))
            total = text(to_raw(row["balance"] if isinstance(row, dict) else row, SCALE) + to_raw(amount, SCALE))
            shown[asset_id(asset)] = row | {"balance": total} if isinstance(row, dict) else total
        return answer

    def send(self, answer: list[Reply]) -> None:
        self.channel.send(_response(answer[0]))

    def send_half(self, answer: list[Reply]) -> None:
        self.channel.send_half(_response(answer[0]))

    def cut(self) -> None:
        self.channel.cut()


class Rest:
    """Answers every HTTP request."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, or apply a fault to it."""
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


def _places(path: str, sent: Mapping[str, Any]) -> list[object]:
    """Return the client ids of the orders that a request would place."""
    if _validates(sent):
        return []
    if path == PRIVATE + "AddOrderBatch" and isinstance(sent.get("orders"), list):
        return [row.get("cl_ord_id") for row in sent["orders"] if isinstance(row, dict)]
    return [sent.get("cl_ord_id")] if path == PRIVATE + "AddOrder" else []


def _validates(sent: Mapping[str, Any]) -> bool:
    return str(sent.get("validate", "")).lower() in ("true", "1")


def _unknown_method() -> Any:
    raise ApiError("EGeneral:Unknown method")


def _fields(content_type: str, body: bytes) -> dict[str, Any]:
    """Read a body, a form or a JSON object; any other body has no fields."""
    if content_type != "application/json":
        return dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True))
    try:
        read = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return read if isinstance(read, dict) else {}


def _response(reply: Reply) -> web.Response:
    body = {"error": [], "result": reply.result} if reply.error is None else {"error": [reply.error]}
    return web.Response(body=orjson.dumps(body), status=reply.status, content_type="application/json", charset="UTF-8")
