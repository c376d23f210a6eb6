"""Classifies Bybit's refusals: HTTP statuses, and codes that come with status 200.

Source: error.mdx and rate-limit/rate-limit.mdx of bybit-exchange/docs, docs/v5, read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..failures import ErrorBody, Failures, coded, extractor
from ..limit_answers import LONGEST_S, Cost, Hit, LimitAnswer, retry_after_s
from ..order_codec import Refusal
from ..reading import plain_count

REQUESTS = "requests"  # the limit that all requests of an IP share; each endpoint of an account also has a limit
TOO_MANY = "10006"
WINDOW_S, LONGEST_WINDOW_S = 1.0, 60.0

SORTS = {  # error.mdx; "trade": websocket/trade/guideline.mdx
    # Rate limits: 10006, 10018 (crossed out), 10403 (trade), 10429, 20003, 170005, 170222. Retry: 429 (server load),
    # 10019 (the trade service restarts), 110079 (the order is processing), 170191 (a cancel)
    Refusal.BUSY: "429 10006 10018 10019 10403 10429 20003 110079 170005 170191 170222",
    Refusal.CLOCK: "10002",  # the request time exceeds the time window range
    # Expired: -2015 (spot), 33004 (derivatives). Invalid key, signature, permission, user or IP: the others
    Refusal.KEY: "-2015 33004 10003 10004 10005 10007 10010",
    # Timeouts and errors of the exchange; -1: expired, the manual does not state where; 10014: a repeated request, of
    # which the earlier one may have been executed; 40004: the order was modified meanwhile, "check again"; 170035 and
    # 170212: submitted, processing
    Refusal.UNKNOWN: """-1 10000 10014 10016 40004 170001 170007 170032 170035 170146 170147 170212 170234 170310""",
    # Does not exist, filled, cancelled, completed, not found on the book
    Refusal.NOT_THERE: "110001 110008 110010 170139 170142 170143 170190 170213",
    Refusal.NO_PAIR: "170121 10029",  # Invalid symbol; the requested symbol is not whitelisted
    Refusal.DUPLICATE: "110072 170141",  # orderLinkId is a duplicate
    Refusal.REJECTED: "10404",  # trade: no such op or category
}
# All other codes that error.mdx lists for spot are an explicit no. An unlisted code may mean anything
LISTED = """
    10000-10010 10014 10016-10018 10024 10027-10029 20096 170001 170005 170007 170010-170011 170019 170031-170037
    170105 170115-170117 170121 170124 170130-170134 170136-170137 170139-170151 170157 170159 170190-170204
    170206-170207 170209-170210 170212-170213 170215-170224 170226-170230 170234 170241 170310-170313 170341 170344
    170346 170348 170355 170358-170360 170371-170372 170381-170382 170709 170810
"""
CODES = coded(SORTS, LISTED)


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
    bans_s={403: 3600.0},
    in_success=True,
    unlisted=Refusal.UNKNOWN,
)


def limit_answer(status: int, headers: Mapping[str, str], body: bytes, cost: Cost) -> LimitAnswer:
    """Read the rest of an endpoint's limit, and whether a limit was hit. A code with status 200 reports an account's
    hit.

    Source: rate-limit.mdx (API Rate Limit), read 2026-11-27.
    """
    if status in FAILURES.waits_s:
        return LimitAnswer(
            Hit(retry_after_s(headers, FAILURES.waits_s[status], FAILURES.bans_s.get(status, LONGEST_S)))
        )
    own, left = tuple(name for name, _ in cost if name != REQUESTS), plain_count(headers.get("x-bapi-limit-status", ""))
    error = error_body(body) if TOO_MANY.encode() in body[:100] else None  # most bodies are not worth parsing
    hit = Hit(_until_reset_s(headers, error.data), own) if error is not None and error.code == TOO_MANY else None
    return LimitAnswer(hit, remaining={} if left is None else dict.fromkeys(own, left))


def _until_reset_s(headers: Mapping[str, str], now_ms: int | None) -> float:
    """Return the time until the limit resets by the exchange's clock; if unknown, the length of the window."""
    resets_ms = plain_count(headers.get("x-bapi-limit-reset-timestamp", ""))
    if resets_ms is None or now_ms is None:
        return WINDOW_S
    return min(max((resets_ms - now_ms) / 1000, 0.0), LONGEST_WINDOW_S)
