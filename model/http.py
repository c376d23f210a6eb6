"""One HTTP request and its answer, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One REST request, complete: what `transport` sends as it is."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    cost: tuple[tuple[str, int], ...] = ()  # what it spends of which rate limit, e.g. (("weight", 250),)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """The answer to an `HttpRequest`, whatever its status. Header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes
    sent_ns: int
    recv_ns: int
