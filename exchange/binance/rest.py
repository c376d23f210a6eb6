"""REST endpoints of the Binance protocol.

Source: rest-api.md, read 2026-11-22. The manual does not say what an unknown path gives; it is a plain 404 page here.
"""

from __future__ import annotations

import asyncio

import orjson
from aiohttp import web

from ..venue import Venue
from . import errors, params, payloads
from .errors import STATUS_BODIES, ApiError
from .queries import BY_PATH, Asked


class Rest:
    """Answers every HTTP request below /api/."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue

    async def handle(self, request: web.Request) -> web.StreamResponse:
        faulty = await self.fault(request.path, request.query.get("symbol"))
        if faulty is not None:
            return faulty
        response = self.answer(request)
        self.venue.count(request.path, response.status)
        return response

    async def fault(self, endpoint: str, symbol: str | None = None) -> web.StreamResponse | None:
        """Do what a fault says of this request: an answer, or a wait, or None to go on."""
        venue = self.venue
        fault = venue.faults.request(endpoint, symbol)
        if fault is None:
            return None
        if fault.kind == "hang":
            await asyncio.get_running_loop().create_future()
        if fault.kind == "slow":
            await asyncio.sleep(fault.ms / 1000)
            return None
        venue.count(endpoint, fault.status)
        code, msg = STATUS_BODIES.get(fault.status, STATUS_BODIES[500])
        headers = {"Retry-After": str(max(1, int(fault.ms / 1000)))} if fault.status in (418, 429) else None
        if fault.status == 403:
            return web.Response(status=403, text=msg, content_type="text/html")
        return _json({"code": code, "msg": msg}, fault.status, headers)

    def answer(self, request: web.Request) -> web.Response:
        venue, ip = self.venue, request.remote or ""
        now = venue.clock.now_ns()
        query = BY_PATH.get(request.path)
        headers: dict[str, str] = {}
        try:
            venue.meter.check_ban(ip, now)
            if query is None or request.method not in ("GET", "HEAD"):
                return web.Response(
                    status=404 if query is None else 405,
                    text=f"<html><body>{'404 Not Found' if query is None else '405 Method Not Allowed'}</body></html>",
                    content_type="text/html",
                )
            failed: ApiError | None = None
            values: dict[str, object] = {}
            unit = payloads.MILLI
            try:
                unit = time_unit(request.headers.get("X-MBX-TIME-UNIT"))
                if len(set(request.query)) != len(request.query):
                    raise errors.duplicate()
                values = params.read(request.query, query.params, rest=True)
            except ApiError as error:
                failed = error
            used = venue.meter.spend(ip, query.weight(values), now)
            headers["X-MBX-USED-WEIGHT"] = headers["X-MBX-USED-WEIGHT-1M"] = str(used)
            if failed is not None:
                raise failed
            body = query.answer(Asked(venue.engine, venue.limits, values, now, unit, rest=True))
            return _json(body, 200, headers)
        except ApiError as error:
            if error.retry_after_s is not None:
                headers["Retry-After"] = str(error.retry_after_s)
                headers["X-MBX-USED-WEIGHT"] = headers["X-MBX-USED-WEIGHT-1M"] = str(venue.meter.used(ip, now))
            return _json(error.body, error.status, headers)


def time_unit(text: str | None) -> int:
    """Read a time unit as the manual spells it; return its nanoseconds."""
    if text is None or text in ("MILLISECOND", "millisecond"):
        return payloads.MILLI
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
