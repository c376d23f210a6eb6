"""Limits in answers: hits by status, code and header; only numbers in plain digits count."""

from __future__ import annotations

import pytest

from tests.fakes.context import context_of
from venuemesh.actors.limits.budget import Budget
from venuemesh.connectors import binance, bybit, kraken, okx
from venuemesh.connectors.limit_answers import Hit, retry_after_s

BINANCE, BYBIT, KRAKEN, OKX = binance.CONNECTOR, bybit.CONNECTOR, kraken.CONNECTOR, okx.CONNECTOR
ODD = ["", "-1", "1.5", "1e3", "\u0663", "9" * 41, "many"]


@pytest.mark.parametrize("text", ODD)
def test_a_delay_that_is_not_a_plain_number_is_ignored(text: str):
    assert retry_after_s({"retry-after": text}, 7.0) == 7.0


def test_a_delay_is_capped():
    assert retry_after_s({"retry-after": "9" * 40}, 7.0) == 3 * 86_400.0
    assert retry_after_s({"retry-after": "0"}, 7.0) == 7.0
    assert retry_after_s({}, 7.0) == 7.0


@pytest.mark.parametrize("text", ODD)
async def test_a_count_that_is_not_a_plain_number_is_ignored(text: str):
    budget = Budget(context_of("catalog/acme"), BINANCE.spec, "binance", "default")
    assert budget.read(200, {"x-mbx-used-weight-1m": text}).used == {}
    assert budget.read(200, {"x-mbx-used-weight-1m": "12"}).used == {"weight": 12}
    assert BYBIT.spec.limit_answer(200, {"x-bapi-limit-status": text}, b"", (("place", 1),)).remaining == {}


PLACE = (("place", 1),)
TRANSACTION, CALL = (("transactions", 1),), (("key_calls", 1),)


@pytest.mark.parametrize(
    ("connector", "status", "headers", "body", "cost", "hit"),
    [
        (BINANCE, 429, {}, b'{"code":-1003,"msg":"Too many requests."}', (("weight", 1),), Hit(60.0)),
        (BINANCE, 418, {"retry-after": "7"}, b"", (("weight", 1),), Hit(7.0)),
        (BINANCE, 418, {}, b"", (), Hit(120.0)),
        (BINANCE, 403, {}, b"", (("weight", 1),), None),
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
    ],
)
def test_each_connector_says_what_a_hit_is(connector, status, headers, body, cost, hit):
    assert connector.spec.limit_answer(status, headers, body, cost).hit == hit
