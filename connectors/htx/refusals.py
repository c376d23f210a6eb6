"""Classifies HTX's refusals: codes in words that come with status 200, and numbers of the interface v2.

Source: rosssaunders/coincise, docs/htx/spot, a copy of htx.com/en-us/opend/newApiPages (2025-11): sections Error Code
of public_rest_api.md ("rest"), private_rest_api.md ("private") and private_websocket_api.md ("stream"), and
rate_limits.md; all read 2026-11-28. Codes that the manual lacks are known from ccxt 4.5.90.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..failures import ErrorBody, Failures, coded, extractor
from ..limit_answers import Cost, Hit, LimitAnswer, retry_after_s
from ..order_codec import Refusal
from ..reading import plain_count

OK = 200  # the code of a success in the interface v2
WINDOW_S = 2.0  # private: limits of endpoints are per 2 seconds
LATE = "submission-time"  # ours: the manual has no separate code
NO_SYMBOL = "invalid symbol"

SORTS = {
    # 510: too often; 429: stream; "base-request-exceed-frequency-limit" and "system-maintenance": ccxt
    Refusal.BUSY: "429 510 4000 base-request-exceed-frequency-limit system-maintenance",
    Refusal.CLOCK: LATE,
    # 2002: stream, invalid signature; "api-signature-check-failed": ccxt
    Refusal.KEY: """2002 api-signature-not-valid api-signature-check-failed login-required sub-user-auth-required
        account-get-accounts-inexistent-error account-account-id-inexistent""",
    # "base-system-error": mostly a cache issue, try again; "timeout" and "gateway-internal-error": ccxt; 5xx: stream
    Refusal.UNKNOWN: "500 502 503 504 base-system-error order-update-error timeout gateway-internal-error",
    # "base-record-invalid": "failed to get data"; ccxt: an unknown order. A cancel in the wrong state: the order has
    # ended. "order-queryorder-invalid": ccxt
    Refusal.NOT_THERE: """not-found base-not-found base-record-invalid order-orderstate-error
        order-queryorder-invalid""",
    Refusal.NO_PAIR: "base-symbol-error symbol-not-support",
    # private: "duplicated (within last 24h)"; elsewhere the manual says that ids are no longer compared
    Refusal.DUPLICATE: "invalid-client-order-id",
}
CODES = {**coded(SORTS), NO_SYMBOL: Refusal.NO_PAIR, "request timeout": Refusal.UNKNOWN}
GENERIC = frozenset({"bad-request", "invalid-parameter"})  # codes that only their text explains
TEXTS = ("429 too many request", NO_SYMBOL, "invalid topic", "request timeout", "symbol trade not open now")
CODES["429 too many request"] = Refusal.BUSY


def code_of(code: str, text: str) -> str:
    """Return the code of a refusal, or the beginning of the text that explains a code of many meanings."""
    if code in GENERIC:
        return next((known for known in TEXTS if text.startswith(known)), code)
    # Not in the manual: the text of public reports, "Signature not valid: Invalid submission time [...]"
    if code == "api-signature-not-valid" and "submission time" in text.lower():
        return LATE
    return code


@extractor
def error_body(read: Any) -> ErrorBody | None:
    """Read {"status":"error","err-code":"..","err-msg":".."} or {"code":2002,"message":".."}; None: a success."""
    if "code" in read:
        number = read["code"]
        if read.get("data") is not None:  # a success, with any code
            return None
        return (
            ErrorBody(str(number), str(read.get("message") or "")) if type(number) is int and 0 < number != OK else None
        )
    if read["status"] != "error":
        return None
    reason = str(read.get("err-msg") or read.get("err_msg") or "")
    code = read.get("err-code") or read.get("err_code")
    return ErrorBody(code_of(str(code), reason), reason) if code else None


FAILURES = Failures(extract=error_body, codes=CODES, waits_s={429: WINDOW_S}, in_success=True)


def limit_answer(status: int, headers: Mapping[str, str], body: bytes, cost: Cost) -> LimitAnswer:
    """Read the rest of an endpoint's limit, and whether a limit was hit; a code with status 200 reports a hit, too.

    Source: rate_limits.md: `X-HB-RateLimit-Requests-Remain`; `-Expire` is not explained further.
    """
    own, left = tuple(name for name, _ in cost), plain_count(headers.get("x-hb-ratelimit-requests-remain", ""))
    is_hit = status in FAILURES.waits_s
    if not is_hit and b'"err' in body[:100]:  # most bodies are not worth parsing
        error = error_body(body)
        is_hit = (
            error is not None and error.code != "system-maintenance" and FAILURES.refusal(error.code) is Refusal.BUSY
        )
    hit = Hit(retry_after_s(headers, WINDOW_S), own) if is_hit else None
    return LimitAnswer(hit, remaining={} if left is None else dict.fromkeys(own, left))
