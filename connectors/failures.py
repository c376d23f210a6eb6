"""Classifies failed answers: the failures of an exchange are one table and one extractor.

    5xx                       not a refusal: the outcome of a request that changes something is unknown
    a code of sort UNKNOWN    the same, with any status
    a status in `waits_s`,
    or a code of sort BUSY    RetryLater: not served, provably not executed
    no error body             the same as a 5xx: a proxy may have answered
    a code of sort KEY        Misconfigured
    any other code            Rejected: an explicit refusal

Some exchanges refuse with status 200: see `Failures.in_success`. The table above then holds for these answers, too.

A read can be repeated without harm: if the outcome would be unknown, a read is RetryLater. Public data has a stricter
rule: see `public_failure`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, NamedTuple

import orjson

from ..model.errors import DecodeError, MeshError, Misconfigured, OutcomeUnknown, Rejected, RetryLater
from ..model.http import HttpResponse
from ..model.shown import storable
from .limit_answers import LONGEST_S, retry_after_s, wait_until_s
from .order_codec import Refusal
from .reading import COUNT_DIGITS, EXCERPT, UNREADABLE, excerpt

WAIT_S = 1.0
REASON = 1000  # most characters of an exchange's text that an error keeps


class ErrorBody(NamedTuple):
    """An exchange's own code and text of a failure. `wait_s`: the delay before a retry, if the body states it;
    `until_ns`: the end of that delay instead, in ns since the Unix epoch."""

    code: str
    reason: str
    wait_s: float | None = None
    data: Any = None
    until_ns: int | None = None


def coded(codes: Mapping[Refusal, str], listed: str = "") -> dict[str, Refusal]:
    """Return the table of codes from the codes of each sort, written with spaces between.

    `listed` are all numbers that the exchange's manual lists, as numbers and ranges ("10000-10010 10014"): a listed
    code without a sort is an explicit refusal.
    """
    table = {code: sort for sort, written in codes.items() for code in written.split()}
    for first, _, last in (part.partition("-") for part in listed.split()):
        for code in range(int(first), int(last or first) + 1):
            table.setdefault(str(code), Refusal.REJECTED)
    return table


def extractor(read: Callable[[Any], ErrorBody | None]) -> Callable[[bytes], ErrorBody | None]:
    """Make an extractor from a reader of parsed bodies. A body that `read` cannot read is not an error body."""

    @wraps(read)
    def extract(body: bytes) -> ErrorBody | None:
        try:
            found = read(orjson.loads(body))
        except UNREADABLE:  # broken JSON is a ValueError
            return None
        return None if found is None else _bounded(found)

    return extract


def _bounded(error: ErrorBody) -> ErrorBody:
    """Return an error with texts that the journal can keep."""
    return error._replace(code=storable(error.code[:EXCERPT]), reason=storable(error.reason[:REASON]))


@dataclass(frozen=True, slots=True)
class Failures:
    """One exchange's failures.

    `extract` reads an error body and returns None for anything else. `codes` classifies codes; `texts` overrides
    `codes` if one code has many meanings. A code in neither table is `unlisted`: an explicit refusal, unless the
    exchange's manual does not list all its codes. `waits_s`: statuses that mean "not served", with the delay to use if
    the answer states none. A stated delay counts for at most ten minutes, or for `bans_s` of its status. `in_success`:
    an answer with status 200 is a failure, too, if `extract` finds an error in it.
    """

    extract: Callable[[bytes], ErrorBody | None]
    codes: Mapping[str, Refusal]
    texts: Mapping[tuple[str, str], Refusal] = field(default_factory=dict)
    waits_s: Mapping[int, float] = field(default_factory=lambda: {429: 60.0})
    bans_s: Mapping[int, float] = field(default_factory=dict)
    in_success: bool = False
    unlisted: Refusal = Refusal.REJECTED

    def refusal(self, code: str, reason: str = "") -> Refusal:
        """Classify a code and its text."""
        return self.texts.get((code, reason)) or self.codes.get(code, self.unlisted)

    def failure(self, response: HttpResponse, changes: bool, what: str) -> MeshError | None:
        """Return the typed error of the answer to a signed request; None if the request succeeded."""
        if (found := self._found(response)) is None:
            return None
        status, (error, sort) = response.status, found
        uncertain = status >= 500 or sort is Refusal.UNKNOWN
        later = RetryLater(self._wait_s(response, error), self._words(response, error))
        if not uncertain and (status in self.waits_s or sort is Refusal.BUSY):
            return later
        if uncertain or error is None or 200 < status < 400:
            return OutcomeUnknown(what, later.reason) if changes else later
        if sort is Refusal.KEY:
            return Misconfigured("the API key", f"{error.code}: {error.reason}")
        return Rejected(error.code, error.reason)

    def public_failure(self, response: HttpResponse, changes: bool = False) -> Exception | None:
        """Return the typed error as `failure` does, for public data: any other 4xx with any body is an explicit
        refusal."""
        if (found := self._found(response)) is None:
            return None
        status, (error, sort) = response.status, found
        if status >= 500 and changes:
            return OutcomeUnknown("request", self._words(response, error))
        if status >= 500 or status in self.waits_s or sort in (Refusal.BUSY, Refusal.UNKNOWN):
            return RetryLater(self._wait_s(response, error), self._words(response, error))
        if 200 < status < 400:
            return DecodeError(f"HTTP {status} is not an answer of this exchange", excerpt(response.body))
        return Rejected(*((error.code, error.reason) if error else _anonymous(response)))

    def _found(self, response: HttpResponse) -> tuple[ErrorBody | None, Refusal | None] | None:
        """Return the error in an answer and its class; None if the request succeeded."""
        succeeded = response.status == 200
        if succeeded and not self.in_success:
            return None
        error = self.extract(response.body)
        if error is None:
            return None if succeeded else (None, None)
        error = _bounded(error)
        return error, self.refusal(error.code, error.reason)

    def _wait_s(self, response: HttpResponse, error: ErrorBody | None) -> float:
        longest_s = self.bans_s.get(response.status, LONGEST_S)
        wait_s = self.waits_s.get(response.status, WAIT_S)
        if error is not None and error.wait_s is not None and error.wait_s >= 0:
            wait_s = min(error.wait_s, longest_s)
        elif error is not None and error.until_ns is not None:
            wait_s = min(wait_until_s(error.until_ns, response.recv_ns, wait_s), longest_s)
        return retry_after_s(response.headers, wait_s, longest_s)

    @staticmethod
    def _words(response: HttpResponse, error: ErrorBody | None) -> str:
        code, reason = (error.code, error.reason) if error else _anonymous(response)
        after = storable(response.headers.get("retry-after", "")[:COUNT_DIGITS])  # it may have halves of pairs
        return f"HTTP {response.status}, {code}: {reason}" + (f" (Retry-After: {after})" if after else "")


def _anonymous(response: HttpResponse) -> tuple[str, str]:
    return str(response.status), excerpt(response.body) or "no reason given"
