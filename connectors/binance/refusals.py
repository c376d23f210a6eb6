"""What Binance's refusals mean: statuses, codes and, where one code stands for many things, exact texts.

    5xx               never a refusal: of what changes something the outcome is unknown, whatever the body says
    429, 418, 403     not served
    409               a cancel-replace of which one half was done: read by `reports`, no refusal as a whole
    other 4xx         the code in the body decides; without such a body nobody knows who answered

Source: rest-api.md, HTTP Return Codes; web-socket-api.md, Status codes; errors.md; all read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ...model.errors import MeshError, Misconfigured, OutcomeUnknown, Rejected, RetryLater
from ...model.http import HttpResponse
from ..order_codec import Refusal

DEFAULT_WAIT_S = {429: 60.0, 418: 120.0, 403: 60.0}  # 418: a ban lasts two minutes at least; 403: a firewall rule
MAX_WAIT_S = 3 * 86_400.0  # rest-api.md, IP Limits: bans last up to three days
WAIT_S = 1.0

# errors.md; a code that is not here is REJECTED: an explicit no
CODES = {
    "-1000": Refusal.UNKNOWN,  # UNKNOWN: an error occurred while processing
    "-1001": Refusal.UNKNOWN,  # DISCONNECTED: internal error
    "-1002": Refusal.KEY,  # UNAUTHORIZED
    "-1003": Refusal.BUSY,  # TOO_MANY_REQUESTS
    "-1006": Refusal.UNKNOWN,  # UNEXPECTED_RESP: "Execution status unknown."
    "-1007": Refusal.UNKNOWN,  # TIMEOUT: "Send status unknown; execution status unknown."
    "-1008": Refusal.BUSY,  # SERVER_BUSY: overloaded, try again; as a 5xx it says nothing certain, see `failure`
    "-1015": Refusal.BUSY,  # TOO_MANY_ORDERS
    "-1016": Refusal.BUSY,  # SERVICE_SHUTTING_DOWN
    "-1021": Refusal.CLOCK,  # INVALID_TIMESTAMP: outside of the recvWindow, or 1000 ms ahead
    "-1022": Refusal.KEY,  # INVALID_SIGNATURE
    "-1034": Refusal.BUSY,  # TOO_MANY_CONNECTIONS
    "-2013": Refusal.NOT_THERE,  # NO_SUCH_ORDER
    "-2014": Refusal.KEY,  # BAD_API_KEY_FMT
    "-2015": Refusal.KEY,  # REJECTED_MBX_KEY: key, address or permissions
}
# errors.md, Messages for -1010, -2010, -2011 and -2038: the codes under which the matching engine's own texts come
ENGINE = frozenset({"-1010", "-2010", "-2011", "-2038"})
TEXTS = {
    "Unknown order sent.": Refusal.NOT_THERE,
    "Duplicate order sent.": Refusal.DUPLICATE,
}
# Texts that refuse a cancel and leave the order as it was. Another text under -2011 may mean that it is gone: query.
STILL_THERE = frozenset(
    {
        "Market is closed.",
        "This action is disabled on this account.",
        "This account may not place or cancel orders.",
        "Cancel order is invalid. Check origClOrdId and orderId.",
        "This symbol is not permitted for this account.",
        "This symbol is restricted for this account.",
        "Order was not canceled due to cancel restrictions.",
        "Rest API trading is not enabled.",
        "WebSocket API trading is not enabled.",
    }
)


def refusal(code: str, reason: str = "") -> Refusal:
    """Classify a code and its text."""
    if code in ENGINE:
        known = TEXTS.get(reason)
        if known is None and code == "-2011" and reason not in STILL_THERE:
            return Refusal.NOT_THERE
        return known or Refusal.REJECTED
    return CODES.get(code, Refusal.REJECTED)


def said(body: bytes) -> tuple[str, str, Any] | None:
    """Return (code, text, data) of an error body; None of anything else."""
    try:
        read = orjson.loads(body)
        return str(int(read["code"])), str(read["msg"]), read.get("data")
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        return None


def failure(response: HttpResponse, changes: bool, what: str) -> MeshError | None:
    """Return the typed error that an answer means; None when it succeeded (200).

    `changes`: whether the request may have changed something. A read that was not answered properly is RetryLater.
    """
    status = response.status
    if status == 200:
        return None
    error = said(response.body)
    code, text, data = error or (str(status), "no error body of this exchange", None)
    words = f"HTTP {status}, {code}: {text}"
    sort = refusal(code, text)
    if status >= 500 or (sort is Refusal.UNKNOWN and code in CODES):
        return OutcomeUnknown(what, words) if changes else RetryLater(WAIT_S, words)
    if status in DEFAULT_WAIT_S or sort is Refusal.BUSY:
        return RetryLater(_wait_s(status, response.headers, data), words)
    if error is None or status < 400:
        return OutcomeUnknown(what, words) if changes else RetryLater(WAIT_S, words)
    if sort is Refusal.KEY:
        return Misconfigured("the API key", f"{code}: {text}")
    return Rejected(code, text)


def _wait_s(status: int, headers: Mapping[str, str], data: Any) -> float:
    """Seconds to wait: the header of REST, or the websocket API's two times in milliseconds."""
    after = headers.get("retry-after", "")
    if after.isascii() and after.isdigit():
        return min(float(after), MAX_WAIT_S)
    if isinstance(data, dict):
        until, now = data.get("retryAfter"), data.get("serverTime")
        if type(until) is int and type(now) is int and 0 <= until - now <= MAX_WAIT_S * 1000:
            return (until - now) / 1000
    return DEFAULT_WAIT_S.get(status, WAIT_S)
