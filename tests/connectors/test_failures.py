"""One table and one extractor: the typed error of each failed answer."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from venuemesh.connectors.failures import ErrorBody, Failures, coded, extractor
from venuemesh.connectors.order_codec import Refusal
from venuemesh.model.errors import DecodeError, Misconfigured, OutcomeUnknown, Rejected, RetryLater
from venuemesh.model.http import HttpResponse


def extract(body: bytes) -> ErrorBody | None:
    try:
        read = json.loads(body)
        return ErrorBody(read["code"], read["reason"], read.get("wait_s"))
    except (ValueError, TypeError, KeyError):
        return None


FAILURES = Failures(
    extract,
    codes={"busy": Refusal.BUSY, "key": Refusal.KEY, "lost": Refusal.UNKNOWN, "gone": Refusal.NOT_THERE},
    texts={("gone", "still there"): Refusal.REJECTED},
    waits_s={429: 60.0},
    bans_s={418: 3600.0},
)


def answer(status: int, code: str | None = None, headers: dict[str, str] | None = None, **more) -> HttpResponse:
    body = b"<html>" if code is None else json.dumps({"code": code, "reason": "words"} | more).encode()
    return HttpResponse(status, headers or {}, body, 1, 2)


@pytest.mark.parametrize(
    ("response", "of_a_change", "of_a_read", "of_public_data"),
    [
        (answer(200, "no"), type(None), type(None), type(None)),
        (answer(400, "no"), Rejected, Rejected, Rejected),
        (answer(400, "gone"), Rejected, Rejected, Rejected),
        (answer(401, "key"), Misconfigured, Misconfigured, Rejected),
        (answer(400, "busy"), RetryLater, RetryLater, RetryLater),
        (answer(429), RetryLater, RetryLater, RetryLater),
        (answer(400, "lost"), OutcomeUnknown, RetryLater, RetryLater),
        (answer(429, "lost"), OutcomeUnknown, RetryLater, RetryLater),
        (answer(500, "no"), OutcomeUnknown, RetryLater, RetryLater),
        (answer(503, "busy"), OutcomeUnknown, RetryLater, RetryLater),
        (answer(404), OutcomeUnknown, RetryLater, Rejected),
        (answer(302), OutcomeUnknown, RetryLater, DecodeError),
    ],
)
def test_what_an_answer_means(response, of_a_change, of_a_read, of_public_data):
    assert type(FAILURES.failure(response, True, "x")) is of_a_change
    assert type(FAILURES.failure(response, False, "x")) is of_a_read
    assert type(FAILURES.public_failure(response)) is of_public_data


@pytest.mark.parametrize(
    ("response", "of_a_change", "of_a_read", "of_public_data"),
    [
        (answer(200), type(None), type(None), type(None)),  # no error in it
        (answer(200, "no"), Rejected, Rejected, Rejected),
        (answer(200, "key"), Misconfigured, Misconfigured, Rejected),
        (answer(200, "busy"), RetryLater, RetryLater, RetryLater),
        (answer(200, "lost"), OutcomeUnknown, RetryLater, RetryLater),
        (answer(400, "no"), Rejected, Rejected, Rejected),
        (answer(302), OutcomeUnknown, RetryLater, DecodeError),
        (answer(503, "no"), OutcomeUnknown, RetryLater, RetryLater),
    ],
)
def test_an_exchange_may_refuse_with_status_200(response, of_a_change, of_a_read, of_public_data):
    failures = replace(FAILURES, in_success=True)
    assert type(failures.failure(response, True, "x")) is of_a_change
    assert type(failures.failure(response, False, "x")) is of_a_read
    assert type(failures.public_failure(response)) is of_public_data


def test_public_data_that_changes_something_has_an_unknown_outcome_after_a_5xx():
    assert type(FAILURES.public_failure(answer(500), changes=True)) is OutcomeUnknown


def test_a_text_overrides_its_code():
    assert FAILURES.refusal("gone") is Refusal.NOT_THERE
    assert FAILURES.refusal("gone", "still there") is Refusal.REJECTED
    assert FAILURES.refusal("of tomorrow") is Refusal.REJECTED


@pytest.mark.parametrize(
    ("response", "after_s"),
    [
        (answer(429), 60),
        (answer(400, "busy"), 1),
        (answer(429, headers={"retry-after": "7"}), 7),
        (answer(429, headers={"retry-after": "700"}), 600),
        (answer(429, headers={"retry-after": "-7"}), 60),
        (answer(429, headers={"retry-after": "soon"}), 60),
        (answer(429, "busy", wait_s=5), 5),
        (answer(429, "busy", wait_s=-5), 60),
        (answer(429, "busy", wait_s=500), 500),
        (answer(429, "busy", wait_s=5000), 600),
        (answer(418, "busy", wait_s=5000), 3600),
        (answer(503, headers={"retry-after": "7"}), 7),
    ],
)
def test_how_long_to_wait(response, after_s):
    assert FAILURES.failure(response, False, "x").after_s == after_s
    assert FAILURES.public_failure(response).after_s == after_s


def test_unlisted_codes_may_mean_anything_if_the_manual_is_not_complete():
    strict = replace(FAILURES, unlisted=Refusal.UNKNOWN)
    assert FAILURES.refusal("new") is Refusal.REJECTED
    assert strict.refusal("new") is Refusal.UNKNOWN
    assert isinstance(strict.failure(answer(400, "new"), True, "x"), OutcomeUnknown)
    assert isinstance(strict.failure(answer(401, "key"), True, "x"), Misconfigured)


def test_a_table_of_codes_takes_lists_and_ranges() -> None:
    table = coded({Refusal.BUSY: "7 12", Refusal.KEY: "-3"}, "7 10-12")
    assert table == {"7": Refusal.BUSY, "12": Refusal.BUSY, "-3": Refusal.KEY} | dict.fromkeys(
        ("10", "11"), Refusal.REJECTED
    )


def test_a_body_that_an_extractor_cannot_read_is_not_an_error() -> None:
    read = extractor(lambda body: ErrorBody(body["code"], body["words"].strip()))
    assert read(b'{"code":"1","words":" no "}') == ErrorBody("1", "no")
    for body in (b"", b"<html>", b"[]", b"null", b'{"code":"1"}', b'{"code":"1","words":2}', b"7"):
        assert read(body) is None


def test_words_of_a_failure_can_be_stored():
    """PostgreSQL refuses NUL; strange bytes of a header become halves of surrogate pairs, which have no UTF-8."""
    bodies = (b'{"code": "a\\u0000", "reason": "b\\u0000"}', b"\0no JSON\0", b"\xff")
    for body in bodies:
        for status in (400, 429, 503):
            response = HttpResponse(status, {"retry-after": "\udcff\0"}, body, 1, 2)
            for changes in (False, True):
                error = FAILURES.failure(response, changes, "it")
                words = " ".join(str(one) for one in error.args)
                assert "\0" not in words
                words.encode()
