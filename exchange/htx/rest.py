"""REST endpoints of the HTX protocol: HTTP 200 with a status in the body, unless a fault or a limit requires another.

Source: private_rest_api.md (Request Format, Response Format, New Version Rate limit Rule), read 2026-11-28.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from ..engine.accounts import Account
from ..wire.executor import execute
from .auth import KEY, authenticate
from .desk import Desk
from .envelope import Envelope
from .errors import TEXTS, TOO_MANY, ApiError, bad
from .private import PLACE_BATCH, READS, WRITES, Asked, find, perform
from .public import QUERIES


class Rest:
    """Answers every HTTP request."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, or apply a fault to it."""
        desk = self.desk
        if not desk.meter.request(request.remote or "", desk.now_ns()):
            desk.floor.count(request.path, 429)
            return web.Response(status=429, text="too many requests")
        raw = await request.read()
        if request.method == "GET" and raw:
            desk.floor.count(request.path, 403)
            return web.Response(status=403, text="a GET has no body")
        asked = parse_qsl(request.raw_path.partition("?")[2], keep_blank_values=True)
        query = QUERIES.get(request.path) if request.method == "GET" else None
        if query is not None:
            sent: Mapping[str, Any] = dict(asked)
            envelope = Envelope(desk, request, request.path, None, sent, lambda envelope: query(desk, sent))
        else:
            found = find(request.method, request.path)
            if found is None:
                desk.floor.count(request.path, 404)
                return web.Response(status=404, text="404 page not found")
            envelope = self._private(request, *found, asked, raw)
        execute(desk.floor.faults, envelope)
        return await envelope.channel.response()

    def _private(
        self, request: web.Request, name: str, number: str, asked: list[tuple[str, str]], raw: bytes
    ) -> Envelope:
        desk, is_post = self.desk, request.method == "POST"
        sent = _body(raw, name) if is_post else dict(asked)
        owner = desk.floor.owner(dict(asked).get(KEY))
        account: Account | None = None if owner is None else owner[0]
        return Envelope(desk, request, name, account, sent, _answer(request, name, number, asked, sent))


def _answer(
    request: web.Request, name: str, number: str, asked: list[tuple[str, str]], sent: Mapping[str, Any]
) -> Callable[[Envelope], Any]:
    """Return a function that authenticates, counts and executes a private request."""

    def answer(envelope: Envelope) -> Any:
        desk, is_post = envelope.desk, request.method == "POST"
        now_ns = desk.now_ns()
        host = request.headers.get("Host", "")
        account, key = authenticate(desk.floor, request.method, host, request.path, asked, now_ns)
        if sent is UNREADABLE:
            raise bad("body")
        most = (WRITES if is_post else READS)[name].most
        envelope.use = desk.meter.spend(account, name, most, now_ns)
        if envelope.use.refused:
            raise ApiError(TOO_MANY, TEXTS[TOO_MANY])
        return perform(name, Asked(desk, account, key, sent, now_ns, number), is_post)

    return answer


UNREADABLE: Mapping[str, Any] = {}


def _body(raw: bytes, name: str) -> Mapping[str, Any]:
    """Read the body of a POST; that of a batch of orders is a list."""
    try:
        read = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return UNREADABLE
    if name == PLACE_BATCH:
        return {"orders": read} if isinstance(read, list) else UNREADABLE
    return read if isinstance(read, dict) else UNREADABLE
