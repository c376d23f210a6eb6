"""Classifies OKX's error codes. Most come with status 200.

Source: error/code.md and error/code/websocket.md, read 2026-11-27. A code is harmless (BUSY, CLOCK) only where the
manual says that the exchange did not work on the request; "please try again" alone does not mean that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..failures import ErrorBody, Failures, coded, extractor
from ..limit_answers import Cost, Hit, LimitAnswer, retry_after_s
from ..order_codec import Refusal

PLACE, AMEND, BATCH_PLACE = "place", "amend", "batch_place"  # limits of the spec
TOO_MANY, ORDERS = "50011", "50061"
WINDOW_S = 2.0  # the window of nearly all limits

SORTS = {
    # error/code.md, General Class and API Class; error/code/websocket.md
    Refusal.BUSY: """50011 50040 50061 51113 60014 60023""",  # rate limits: too many requests, too frequent
    # The timestamp of the request is too old or missing; an order came after its `expTime`
    Refusal.CLOCK: """50036 50037 50102 60004 60006""",
    Refusal.KEY: """50030 50035 50100 50101 50103 50104 50105 50106 50107 50110 50111 50113 50114 50119 50120 50121
        60005 60007 60009 60011 60024 60032""",
    # 50004, 51149: "does not mean that the request was successful or failed"; the others are errors and timeouts inside
    # the exchange, and the manual does not state the outcome of the request. 50042 is "Repeated request".
    Refusal.UNKNOWN: """50001 50004 50013 50026 50042 51054 51149 51412 64007""",
    # Trade Class: filled, canceled or unknown; the mesh queries such an order after the cancel
    Refusal.NOT_THERE: """51063 51400 51401 51402 51410 51503 51509 51510 51603""",
    Refusal.NO_PAIR: """51001""",  # Instrument ID does not exist
    Refusal.DUPLICATE: """50071 51016""",  # clOrdId already exists
}
FAILED = "1"  # "Operation failed.": none of the orders of a request was accepted
ROWS_BYTES = 5_000  # the code of an answer to a batch that was refused in full
SOME_FAILED = (FAILED, "2")  # "Bulk operation partially succeeded."
# All other codes that the two pages list for trading are an explicit no. An unlisted code may mean anything
LISTED = """50000-50002 50004-50030 50032-50033 50035-50042 50044-50053 50055-50064 50067 50069 50071-50072 50075-50077
    50100-50116 50118-50122 51000-51012 51014-51044 51046-51059 51063 51065-51066 51068-51096 51098-51113 51115-51117
    51120-51140 51142-51144 51147-51150 51152-51156 51158-51159 51162-51171 51173-51182 51185-51187 51192-51197
    51201-51207 51209-51214 51220-51226 51250-51265 51267-51295 51298-51300 51302-51313 51317 51320-51333 51340-51359
    51370 51380-51413 51415-51416 51500-51503 51505-51514 51521-51532 51536-51539 51543 51600-51608 51610-51611
    51620-51621 51625 51720-51739 51750-51774 51784-51785 51820-51825 54000-54001 54004-54009 54011-54012 54018-54019
    54024-54031 54035-54036 54039-54049 54051 54070-54075 54078-54079 54092 54094 60004-60009 60011-60014 60018-60019
    60023-60024 60026-60028 60031-60033 63999-64004 64007-64008"""
CODES = coded(SORTS, LISTED)


@extractor
def error_body(read: Any) -> ErrorBody | None:
    """Read {"code":"51001","msg":..}; "0" is success.

    If a request has one order, its row states the error. If it has several, each row states the error of its order,
    and the answer as a whole is not an error.
    """
    code, reason = read["code"], read["msg"]
    if not isinstance(code, str) or not isinstance(reason, str) or code in ("", "0"):
        return None
    data = read.get("data")
    if code in SOME_FAILED and isinstance(data, list) and len(data) > 1:
        return None
    if code == FAILED and isinstance(data, list) and data and isinstance(data[0], dict):
        own, words = data[0].get("sCode"), data[0].get("sMsg")
        if isinstance(own, str) and isinstance(words, str) and own not in ("", "0"):
            code, reason = own, words
    return ErrorBody(code, reason, None, data)


# The manual names no time to wait. Nearly all limits are of two seconds.
FAILURES = Failures(error_body, CODES, waits_s={429: 2.0}, in_success=True, unlisted=Refusal.UNKNOWN)


def limit_answer(status: int, headers: Mapping[str, str], body: bytes, cost: Cost) -> LimitAnswer:
    """Read hits: of the endpoint (50011, with status 200 or 429), and of all new and amended orders of an account, over
    all its pairs (50061).

    Source: overview/rate/limits.md, limits-sub-account-rate-limit.md; error/code.md, read 2026-11-27.
    """
    error = error_body(body) if TOO_MANY.encode() in body[:200] or ORDERS.encode() in body[:200] else None
    code = None if error is None else error.code
    if code == ORDERS or f'"{ORDERS}"'.encode() in body[:ROWS_BYTES]:
        return LimitAnswer(Hit(WINDOW_S, (PLACE, AMEND, BATCH_PLACE), of_account=True))
    if code == TOO_MANY or status == 429:
        return LimitAnswer(Hit(retry_after_s(headers, WINDOW_S), tuple(name for name, _ in cost)))
    return LimitAnswer()
