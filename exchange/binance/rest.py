"""REST endpoints of the Binance protocol.

Source: rest-api.md (General Information on Endpoints, Request Security), read 2026-11-22. The manual does not describe
the answer for an unknown path; here it is a plain 404 page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from ...model.time import MILLISECOND_NS
from ..engine.accounts import Account
from ..faults import Fault
from ..wire.executor import execute
from ..wire.http import HttpChannel
from ..wire.sending import OverHttp
from . import errors, params, payloads
from .auth import Signed, without_signature
from .desk import Desk
from .errors import ApiError
from .front import FrontEnvelope, Outcome, refused_by
from .queries import Asked, Query
from .signed import Method, perform

# A form is read under any of these types, as the real exchange does: some clients send forms with another type.
_FORMS = ("application/x-www-form-urlencoded", "application/octet-stream", "application/json", "text/plain")
_WITH_BODY = ("POST", "PUT", "DELETE")


class Envelope(OverHttp[Outcome], FrontEnvelope):
    """One HTTP request. Fault rules may name it by its path, or by its verb and path."""

    def __init__(
        self,
        desk: Desk,
        request: web.Request,
        account: Account | None,
        sent: Mapping[str, Any],
        answer: Callable[[], Outcome],
    ) -> None:
        super().__init__(desk, (request.path, f"{request.method} {request.path}"), account, sent)
        self.channel = HttpChannel(request, desk.floor.faults, self)
        self._path = request.path
        self._answer = answer

    def run(self) -> Outcome:
        outcome = self._answer()
        self.desk.floor.count(self._path, outcome.status)
        return outcome

    def refusal(self, fault: Fault) -> Outcome:
        self.desk.floor.count(self._path, fault.status)
        return refusal(fault)

    def response(self, answer: Outcome) -> web.Response:
        return response(answer)


class Rest:
    """Answers every HTTP request."""

    def __init__(
        self,
        desk: Desk,
        methods: Mapping[tuple[str, str], Method],
        queries: Mapping[str, Query],
    ) -> None:
        """`methods` by verb and path, `queries` by path."""
        self.desk = desk
        self._methods, self._queries = methods, queries
        self._signed_paths = {path for _, path in methods}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, or apply a fault to it."""
        desk = self.desk
        method = self._methods.get((request.method, request.path))
        if method is None:
            envelope = Envelope(desk, request, None, request.query, lambda: self.unsigned(request))
        else:
            signed, twice = await _read(request)
            owner = desk.floor.owner(signed.key)
            account = None if owner is None else owner[0]
            envelope = Envelope(
                desk, request, account, signed.sent, lambda: self._signed(request, method, signed, twice)
            )
        execute(desk.floor.faults, envelope)
        return await envelope.channel.response()

    def unsigned(self, request: web.Request) -> Outcome:
        """Answer a request without a signature."""
        query = self._queries.get(request.path)
        if query is not None and request.method in ("GET", "HEAD"):
            return self._public(request, query)
        known = query is not None or request.path in self._signed_paths
        try:
            self.desk.meter.check_ban(request.remote or "", self.desk.now_ns())
        except ApiError as error:
            return self.failed(request, error, {})
        title = "405 Method Not Allowed" if known else "404 Not Found"
        return Outcome(405 if known else 404, page=f"<html><body>{title}</body></html>")

    def _public(self, request: web.Request, query: Query) -> Outcome:
        desk, now = self.desk, self.desk.now_ns()
        headers: dict[str, str] = {}
        try:
            desk.meter.check_ban(request.remote or "", now)
            failed: ApiError | None = None
            values: dict[str, object] = {}
            unit = MILLISECOND_NS
            try:
                unit = time_unit(request.headers.get("X-MBX-TIME-UNIT"))
                if len(set(request.query)) != len(request.query):
                    raise errors.duplicate()
                values = params.read(request.query, query.params, rest=True)
            except ApiError as error:
                failed = error
            self.spend(request, query.weight(values), now, headers)
            if failed is not None:
                raise failed
            return Outcome(
                200, query.answer(Asked(desk.floor.engine, desk.limits, values, now, unit, rest=True)), headers
            )
        except ApiError as error:
            return self.failed(request, error, headers)

    def _signed(self, request: web.Request, method: Method, signed: Signed, twice: bool) -> Outcome:
        """Answer a signed request; `twice`: a parameter occurs twice in one place."""
        now = self.desk.now_ns()
        headers: dict[str, str] = {}
        try:
            self.desk.meter.check_ban(request.remote or "", now)
            self.spend(request, method.weight(signed.sent), now, headers)
            unit = time_unit(request.headers.get("X-MBX-TIME-UNIT"))
            if twice:
                raise errors.duplicate()
            reply = perform(self.desk, method, signed, now, unit)
            if reply.counts is not None:
                for interval, count in zip(("10S", "1D"), reply.counts, strict=True):
                    headers[f"X-MBX-ORDER-COUNT-{interval}"] = str(count)
            return Outcome(200, reply.body, headers, reply.counts)
        except ApiError as error:
            return self.failed(request, error, headers)

    def spend(self, request: web.Request, weight: int, now_ns: int, headers: dict[str, str]) -> None:
        used = self.desk.meter.spend(request.remote or "", weight, now_ns)
        headers["X-MBX-USED-WEIGHT"] = headers["X-MBX-USED-WEIGHT-1M"] = str(used)

    def failed(self, request: web.Request, error: ApiError, headers: dict[str, str]) -> Outcome:
        if error.retry_after_s is not None:
            headers["Retry-After"] = str(error.retry_after_s)
            used = self.desk.meter.used(request.remote or "", self.desk.now_ns())
            headers["X-MBX-USED-WEIGHT"] = headers["X-MBX-USED-WEIGHT-1M"] = str(used)
        return Outcome(error.status, error.body, headers)


async def _read(request: web.Request) -> tuple[Signed, bool]:
    """Read a signed request; return it, and whether a parameter occurs twice in one place."""
    query, body = request.raw_path.partition("?")[2], ""
    if request.method in _WITH_BODY and request.content_type in _FORMS:
        # Latin-1 keeps every byte, so that bytes beyond ASCII remain visible.
        body = (await request.read()).decode("latin-1")
    parts = [parse_qsl(part, keep_blank_values=True) for part in (body, query)]
    sent = dict(parts[0] + parts[1])  # the query string goes before the body
    payload = (without_signature(query) + without_signature(body)).encode("utf-8", "surrogateescape")
    signed = Signed(sent, payload, request.headers.get("X-MBX-APIKEY"), rest=True)
    return signed, any(len(dict(part)) != len(part) for part in parts)


def time_unit(text: str | None) -> int:
    """Read a time unit in the manual's spelling; return its length in nanoseconds."""
    if text is None or text in ("MILLISECOND", "millisecond"):
        return MILLISECOND_NS
    if text in ("MICROSECOND", "microsecond"):
        return payloads.MICRO
    raise errors.bad_time_unit()


def refusal(fault: Fault) -> Outcome:
    """The answer of a `status` fault; nothing was done."""
    error = refused_by(fault)
    if fault.status == 403:
        return Outcome(403, page=error.msg)
    headers = {"Retry-After": str(max(1, int(fault.ms / 1000)))} if fault.status in (418, 429) else {}
    return Outcome(fault.status, error.body, headers)


def response(outcome: Outcome) -> web.Response:
    """Write an answer."""
    if outcome.page is not None:
        return web.Response(status=outcome.status, text=outcome.page, content_type="text/html")
    return web.Response(
        body=orjson.dumps(outcome.body),
        status=outcome.status,
        headers=outcome.headers,
        content_type="application/json",
        charset="UTF-8",
    )
