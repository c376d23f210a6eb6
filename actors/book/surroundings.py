"""The surroundings of a session: a way to connect, REST, a budget, clocks. Tests pass their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ..limits.budget import Budget, RestLike


class FeedLike(Protocol):
    """The part of `connectors.transport.Feed` that a session uses."""

    last_error: str | None
    connections: int

    def start(self) -> None: ...
    async def stop(self) -> None: ...
    def reconnect(self, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The surroundings of a session."""

    connect: Callable[..., FeedLike]
    rest: RestLike
    budget: Budget
    monotonic_ns: Callable[[], int]
    time_ns: Callable[[], int]
    alive: Callable[[], None]
    fail: Callable[[BaseException], None]
    tap: Callable[[str, str, bytes, int], None] | None = None  # kind, url, raw, recv_ns of every message
    # an account's proof (`SubscribesWithAccess`); True: another one than the last, which was refused
    access: Callable[[bool], Awaitable[Mapping[str, str]]] | None = None
