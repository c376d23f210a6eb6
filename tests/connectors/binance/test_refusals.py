"""The meaning of each refusal by status, code and text. Source: errors.md, rest-api.md HTTP Return Codes,
2026-11-22."""

from __future__ import annotations

import json

import orjson
import pytest

from tests.fakes.captures import captures
from venuemesh.connectors.binance import CONNECTOR
from venuemesh.connectors.binance.refusals import CODES, FAILURES
from venuemesh.connectors.order_codec import Refusal
from venuemesh.model.errors import Misconfigured, OutcomeUnknown, Rejected, RetryLater
from venuemesh.model.http import HttpResponse

R = Refusal


def typed(status: int, code: int | None = None, text: str = "words", changes: bool = True, **more):
    headers = more.pop("headers", {})
    body = b"<html>" if code is None else orjson.dumps({"code": code, "msg": text} | more)
    return FAILURES.failure(HttpResponse(status, headers, body, 1, 2), changes, "POST /api/v3/order")


@pytest.mark.parametrize(
    ("code", "text", "sort"),
    [
        ("-2010", "Account has insufficient balance for requested action.", R.REJECTED),
        ("-2010", "Duplicate order sent.", R.DUPLICATE),
        ("-2010", "Order would immediately match and take.", R.REJECTED),
        ("-2010", "Market is closed.", R.REJECTED),
        ("-2010", "anything else", R.REJECTED),
        ("-2011", "Unknown order sent.", R.NOT_THERE),
        ("-2011", "Order was not canceled due to cancel restrictions.", R.REJECTED),
        ("-2011", "This account may not place or cancel orders.", R.REJECTED),
        ("-2011", "a text that the manual does not have", R.NOT_THERE),  # perhaps it is gone: query
        ("-2011", "", R.NOT_THERE),
        ("-2038", "Order amend (quantity increase) is not supported.", R.REJECTED),
        ("-2038", "Unknown order sent.", R.NOT_THERE),
        ("-1010", "Unknown order sent.", R.NOT_THERE),
        ("-2013", "Order does not exist.", R.NOT_THERE),
        ("-1013", "Filter failure: LOT_SIZE", R.REJECTED),
        ("-1021", "Timestamp for this request is outside of the recvWindow.", R.CLOCK),
        ("-1021", "Timestamp for this request was 1000ms ahead of the server's time.", R.CLOCK),
        ("-1022", "Signature for this request is not valid.", R.KEY),
        ("-2014", "API-key format invalid.", R.KEY),
        ("-2015", "Invalid API-key, IP, or permissions for action.", R.KEY),
        ("-1003", "Too many requests queued.", R.BUSY),
        ("-1015", "Too many new orders.", R.BUSY),
        ("-1008", "Server is currently overloaded with other requests.", R.BUSY),
        ("-1006", "Execution status unknown.", R.UNKNOWN),
        ("-1007", "Timeout waiting for response from backend server.", R.UNKNOWN),
        ("-1121", "Invalid symbol.", R.NO_PAIR),
        ("-9999", "of tomorrow", R.REJECTED),
    ],
)
def test_codes_and_texts(code, text, sort):
    assert FAILURES.refusal(code, text) is sort
    assert CONNECTOR.trading().refusal(code, text) is sort


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (typed(200), None),
        (typed(400, -2010), Rejected),
        (typed(400, -1021), Rejected),
        (typed(401, -2015), Misconfigured),
        (typed(400, -1022), Misconfigured),
        (typed(429, -1003), RetryLater),
        (typed(429, -1015), RetryLater),
        (typed(418, -1003), RetryLater),
        (typed(403), RetryLater),
        (typed(400, -1008), RetryLater),
        # 5xx: never a failure, with any text; the manual makes no exception (rest-api.md, HTTP Return Codes)
        (typed(500), OutcomeUnknown),
        (typed(502), OutcomeUnknown),
        (typed(503, -1008, "Server is currently overloaded with other requests."), OutcomeUnknown),
        (typed(503, -1016), OutcomeUnknown),
        (typed(504, -1007), OutcomeUnknown),
        (typed(500, -2010), OutcomeUnknown),
        # the exchange says that it does not know
        (typed(400, -1007), OutcomeUnknown),
        (typed(400, -1006), OutcomeUnknown),
        (typed(400, -1000), OutcomeUnknown),
        (typed(400, -1001), OutcomeUnknown),
        # the sender of the answer is unknown
        (typed(400), OutcomeUnknown),
        (typed(408), OutcomeUnknown),
        (typed(302), OutcomeUnknown),
        # a read is harmless to repeat
        (typed(503, changes=False), RetryLater),
        (typed(400, -1007, changes=False), RetryLater),
        (typed(408, changes=False), RetryLater),
        (typed(400, -2013, changes=False), Rejected),
    ],
)
def test_unknown_outcomes(error, kind):
    assert type(error) is (kind or type(None))


def test_how_long_to_wait():
    assert typed(429, -1003, headers={"retry-after": "7"}).after_s == 7
    assert typed(429, -1003).after_s == 60
    assert typed(418, -1003).after_s == 120
    assert typed(418, -1003, data={"serverTime": 1659142907531, "retryAfter": 1659146400000}).after_s == 3492.469
    assert typed(429, -1003, headers={"retry-after": "-7"}).after_s == 60
    assert typed(429, -1003, headers={"retry-after": "9" * 18}).after_s == 600
    assert typed(418, -1003, headers={"retry-after": "9" * 18}).after_s == 3 * 86_400
    assert typed(429, -1003, headers={"retry-after": "9" * 30}).after_s == 60
    assert typed(429, -1003, data={"serverTime": 5, "retryAfter": 1}).after_s == 60


@pytest.mark.parametrize("body", [b"null", b"[]", b'{"code":"x","msg":"y"}', b'{"code":1.5}', b'{"msg":"y"}', b"\xff"])
def test_a_body_that_is_no_error(body):
    assert type(FAILURES.failure(HttpResponse(400, {}, body, 1, 2), True, "x")) is OutcomeUnknown


# How another client sorts the same codes, and what it means here
KINDS = {
    "AuthenticationError": {R.KEY},
    "PermissionDenied": {R.KEY, R.REJECTED},
    "BadSymbol": {R.NO_PAIR, R.REJECTED},
    "RateLimitExceeded": {R.BUSY},
    "OrderNotFound": {R.NOT_THERE},
    "RequestTimeout": {R.UNKNOWN},
    "OperationFailed": {R.UNKNOWN},
}
# Where we differ on purpose
DIFFERENT = {
    "-1010": "ERROR_MSG_RECEIVED: the matching engine's texts decide (errors.md), and it is an explicit no",
    "-1099": "not in the manual of today: an explicit no of an unknown sort",
    "-2026": "the order is known and ended; an answer to a query says so, and it is no refusal of a placing",
}


def test_how_another_client_sorts_spot_codes():
    """Codes -10xx, -11xx and -20xx are spot's; all others are of products that this connector does not trade."""
    recorded = json.loads((captures("binance") / "errors.json").read_text())["exact_code_or_text"]
    different = set()
    compared = 0
    for code, kind in recorded.items():
        if not code.startswith(("-10", "-11", "-20")) or len(code) != 5:
            continue
        compared += 1
        expected = KINDS.get(kind, {R.REJECTED})
        if FAILURES.refusal(code) not in expected:
            different.add(code)
    assert compared > 20
    assert different == set(DIFFERENT) - {"-2026"}
    assert CODES["-1007"] is R.UNKNOWN


def test_texts_known_to_another_client():
    recorded = json.loads((captures("binance") / "errors.json").read_text())["exact_code_or_text"]
    for text in ("Order would immediately match and take.", "Order would trigger immediately."):
        assert recorded[text] == "OrderImmediatelyFillable"
        assert FAILURES.refusal("-2010", text) is R.REJECTED
