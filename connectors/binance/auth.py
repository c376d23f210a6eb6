"""Signing for Binance: HMAC-SHA256, RSA (PKCS#1 v1.5, SHA-256) and Ed25519.

REST signs the query string and the body exactly as they are sent, percent-encoded before signing (required since
2026-01-15). The websocket API signs its parameters (with `apiKey`) sorted by name, as plain UTF-8.

The exchange refuses a request once its clock, read in milliseconds, is more than recvWindow past `timestamp`. It checks
again just before the request goes to the matching engine. So the last possible instant is the end of the millisecond
`timestamp` + recvWindow.

Source: rest-api.md and web-socket-api.md, Request Security and Timing security; CHANGELOG.md, 2025-12-17 (percent-
encoding); faqs/api_key_types.md; all read 2026-11-22.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import ClassVar

import orjson

from ..order_codec import At, Draft, Kind, Signed
from ..signing import FORM, SigningKey, encoded, signed_request, whole_window, with_query

MAX_WINDOW_MS = 60_000  # rest-api.md, Timing security
# Parameters that are JSON numbers and booleans in the websocket API; all others are text. Source: web-socket-api.md
INTEGERS = frozenset({"orderId", "cancelOrderId", "orderListId", "fromId", "limit", "startTime", "endTime"})
INTEGERS |= {"timestamp", "recvWindow"}
BOOLEANS = frozenset({"omitZeroBalances", "computeCommissionRates", "returnRateLimits"})

Params = Sequence[tuple[str, str]]


class BinanceAuth(SigningKey):
    """One API key of Binance."""

    __slots__ = ()
    exchange = "binance"
    kinds: ClassVar[tuple[str, ...]] = ("hmac", "rsa", "ed25519")

    def sign(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        """Sign for REST; POST and PUT carry their parameters in the body.

        Raises:
            Misconfigured: the exchange does not accept this validity window.
        """
        method, path = draft.rest
        params, ends = _timed(draft, now_ns, validity_ms)
        sent = payload = encoded(params)
        headers = (("X-MBX-APIKEY", self._api_key),) if draft.signed or draft.kind is Kind.TOKEN else ()
        if draft.signed:
            sent = f"{payload}&{encoded([('signature', self.signature(payload))])}"
        text = f"{method} {with_query(path, payload)}"
        if method in ("POST", "PUT"):
            return signed_request(draft, request_id, ends, path, text, headers=(*headers, FORM), body=sent.encode())
        return signed_request(draft, request_id, ends, with_query(path, sent), text, headers=headers)

    def sign_call(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        """Sign as a frame of the websocket API.

        Raises:
            NotOffered: the websocket API has no such method.
            Misconfigured: the exchange does not accept this validity window.
        """
        if draft.call is None:
            return super().sign_call(draft, request_id, now_ns, validity_ms)
        params, ends = _timed(draft, now_ns, validity_ms)
        text = _frame(request_id, draft.call, params).decode()
        if draft.signed:
            params = sorted([*params, ("apiKey", self._api_key)])
            payload = "&".join(f"{name}={value}" for name, value in params)
            params = [*params, ("signature", self.signature(payload))]
        frame = _frame(request_id, draft.call, params)
        return Signed(draft, request_id, ends, text, hashlib.sha256(frame).hexdigest(), call=frame)


def _timed(draft: Draft, now_ns: int, validity_ms: int) -> tuple[Params, At]:
    """Return all parameters but the signature, and when the exchange accepts them for the last time."""
    now_ms, end_ns = whole_window(now_ns, validity_ms, MAX_WINDOW_MS)
    if not draft.signed:
        return draft.params, At(end_ns)
    return (("timestamp", str(now_ms)), *draft.params, ("recvWindow", str(validity_ms))), At(end_ns)


def _frame(request_id: str, method: str, params: Iterable[tuple[str, str]]) -> bytes:
    return orjson.dumps({"id": request_id, "method": method, "params": {k: _typed(k, v) for k, v in params}})


def _typed(name: str, value: str) -> str | int | bool:
    if name in INTEGERS and value.isascii() and value.isdecimal():
        return int(value)
    return value == "true" if name in BOOLEANS else value
