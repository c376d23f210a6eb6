"""An HTTP request and its response, as data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
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


Sender = Callable[[HttpRequest], Awaitable[HttpResponse]]


class Conversation(HttpRequest, ABC):
    """A request that takes several requests at the exchange, each made from the answers before it.

    The transport calls `converse` once and sends what it is given, one request at a time, each as a separate
    request. `url` only names the request, in logs and recordings.
    """

    __slots__ = ()

    @abstractmethod
    async def converse(self, send: Sender) -> HttpResponse:
        """Return the answer to the whole. Raises as the transport's `send`."""
