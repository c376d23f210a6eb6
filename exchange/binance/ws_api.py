"""Market-data methods of the WebSocket API, on its own base /ws-api/v3.

Source: web-socket-api.md (Request format, Response format, Rate limits), read 2026-11-22. Signed methods and user data
streams belong to the private side, which is not here: they are answered as methods that do not exist.
"""

from __future__ import annotations

from typing import Any

import orjson

from ..faults import Fault
from ..venue import Venue
from . import params
from .client import Client
from .errors import STATUS_BODIES, ApiError, bad_json, illegal
from .frames import text_frame
from .queries import BY_METHOD, Asked


def answer(venue: Venue, client: Client, text: bytes) -> bytes | None:
    """Answer one request; None where a fault hangs, or the answer was sent already."""
    now = venue.clock.now_ns()
    number: Any = None
    shows = client.show_rate_limits
    status, method = 200, "?"
    fault: Fault | None = None
    body: dict[str, Any]
    try:
        asked = _parse(text)
        number = asked.get("id")
        given = asked.get("params") or {}
        if not isinstance(number, int | str | None) or isinstance(number, bool):
            number = None
            raise illegal("id", "^[a-zA-Z0-9-_]{1,36}$")
        if not isinstance(given, dict):
            raise bad_json()
        sent = dict(given)
        shown = sent.pop("returnRateLimits", shows)
        if not isinstance(shown, bool):
            raise illegal("returnRateLimits", "^(true|false)$")
        shows = shown
        method = str(asked.get("method", "")).removeprefix("v3/")
        symbol = sent.get("symbol")
        fault = venue.faults.request(f"ws-api:{method}", symbol if isinstance(symbol, str) else None)
        if fault is not None and fault.kind == "hang":
            return None
        if fault is not None and fault.kind == "status":
            raise ApiError(*STATUS_BODIES.get(fault.status, STATUS_BODIES[500]), fault.status)
        query = BY_METHOD.get(method)
        if query is None:
            venue.meter.spend(client.ip, 1, now)
            raise ApiError(-1020, "This operation is not supported.")
        failed: ApiError | None = None
        values: dict[str, Any] = {}
        try:
            values = params.read(sent, query.params, rest=False)
        except ApiError as error:
            failed = error
        venue.meter.spend(client.ip, query.weight(values), now)
        if failed is not None:
            raise failed
        body = {"result": query.answer(Asked(venue.engine, venue.limits, values, now, client.form.unit, rest=False))}
    except ApiError as error:
        status = error.status
        told: dict[str, Any] = error.body
        if error.retry_after_s is not None:
            told["data"] = {
                "serverTime": now // client.form.unit,
                "retryAfter": (now + error.retry_after_s * 1_000_000_000) // client.form.unit,
            }
        body = {"error": told}
    venue.count(f"ws-api:{method}" if method in BY_METHOD else "ws-api:?", status)
    whole = {"id": number, "status": status, **body}
    if shows:
        whole["rateLimits"] = [
            {
                "rateLimitType": "REQUEST_WEIGHT",
                "interval": "MINUTE",
                "intervalNum": 1,
                "limit": venue.limits.weight,
                "count": venue.meter.used(client.ip, now),
            }
        ]
    reply = orjson.dumps(whole)
    if fault is not None and fault.kind == "slow":
        venue.faults.later(fault.ms / 1000, lambda: client.write(text_frame(reply)))
        return None
    if status == 418:
        client.write(text_frame(reply))
        client.close(1008, "IP banned", "banned")
        return None
    return reply


def _parse(text: bytes) -> dict[str, Any]:
    try:
        asked = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise bad_json() from None
    if not isinstance(asked, dict):
        raise bad_json()
    return asked
