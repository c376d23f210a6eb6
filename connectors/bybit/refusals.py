"""Classifies Bybit's refusals: HTTP statuses, and codes that come with status 200.

Source: error.mdx and rate-limit/rate-limit.mdx of bybit-exchange/docs, docs/v5, read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..failures import ErrorBody, Failures, coded, extractor
from ..limit_answers import Cost, Hit, LimitAnswer, retry_after_s
from ..order_codec import Refusal
from ..reading import plain_count

REQUESTS = "requests"  # the limit that all requests of an IP share; each endpoint of an account also has a limit
TOO_MANY = "10006"
WINDOW_S, LONGEST_S = 1.0, 60.0

# error.mdx
CODES = {
    "-1": Refusal.UNKNOWN,  # request expired; the manual does not state where
    "-2015": Refusal.KEY,  # (Spot) Your api key has expired
    "33004": Refusal.KEY,  # (Derivatives) Your api key has expired
    "429": Refusal.BUSY,  # the trading service is experiencing a high server load, please retry
    "10000": Refusal.UNKNOWN,  # Server Timeout
    "10002": Refusal.CLOCK,  # the request time exceeds the time window range
    "10003": Refusal.KEY,  # API key is invalid
    "10004": Refusal.KEY,  # error sign
    "10005": Refusal.KEY,  # permission denied
    "10006": Refusal.BUSY,  # too many visits
    "10007": Refusal.KEY,  # user authentication failed
    "10010": Refusal.KEY,  # unmatched IP
    "10014": Refusal.UNKNOWN,  # invalid duplicate request: the earlier request may have been executed
    "10016": Refusal.UNKNOWN,  # server error, or the service is restarting
    "10018": Refusal.BUSY,  # exceeded the IP rate limit; crossed out in the manual
    "10019": Refusal.BUSY,  # the trade service is restarting, does not accept new requests
    "10403": Refusal.BUSY,  # websocket/trade/guideline.mdx: exceed IP rate limit
    "10404": Refusal.REJECTED,  # same: no such op or category
    "10429": Refusal.BUSY,  # system level frequency protection
    "20003": Refusal.BUSY,  # too frequent requests under the same session
    "40004": Refusal.UNKNOWN,  # the order is modified during the process of replacing, check the order status again
    "110001": Refusal.NOT_THERE,  # order does not exist
    "110008": Refusal.NOT_THERE,  # the order has been completed or cancelled
    "110010": Refusal.NOT_THERE,  # the order has been cancelled
    "110072": Refusal.DUPLICATE,  # OrderLinkedID is duplicate
    "110079": Refusal.BUSY,  # the order is processing and can not be operated, please try again later
    "170001": Refusal.UNKNOWN,  # internal error
    "170005": Refusal.BUSY,  # too many new orders
    "170007": Refusal.UNKNOWN,  # timeout waiting for response from backend server
    "170032": Refusal.UNKNOWN,  # network error
    "170035": Refusal.UNKNOWN,  # submitted to the system for processing
    "170139": Refusal.NOT_THERE,  # order has been filled
    "170141": Refusal.DUPLICATE,  # duplicate clientOrderId
    "170142": Refusal.NOT_THERE,  # order has been cancelled
    "170143": Refusal.NOT_THERE,  # cannot be found on order book
    "170146": Refusal.UNKNOWN,  # order creation timeout
    "170147": Refusal.UNKNOWN,  # order cancellation timeout
    "170190": Refusal.NOT_THERE,  # cancel order has been finished
    "170191": Refusal.BUSY,  # can not cancel order, please try again later
    "170212": Refusal.UNKNOWN,  # cancel order request processing
    "170213": Refusal.NOT_THERE,  # order does not exist
    "170222": Refusal.BUSY,  # too many requests in this time frame
    "170234": Refusal.UNKNOWN,  # system error
    "170310": Refusal.UNKNOWN,  # order modification timeout
}
# All other codes that error.mdx lists for spot are an explicit no. An unlisted code may mean anything
LISTED = """
    10000-10010 10014 10016-10018 10024 10027-10029 20096 170001 170005 170007 170010-170011 170019 170031-170037
    170105 170115-170117 170121 170124 170130-170134 170136-170137 170139-170151 170157 170159 170190-170204
    170206-170207 170209-170210 170212-170213 170215-170224 170226-170230 170234 170241 170310-170313 170341 170344
    170346 170348 170355 170358-170360 170371-170372 170381-170382 170709 170810
"""
CODES = coded({}, LISTED) | CODES


@extractor
def error_body(read: Any) -> ErrorBody | None:
    """Read {"retCode":..,"retMsg":..,"time":..}, the time as `data`; None if the code is 0 (success) or missing."""
    code, reason, now_ms = read["retCode"], str(read["retMsg"]), read.get("time")
    if type(code) is not int or not code:
        return None
    return ErrorBody(str(code), reason, data=now_ms if type(now_ms) is int else None)


FAILURES = Failures(
    extract=error_body,
    codes=CODES,
    # rate-limit.mdx: 403 is a ban of the IP for at least 10 minutes; the manual does not explain 429 further
    waits_s={403: 600.0, 429: 5.0},
    max_wait_s=3600.0,
    in_success=True,
    unlisted=Refusal.UNKNOWN,
)


def limit_answer(status: int, headers: Mapping[str, str], body: bytes, cost: Cost) -> LimitAnswer:
    """Read the rest of an endpoint's limit, and whether a limit was hit. A code with status 200 reports an account's
    hit.

    Source: rate-limit.mdx (API Rate Limit), read 2026-11-27.
    """
    if status in FAILURES.waits_s:
        return LimitAnswer(Hit(retry_after_s(headers, FAILURES.waits_s[status])))
    own, left = tuple(name for name, _ in cost if name != REQUESTS), plain_count(headers.get("x-bapi-limit-status", ""))
    error = error_body(body) if TOO_MANY.encode() in body[:100] else None  # most bodies are not worth parsing
    hit = Hit(_until_reset_s(headers, error.data), own) if error is not None and error.code == TOO_MANY else None
    return LimitAnswer(hit, remaining={} if left is None else dict.fromkeys(own, left))


def _until_reset_s(headers: Mapping[str, str], now_ms: int | None) -> float:
    """Return the time until the limit resets by the exchange's clock; if unknown, the length of the window."""
    resets_ms = plain_count(headers.get("x-bapi-limit-reset-timestamp", ""))
    if resets_ms is None or now_ms is None:
        return WINDOW_S
    return min(max((resets_ms - now_ms) / 1000, 0.0), LONGEST_S)
