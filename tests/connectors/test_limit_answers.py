"""Limits in answers: hits by status, code and header; only numbers in plain digits count."""

from __future__ import annotations

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.context import context_of
from venuemesh.actors.limits.budget import Budget
from venuemesh.connectors import binance, bybit, coinbase, htx, kraken, okx
from venuemesh.connectors.binance.refusals import FAILURES
from venuemesh.connectors.limit_answers import Hit, retry_after_s
from venuemesh.model.errors import RetryLater
from venuemesh.model.http import HttpResponse

BINANCE_US = binance.BINANCE_US
BINANCE, BYBIT, KRAKEN, OKX = binance.CONNECTOR, bybit.CONNECTOR, kraken.CONNECTOR, okx.CONNECTOR
COINBASE = coinbase.CONNECTOR
ODD = ["", "-1", "1.5", "1e3", "\u0663", "9" * 20, "9" * 5000, "many"]


@pytest.mark.parametrize("text", ODD)
def test_a_delay_that_is_not_a_plain_number_is_ignored(text: str):
    assert retry_after_s({"retry-after": text}, 7.0) == 7.0


def test_a_delay_is_capped():
    assert retry_after_s({"retry-after": "9" * 18}, 7.0) == 600.0
    assert retry_after_s({"retry-after": "9" * 18}, 7.0, 3600.0) == 3600.0
    assert retry_after_s({"retry-after": "0"}, 7.0) == 7.0
    assert retry_after_s({}, 7.0) == 7.0


@pytest.mark.parametrize(
    ("from_now_s", "wait_s"),
    [(300, 302.0), (0.5, 2.5), (0, 120.0), (-86_400, 120.0), (30 * 86_400, 3 * 86_400.0)],
)
async def test_a_ban_lasts_until_the_time_in_its_text(from_now_s: float, wait_s: float):
    """With two seconds for the difference of the clocks, and at most three days; a time that has passed is no time."""
    clock = FakeClock()
    until_ms = int((clock.time_ns() / 1e9 + from_now_s) * 1000)
    body = BANNED.replace(b"1659142907531", b"%d" % until_ms)
    budget = Budget(context_of("catalog/acme", clock), BINANCE.spec, "binance", "default")
    assert budget.read(418, {}, body).hit == Hit(pytest.approx(wait_s, abs=0.01))
    response = HttpResponse(418, {}, body, clock.time_ns(), clock.time_ns())
    for failure in (BINANCE.codec().failure(response), FAILURES.failure(response, False, "a query")):
        assert isinstance(failure, RetryLater)
        assert failure.after_s == pytest.approx(wait_s, abs=0.01)


@pytest.mark.parametrize("text", ODD)
async def test_a_count_that_is_not_a_plain_number_is_ignored(text: str):
    budget = Budget(context_of("catalog/acme"), BINANCE.spec, "binance", "default")
    assert budget.read(200, {"x-mbx-used-weight-1m": text}).used == {}
    assert budget.read(200, {"x-mbx-used-weight-1m": "12"}).used == {"weight": 12}
    assert BYBIT.spec.limit_answer(200, {"x-bapi-limit-status": text}, b"", (("place", 1),)).remaining == {}


# The exchange's text in errors.md, -1003 TOO_MANY_REQUESTS
BANNED = b'{"code":-1003,"msg":"Way too much request weight used; IP banned until 1659142907531. Please use WebSocket"}'


@pytest.mark.parametrize("connector", [BINANCE, BINANCE_US, BYBIT, COINBASE, htx.CONNECTOR, KRAKEN, OKX])
@pytest.mark.parametrize("digits", [18, 20, 5000])
def test_no_header_stops_a_book_for_long(connector, digits: int):
    response = HttpResponse(429, {"retry-after": "9" * digits}, b"slow", 0, 0)
    failure = connector.codec().failure(response)
    assert isinstance(failure, RetryLater)
    assert 1.0 <= failure.after_s <= 600.0
    assert "Retry-After: 999" in str(failure)  # the cause is shown
    assert len(str(failure)) < 200


PLACE = (("place", 1),)
TRANSACTION, CALL = (("transactions", 1),), (("key_calls", 1),)


@pytest.mark.parametrize(
    ("connector", "status", "headers", "body", "cost", "hit"),
    [
        (BINANCE, 429, {}, b'{"code":-1003,"msg":"Too many requests."}', (("weight", 1),), Hit(60.0)),
        (BINANCE, 418, {"retry-after": "7"}, b"", (("weight", 1),), Hit(7.0)),
        (BINANCE, 418, {}, b"", (), Hit(120.0)),
        (BINANCE, 403, {}, b"", (("weight", 1),), None),
        (BINANCE, 418, {}, BANNED, (), Hit(120.0, until_ns=1_659_142_907_531_000_000)),
        (BINANCE, 418, {"retry-after": "7"}, BANNED, (), Hit(7.0)),
        (BINANCE, 418, {"retry-after": "soon"}, BANNED, (), Hit(120.0, until_ns=1_659_142_907_531_000_000)),
        (BINANCE_US, 429, {}, BANNED, (), Hit(60.0, until_ns=1_659_142_907_531_000_000)),
        (BINANCE, 418, {}, BANNED.replace(b"531.", b"5310000."), (), Hit(120.0)),  # no time of thirteen digits
        (
            BINANCE,
            418,
            {},
            b'{"code":-1003,"msg":"banned","data":{"serverTime":1659142907531,"retryAfter":1659142937531}}',
            (),
            Hit(30.0),
        ),
        (OKX, 200, {}, b'{"code":"50011","msg":"Rate limit reached"}', PLACE, Hit(2.0, ("place",))),
        (OKX, 429, {}, b'{"code":"50011","msg":"Too Many Requests"}', (("books", 1),), Hit(2.0, ("books",))),
        (OKX, 429, {}, b"", (), Hit(2.0)),
        (
            OKX,
            200,
            {},
            b'{"code":"50061","msg":"order rate limit"}',
            PLACE,
            Hit(2.0, ("place", "amend", "batch_place"), of_account=True),
        ),
        (
            OKX,
            200,
            {},
            b'{"code":"1","data":[{"sCode":"50061","sMsg":"order rate limit"}],"msg":""}',
            PLACE,
            Hit(2.0, ("place", "amend", "batch_place"), of_account=True),
        ),
        (OKX, 200, {}, b'{"code":"0","msg":"","data":[{"ordId":"50011"}]}', PLACE, None),
        (KRAKEN, 200, {}, b'{"error":["EOrder:Rate limit exceeded"]}', TRANSACTION, Hit(5.0, ("transactions",))),
        (KRAKEN, 200, {}, b'{"error":["EAPI:Rate limit exceeded"]}', CALL, Hit(5.0, ("key_calls",))),
        (KRAKEN, 200, {}, b'{"error":["EOrder:Insufficient funds"]}', TRANSACTION, None),
        (KRAKEN, 200, {}, b'{"error":[],"result":{}}', CALL, None),
        (KRAKEN, 429, {}, b"", CALL, Hit(60.0)),
        # only a ban is longer than ten minutes
        *(
            (one, 429, {"retry-after": "9" * 18}, b"", (), Hit(600.0))
            for one in (BINANCE, BINANCE_US, KRAKEN, BYBIT, OKX)
        ),
        (BINANCE, 418, {"retry-after": "9" * 18}, b"", (), Hit(3 * 86_400.0)),
        (BYBIT, 403, {"retry-after": "9" * 18}, b"", (), Hit(3600.0)),
        (BINANCE, 429, {"retry-after": "9" * 20}, b"", (), Hit(60.0)),
    ],
)
def test_each_connector_says_what_a_hit_is(connector, status, headers, body, cost, hit):
    assert connector.spec.limit_answer(status, headers, body, cost).hit == hit
