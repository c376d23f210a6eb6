"""Classifies Binance's refusals by status, by code, and by text where one code has several meanings.

A 409 answers a cancel-replace that was half done: `BinanceTrading.reply` reads the two halves first.

Source: rest-api.md, HTTP Return Codes; web-socket-api.md, Status codes; errors.md; all read 2026-11-22.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...model.time import MILLISECOND_NS
from ..failures import ErrorBody, Failures, coded, extractor
from ..limit_answers import BAN, LONGEST_BAN_S, LONGEST_S, Cost, Hit, LimitAnswer, by_status
from ..order_codec import Refusal
from ..reading import plain_count

# errors.md; a code that is not here is REJECTED: an explicit no
CODES = coded(
    {
        # UNKNOWN, DISCONNECTED (internal error), UNEXPECTED_RESP ("Execution status unknown."), TIMEOUT
        Refusal.UNKNOWN: "-1000 -1001 -1006 -1007",
        # TOO_MANY_REQUESTS, SERVER_BUSY (as a 5xx it leaves the outcome unknown), TOO_MANY_ORDERS,
        # SERVICE_SHUTTING_DOWN, TOO_MANY_CONNECTIONS
        Refusal.BUSY: "-1003 -1008 -1015 -1016 -1034",
        Refusal.CLOCK: "-1021",  # INVALID_TIMESTAMP: outside of the recvWindow, or 1000 ms ahead
        # UNAUTHORIZED, INVALID_SIGNATURE, BAD_API_KEY_FMT, REJECTED_MBX_KEY (key, address or permissions)
        Refusal.KEY: "-1002 -1022 -2014 -2015",
        Refusal.NO_PAIR: "-1121",  # BAD_SYMBOL
        Refusal.NOT_THERE: "-2011 -2013",  # CANCEL_REJECTED: the order may be gone, see STILL_THERE; NO_SUCH_ORDER
    }
)
ENGINE = ("-1010", "-2010", "-2011", "-2038")  # errors.md: codes that carry the matching engine's own texts
# Texts that refuse a cancel and leave the order unchanged. With any other text of -2011 the order may be gone: query.
STILL_THERE = (
    "Market is closed.",
    "This action is disabled on this account.",
    "This account may not place or cancel orders.",
    "Cancel order is invalid. Check origClOrdId and orderId.",
    "This symbol is not permitted for this account.",
    "This symbol is restricted for this account.",
    "Order was not canceled due to cancel restrictions.",
    "Rest API trading is not enabled.",
    "WebSocket API trading is not enabled.",
)
TEXTS = {  # errors.md, Messages for -1010, -2010, -2011 and -2038
    **{("-2011", text): Refusal.REJECTED for text in STILL_THERE},
    **{(code, "Unknown order sent."): Refusal.NOT_THERE for code in ENGINE},
    **{(code, "Duplicate order sent."): Refusal.DUPLICATE for code in ENGINE},
}


# errors.md, -1003 TOO_MANY_REQUESTS: "Way too much request weight used; IP banned until %s.", in milliseconds
BANNED = re.compile(r"banned until (?P<ms>[0-9]{13})(?![0-9])", re.ASCII)


@extractor
def error_body(read: Any) -> ErrorBody | None:
    """Read {"code":..,"msg":..}; the websocket API adds when to retry, as two times in milliseconds. The text of a ban
    names its end."""
    code, reason, data = str(int(read["code"])), str(read["msg"]), read.get("data")
    until, now = (data.get(name) if isinstance(data, dict) else None for name in ("retryAfter", "serverTime"))
    wait_s = (until - now) / 1000 if type(until) is int and type(now) is int else None
    banned = BANNED.search(reason)
    until_ns = None if banned is None else int(banned["ms"]) * MILLISECOND_NS
    return ErrorBody(code, reason, wait_s, data, until_ns)


def limit_answer(status: int, headers: Mapping[str, str], body: bytes, cost: Cost) -> LimitAnswer:
    """Read statuses, and how long to wait: from `Retry-After`, or else from the body.

    Source: rest-api.md, IP Limits; errors.md, -1003, read 2026-11-28.
    """
    answer = by_status(status, headers, body, cost)
    if answer.hit is None or plain_count(headers.get("retry-after", "")):
        return answer
    error = error_body(body)
    if error is None:
        return answer
    if error.wait_s is not None and error.wait_s > 0:
        return LimitAnswer(Hit(min(error.wait_s, LONGEST_BAN_S if status == BAN else LONGEST_S)))
    return LimitAnswer(replace(answer.hit, until_ns=error.until_ns))


FAILURES = Failures(
    extract=error_body,
    codes=CODES,
    texts=TEXTS,
    waits_s={429: 60.0, 418: 120.0, 403: 60.0},  # 418: a ban lasts two minutes at least; 403: a firewall rule
    bans_s={BAN: LONGEST_BAN_S},  # rest-api.md, IP Limits: bans last up to three days
)
