"""What OKX's error codes mean. Most come with status 200.

Source: error/code.md and error/code/websocket.md, read 2026-11-27. A code is harmless (BUSY, CLOCK) only where the
manual says that the exchange did not work on the request; "please try again" alone does not say so.
"""

from __future__ import annotations

import orjson

from ..failures import ErrorBody, Failures
from ..order_codec import Refusal

# A code that is not here is REJECTED: an explicit no
SORTS = {
    # error/code.md, General Class and API Class; error/code/websocket.md
    Refusal.BUSY: """50011 50040 50061 51113 60014 60023""",  # rate limits: too many requests, too frequent
    Refusal.CLOCK: """50102 60004 60006""",  # the timestamp of the request is too old, or none
    Refusal.KEY: """50030 50035 50100 50101 50103 50104 50105 50106 50107 50110 50111 50113 50114 50119 50120 50121
        60005 60007 60009 60011 60024 60032""",
    # 50004, 51149: "does not mean that the request was successful or failed"; the others are errors and timeouts inside
    # the exchange, and the manual does not say what became of the request. 50042 is "Repeated request".
    Refusal.UNKNOWN: """50001 50004 50013 50026 50042 51054 51149 51412 64007""",
    # Trade Class: filled, canceled or never there; a cancel of such an order is to be followed by a query
    Refusal.NOT_THERE: """51063 51400 51401 51402 51410 51503 51509 51510 51603""",
    Refusal.DUPLICATE: """50071 51016""",  # clOrdId already exists
}
CODES = {code: sort for sort, codes in SORTS.items() for code in codes.split()}


def error_body(body: bytes) -> ErrorBody | None:
    """Read {"code":"51001","msg":..}; "0" is success."""
    try:
        read = orjson.loads(body)
        code, reason = read["code"], read["msg"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    if not isinstance(code, str) or not isinstance(reason, str) or code in ("", "0"):
        return None
    return ErrorBody(code, reason, None, read.get("data"))


# The manual names no time to wait. Nearly all limits are of two seconds.
FAILURES = Failures(error_body, CODES, waits_s={429: 2.0}, max_wait_s=600.0, in_success=True)
