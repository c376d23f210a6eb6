"""REST endpoints of the Binance protocol.

Source: rest-api.md (General Information on Endpoints, Request Security), read 2026-11-22. The manual does not say what
an unknown path gives; it is a plain 404 page here.
"""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from ...model.time import MILLISECOND_NS
from ..venue import Venue
from . import errors, front, params, payloads
from .auth import Signed, without_signature
from .errors import ApiError
from .methods import BY_ROUTE, SIGNED_PATHS
from .queries import BY_PATH, Asked, Query
from .signed import Method, perform

_FORM = "application/x-www-form-urlencoded"
_WITH_BODY = ("POST", "PUT", "DELETE")


class Rest:
    """Answers every HTTP request below /api/."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, or do what faults make of it."""
        method = BY_ROUTE.get((request.method, request.path))
        if method is None:
            return await front.through(
                self.venue, request, None, request.query, lambda: self._counted(request, self.answer(request))
            )
        query, body = request.raw_path.partition("?")[2], ""
        if request.method in _WITH_BODY and request.content_type in (_FORM, "application/octet-stream"):
            # Latin-1 keeps every byte, so that what is no ASCII is seen as such.
            body = (await request.read()).decode("latin-1")
        parts = [parse_qsl(part, keep_blank_values=True) for part in (body, query)]
        sent = dict(parts[0] + parts[1])  # the query string goes before the body
        twice = any(len(dict(part)) != len(part) for part in parts)
        key = request.headers.get("X-MBX-APIKEY")
        payload = (without_signature(query) + without_signature(body)).encode("utf-8", "surrogateescape")
        signed = Signed(sent, payload, key, rest=True)
        owner = self.venue.owner(key)

        def execute() -> web.Response:
            return self._counted(request, self._signed(request, method, signed, twice))

        return await front.through(self.venue, request, None if owner is None else owner[0], sent, execute)

    async def fault(self, endpoint: str) -> web.StreamResponse | None:
        """Do what a fault says of a handshake: an answer, or a wait, or None to go on."""
        fault = self.venue.faults.request(endpoint, None)
        if fault is None:
            return None
        if fault.kind == "hang":
            await asyncio.get_running_loop().create_future()
        if fault.kind == "slow":
            await asyncio.sleep(fault.ms / 1000)
            return None
        self.venue.count(endpoint, fault.status)
        return front.refusal(fault)

    def _counted(self, request: web.Request, response: web.Response) -> web.Response:
        self.venue.count(request.path, response.status)
        return response

    def answer(self, request: web.Request) -> web.Response:
        """Answer a request without a signature."""
        query = BY_PATH.get(request.path)
        if query is not None and request.method in ("GET", "HEAD"):
            return self._public(request, query)
        known = query is not None or request.path in SIGNED_PATHS
        text = "405 Method Not Allowed" if known else "404 Not Found"
        try:
            self.venue.meter.check_ban(request.remote or "", self.venue.clock.now_ns())
        except ApiError as error:
            return self._failed(request, error, {})
        return web.Response(
            status=405 if known else 404, text=f"<html><body>{text}</body></html>", content_type="text/html"
        )

    def _public(self, request: web.Request, query: Query) -> web.Response:
        venue = self.venue
        now = venue.clock.now_ns()
        headers: dict[str, str] = {}
        try:
            venue.meter.check_ban(request.remote or "", now)
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
            self._spend(request, query.weight(values), now, headers)
            if failed is not None:
                raise failed
            body = query.answer(Asked(venue.engine, venue.limits, values, now, unit, rest=True))
            return _json(body, 200, headers)
        except ApiError as error:
            return self._failed(request, error, headers)

    def _signed(self, request: web.Request, method: Method, signed: Signed, twice: bool) -> web.Response:
        """Answer a signed request; `twice` says that it sent a parameter twice in one place."""
        venue = self.venue
        now = venue.clock.now_ns()
        headers: dict[str, str] = {}
        try:
            venue.meter.check_ban(request.remote or "", now)
            self._spend(request, method.weight(signed.sent), now, headers)
            unit = time_unit(request.headers.get("X-MBX-TIME-UNIT"))
            if twice:
                raise errors.duplicate()
            reply = perform(venue.engine, venue.limits, method, signed, now, unit)
            if reply.counts is not None:
                for interval, count in zip(("10S", "1D"), reply.counts, strict=True):
                    headers[f"X-MBX-ORDER-COUNT-{interval}"] = str(count)
            return _json(reply.body, 200, headers)
        except ApiError as error:
            return self._failed(request, error, headers)

    def _spend(self, request: web.Request, weight: int, now_ns: int, headers: dict[str, str]) -> None:
        used = self.venue.meter.spend(request.remote or "", weight, now_ns)
        headers["X-MBX-USED-WEIGHT"] = headers["X-MBX-USED-WEIGHT-1M"] = str(used)

    def _failed(self, request: web.Request, error: ApiError, headers: dict[str, str]) -> web.Response:
        if error.retry_after_s is not None:
            headers["Retry-After"] = str(error.retry_after_s)
            used = self.venue.meter.used(request.remote or "", self.venue.clock.now_ns())
            headers["X-MBX-USED-WEIGHT"] = headers["X-MBX-USED-WEIGHT-1M"] = str(used)
        return _json(error.body, error.status, headers)


def time_unit(text: str | None) -> int:
    """Read a time unit as the manual spells it; return its nanoseconds."""
    if text is None or text in ("MILLISECOND", "millisecond"):
        return MILLISECOND_NS
    if text in ("MICROSECOND", "microsecond"):
        return payloads.MICRO
    raise errors.bad_time_unit()


def _json(body: object, status: int, headers: dict[str, str] | None) -> web.Response:
    return web.Response(
        body=orjson.dumps(body),
        status=status,
        headers=headers,
        content_type="application/json",
        charset="UTF-8",
    )
