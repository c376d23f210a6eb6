"""The shared part of all faces: it sends books and trades to the desk's streams; the desk's meter has the limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from .engine.accounts import Account, OrderList
from .engine.market import ExecutionReport, Market
from .wire.connection import Connection, ConnectionLimits
from .wire.topics import Topics


class _Streams(Protocol):
    @property
    def topics(self) -> Topics[Any, Any, Any]: ...
    def listed(self, market: Market) -> None: ...
    def delisted(self, market: Market) -> None: ...
    def tick(self, number: int) -> None: ...
    def flush(self, market: Market) -> None: ...


class _Meter(Protocol):
    def forgive(self) -> None: ...


class PublicDesk(Protocol):
    """The part of a protocol's desk that every face uses."""

    @property
    def limits(self) -> ConnectionLimits: ...
    @property
    def meter(self) -> _Meter: ...
    @property
    def streams(self) -> _Streams: ...


D = TypeVar("D", bound=PublicDesk)


class PublicFace(Generic[D]):
    """The public side of a `Face`; the protocol adds its name, its routes and how it sends trades.

    By default the protocol serves no accounts. A protocol with accounts overrides those methods.
    """

    def __init__(self, desk: D) -> None:
        self.desk = desk

    @property
    def limits(self) -> ConnectionLimits:
        return self.desk.limits

    def urls(self, host: str) -> Mapping[str, str]:
        return {"rest": f"http://{host}", "ws": f"ws://{host}"}

    def top(self, market: Market) -> None:
        """Ignore a changed best level, because each topic compares books at its own interval."""

    def listed(self, market: Market) -> None:
        self.desk.streams.listed(market)

    def delisted(self, market: Market) -> None:
        self.desk.streams.delisted(market)

    def tick(self, number: int) -> None:
        self.desk.streams.tick(number)

    def flush(self, market: Market) -> None:
        self.desk.streams.flush(market)

    def forgive(self) -> None:
        self.desk.meter.forgive()

    def announce_shutdown(self, connections: Iterable[Connection]) -> int:
        """Announce nothing: the protocol has no message for the end of a connection."""
        return 0

    def describe(self, connection: Connection) -> dict[str, Any]:
        return {}

    def statistics(self) -> dict[str, Any]:
        topics = self.desk.streams.topics
        return {
            "messages_encoded": topics.messages,
            "frames_sent": topics.frames,
            "streams": len(topics.by_name),
            "user_events": self.user_events(),
        }

    # ------------------------------------------------------------------------------------------------- accounts

    def user_events(self) -> dict[str, int]:
        """Return how many events of user data were sent, by type."""
        return {}

    def report(self, report: ExecutionReport) -> None:
        """Ignore a change of an order: the protocol serves no accounts."""

    def order_list(self, group: OrderList, kind: str, now_ns: int) -> None:
        """Ignore a change of an order list: the protocol serves no accounts."""

    def flush_user_data(self) -> None:
        """Send nothing: the protocol serves no accounts."""

    def balance_changed(self, account: Account, asset: str, delta: int, now_ns: int) -> None:
        """Ignore a changed balance: the protocol serves no accounts."""

    def locked_outside(self, account: Account, asset: str, delta: int, now_ns: int) -> None:
        """Ignore a lock from outside: the protocol serves no accounts."""

    def listeners(self, account: Account) -> set[Connection]:
        return set()

    def end_user_data(self, account: Account, key: str | None = None) -> int:
        return 0
