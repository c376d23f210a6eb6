"""Bybit's face of the local exchange: what the generic server asks of the protocol, and its parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from ..engine.accounts import Account, OrderList
from ..engine.market import Aggregate, ExecutionReport, Market, Trade
from ..floor import Floor
from ..wire.connection import Connection
from .client import NAME
from .desk import Desk
from .errors import UNKNOWN
from .limits import Limits
from .rest import Rest
from .sockets import Sockets


class Bybit:
    """Bybit's `Face`: the public side. No account is told anything."""

    name = NAME
    unknown_outcomes = UNKNOWN

    def __init__(self, floor: Floor) -> None:
        self.desk = Desk(floor)

    @property
    def limits(self) -> Limits:
        return self.desk.limits

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        return [
            web.get("/v5/public/spot", Sockets(self.desk).public),
            web.route("*", "/{path:.*}", Rest(self.desk).handle),
        ]

    def urls(self, host: str) -> Mapping[str, str]:
        return {"rest": f"http://{host}", "ws": f"ws://{host}"}

    # ----------------------------------------------------------------------------------------- events of the engine

    def trades(self, market: Market, trades: list[Trade], aggregates: list[Aggregate]) -> None:
        self.desk.streams.trades(market, trades)

    def top(self, market: Market) -> None:
        """Books are compared at the pace of their topics."""

    def report(self, report: ExecutionReport) -> None:
        """The public side has no orders."""

    def order_list(self, group: OrderList, kind: str, now_ns: int) -> None:
        """The public side has no orders."""

    # ---------------------------------------------------------------------------------------- events of the venue

    def listed(self, market: Market) -> None:
        self.desk.streams.listed(market)

    def delisted(self, market: Market) -> None:
        self.desk.streams.delisted(market)

    def tick(self, number: int) -> None:
        self.desk.streams.tick(number)

    def flush(self, market: Market) -> None:
        self.desk.streams.flush(market)

    def flush_user_data(self) -> None:
        """The public side has no user data."""

    def balance_changed(self, account: Account, asset: str, delta: int, now_ns: int) -> None:
        """The public side has no balances."""

    def locked_outside(self, account: Account, asset: str, delta: int, now_ns: int) -> None:
        """The public side has no balances."""

    def hearing(self, account: Account) -> set[Connection]:
        return set()

    def end_user_data(self, account: Account, key: str | None = None) -> int:
        return 0

    def announce_shutdown(self, connections: Iterable[Connection]) -> int:
        """The manual has no message for the end; a connection is closed."""
        return 0

    def forgive(self) -> None:
        self.desk.meter.forgive()

    def describe(self, connection: Connection) -> dict[str, Any]:
        return {}

    def statistics(self) -> dict[str, Any]:
        topics = self.desk.streams.topics
        return {
            "messages_encoded": topics.messages,
            "frames_sent": topics.frames,
            "streams": len(topics.by_name),
            "user_events": {},
        }
