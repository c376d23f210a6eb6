"""Classifies Coinbase Exchange's refusals: an HTTP status and {"message": "..."}; there are no codes.

The code of a refusal is the beginning of its text that the tables below list, or the whole text. A 4xx is an explicit
no: the manual calls it a bad request. The manual lists no texts; these are known from ccxt 4.5.90 and the exchange's
own examples, so an unlisted text is an ordinary refusal. The trading codec also reads the status: 404 for an order
means that the exchange has no record of it, with any text.

Source: private_rest_api.md at 1ae34ec2 of rosssaunders/coincise, docs/coinbase/exchange (REST API Requests, Errors;
REST API Rate Limits), read 2026-11-28.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..failures import ErrorBody, Failures, extractor
from ..limit_answers import Cost, Hit, LimitAnswer, retry_after_s
from ..order_codec import Refusal

NOT_FOUND = "notfound"
BAD_PRODUCT = "is not a valid product"  # in a refusal by the websocket, after the product
TOKEN_S = 1.0  # every limit refills with several requests a second

SORTS = {  # beginnings of texts, in any case
    Refusal.BUSY: (
        "public rate limit exceeded",
        "private rate limit exceeded",
        "slow rate limit exceeded",
        "rate limit exceeded",
    ),
    Refusal.CLOCK: ("request timestamp expired", "invalid timestamp"),
    Refusal.KEY: (
        "invalid api key",
        "invalid signature",
        "invalid passphrase",
        "unauthorized",
        "forbidden",
        "cb-access-",  # "CB-ACCESS-KEY header is required"
    ),
    # A cancel of an order that is filled, cancelled or unknown
    Refusal.NOT_THERE: ("notfound", "not found", "order not found", "order already done"),
    Refusal.NO_PAIR: ("product not found", "productnotfound", "invalid product_id"),
    Refusal.DUPLICATE: ("duplicate client_oid",),  # a guess: the manual does not state that ids are checked
}
CODES = {beginning: sort for sort, beginnings in SORTS.items() for beginning in beginnings}


def code_of(text: str) -> str:
    """Return the listed beginning of a text, or the text."""
    lowered = text.lower()
    return next((code for code in CODES if lowered.startswith(code)), text)


@extractor
def error_body(read: Any) -> ErrorBody | None:
    """Read {"message": "NotFound"}."""
    message = read["message"]
    return ErrorBody(code_of(message), message) if isinstance(message, str) and message else None


FAILURES = Failures(extract=error_body, codes=CODES, waits_s={429: TOKEN_S})


def limit_answer(status: int, headers: Mapping[str, str], body: bytes, cost: Cost) -> LimitAnswer:
    """Read hits: a 429 is about the limits that the request spent, each a bucket that refills at once.

    Source: rest-api/rate-limits.md (How Rate Limits Work), read 2026-11-28.
    """
    if status != 429:
        return LimitAnswer()
    return LimitAnswer(Hit(retry_after_s(headers, TOKEN_S), tuple(name for name, _ in cost)))
