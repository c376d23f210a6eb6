"""An HTTP request and its response, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A complete REST request. The transport sends these bytes unchanged."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    cost: tuple[tuple[str, int], ...] = ()  # units per rate limit, e.g. (("weight", 250),)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """The response to an `HttpRequest`, of any status. Header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes
    sent_ns: int
    recv_ns: int
