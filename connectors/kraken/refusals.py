"""Classifies Kraken's errors. They are texts, and come with HTTP status 200 in a list `error`.

A code is the part of the text before its second colon: "EGeneral:Invalid arguments" stands for "EGeneral:Invalid
arguments:price". Only codes that the manual explains count as harmless: after any other code the outcome of the request
is unknown.

Source: guides/spot-errors and guides/spot-rest-ratelimits of docs.kraken.com; error-handling.md of
krakenfx/kraken-api-sdk, the exchange's own guide, at the codes marked so; all read 2026-11-27.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..failures import ErrorBody, Failures, extractor
from ..limit_answers import Cost, Hit, LimitAnswer, by_status
from ..order_codec import Refusal

TRANSACTIONS = "transactions"  # the engine's counter of an account and pair
PAUSE_S = 5.0  # guides/spot-rest-ratelimits: "restricted for a few seconds"

CODE = re.compile(r"(E[A-Za-z]+): ?([^:]+)")

_KEY = ("EAPI:Invalid key", "EAPI:Invalid signature", "EGeneral:Permission denied", "EAccount:Invalid permissions")
_KEY_TOO = ("EAuth:Account temporary disabled", "EAuth:Account unconfirmed")
# Not executed, and may be signed again. The last two are from error-handling.md: the token is old, a new one is needed.
_CLOCK = ("EService:Deadline elapsed", "ESession:Invalid session", "EAPI:Invalid token")
BUSY = (
    "EAPI:Rate limit exceeded",
    "EOrder:Rate limit exceeded",
    "EOrder:Domain rate limit exceeded",
    "EAuth:Rate limit exceeded",
    "EAuth:Too many requests",
    "EGeneral:Temporary lockout",
    "EService:Throttled",
)
# The engine or the interface did not answer: the request may still be executed. Only the first two are in the manual;
# the others are known from ccxt 4.5.90.
_UNKNOWN = (
    "EGeneral:Internal error",
    "EService:Unavailable",
    "EService:Busy",
    "EService:Timeout",
    "EGeneral:Too many requests",
    "ETrade:User Locked",
    "EFunding:Invalid amount",
    "EFunding:No funding method",
    "EFunding:Unknown asset",
)
_NO = (
    "EGeneral:Invalid arguments",
    "EQuery:Unknown asset",
    "EService:Market in cancel_only mode",
    "EService:Market in post_only mode",
    "EOrder:Cannot open opposing position",
    "EOrder:Cannot open position",
    "EOrder:Margin allowance exceeded",
    "EOrder:Margin level too low",
    "EOrder:Margin position size exceeded",
    "EOrder:Insufficient margin",
    "EOrder:Insufficient funds",
    "EOrder:Order minimum not met",
    "EOrder:Cost minimum not met",
    "EOrder:Tick size check failed",
    "EOrder:Orders limit exceeded",
    "EOrder:Scheduled orders limit exceeded",
    "EOrder:Positions limit exceeded",
    "EOrder:Invalid price",
    "EOrder:Reduce only",
    "EOrder:Unknown position",
    "ETrade:Invalid request",
    "EBM:limit exceeded",
    "EFunding:Max fee exceeded",
)
CODES = {
    **dict.fromkeys((*_KEY, *_KEY_TOO), Refusal.KEY),
    **dict.fromkeys(_CLOCK, Refusal.CLOCK),
    **dict.fromkeys(BUSY, Refusal.BUSY),
    **dict.fromkeys(_UNKNOWN, Refusal.UNKNOWN),
    **dict.fromkeys(_NO, Refusal.REJECTED),
    "EQuery:Unknown asset pair": Refusal.NO_PAIR,  # not in the manual; an answer to reads only
    "EAPI:Invalid nonce": Refusal.NONCE,
    # error-handling.md: a cancel of an order that has ended or never existed
    "EOrder:Invalid order": Refusal.NOT_THERE,
    "EOrder:Unknown order": Refusal.NOT_THERE,  # websocket-v1/cancelorder
}


def code_of(text: str) -> str:
    """Return the code of an error's text: the part before a second colon."""
    match = CODE.match(text)
    return text if match is None else f"{match[1]}:{match[2].rstrip()}"


@extractor
def error_body(read: Any) -> ErrorBody | None:
    """Read the first error of {"error":[...]}; a text that begins with W is a warning."""
    texts = read["error"]
    found = next((text for text in texts if not text.startswith("W")), None) if isinstance(texts, list) else None
    return ErrorBody(code_of(found), found) if found else None


FAILURES = Failures(extract=error_body, codes=CODES, in_success=True, unlisted=Refusal.UNKNOWN)


def limit_answer(status: int, headers: Mapping[str, str], body: bytes, cost: Cost) -> LimitAnswer:
    """Read hits: of the engine's counter of the pair for an order, else of the limits that the request spent.

    Source: guides/spot-rest-ratelimits and guides/spot-ratelimits, read 2026-11-27. The pages do not state what else
    such an error counts against, and do not mention HTTP 429, which counts for the egress.
    """
    error = error_body(body) if b'"E' in body[:100] else None
    if error is None or error.code not in BUSY:
        return by_status(status, headers, body, cost)
    names = tuple(name for name, _ in cost)
    is_order = error.code.startswith("EOrder:") and TRANSACTIONS in names
    return LimitAnswer(Hit(PAUSE_S, (TRANSACTIONS,) if is_order else names))
