"""Kraken's face of the local exchange: what the generic server asks of the protocol, and its parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from ..engine.accounts import Account, OrderList
from ..engine.market import Aggregate, ExecutionReport, Market, Trade
from ..floor import Floor
from ..wire.connection import Connection
from .client import NAME, Client
from .desk import Desk
from .errors import UNKNOWN
from .limits import Limits
from .rest import Rest
from .sockets import Sockets


class Kraken:
    """Kraken's `Face`."""

    name = NAME
    unknown_outcomes = UNKNOWN

    def __init__(self, floor: Floor) -> None:
        self.desk = Desk(floor)

    @property
    def limits(self) -> Limits:
        return self.desk.limits

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        rest, sockets = Rest(self.desk), Sockets(self.desk)
        return [
            web.get("/ws/v2", sockets.public),
            web.get("/ws-auth/v2", sockets.private),
            web.route("*", "/{path:.*}", rest.handle),
        ]

    def urls(self, host: str) -> Mapping[str, str]:
        return {"rest": f"http://{host}", "ws": f"ws://{host}/ws/v2", "ws_private": f"ws://{host}/ws-auth/v2"}

    # ----------------------------------------------------------------------------------------- events of the engine

    def trades(self, market: Market, trades: list[Trade], aggregates: list[Aggregate]) -> None:
        self.desk.streams.trades(market, trades)

    def top(self, market: Market) -> None:
        self.desk.streams.top(market)

    def report(self, report: ExecutionReport) -> None:
        self.desk.orders.report(report)
        self.desk.user_data.report(report)

    def order_list(self, group: OrderList, kind: str, now_ns: int) -> None:
        """The protocol has no order lists."""

    # ---------------------------------------------------------------------------------------- events of the venue

    def listed(self, market: Market) -> None:
        self.desk.streams.listed(market)

    def delisted(self, market: Market) -> None:
        self.desk.streams.delisted(market)

    def tick(self, number: int) -> None:
        self.desk.streams.tick(number)
        if number % 10 == 0:
            self.desk.orders.tick(self.desk.now_ns())

    def flush(self, market: Market) -> None:
        self.desk.streams.flush(market)

    def flush_user_data(self) -> None:
        self.desk.user_data.streams.flush()

    def balance_changed(self, account: Account, asset: str, delta: int, now_ns: int) -> None:
        self.desk.user_data.moved(account, asset, delta, now_ns)

    def locked_outside(self, account: Account, asset: str, delta: int, now_ns: int) -> None:
        """The balances of this protocol are totals, which a lock does not change."""

    def hearing(self, account: Account) -> set[Connection]:
        return self.desk.user_data.streams.hearing(account)

    def end_user_data(self, account: Account, key: str | None = None) -> int:
        return self.desk.user_data.end(account, key)

    def announce_shutdown(self, connections: Iterable[Connection]) -> int:
        """The manual has no message for the end; a connection is closed."""
        return 0

    def forgive(self) -> None:
        self.desk.meter.forgive()

    def describe(self, connection: Connection) -> dict[str, Any]:
        if not isinstance(connection, Client):
            return {}
        heard = [each.channel for each in self.desk.user_data.streams.on(connection)]
        return {"private": connection.private, "subscriptions": heard}

    def statistics(self) -> dict[str, Any]:
        topics = self.desk.streams.topics
        return {
            "messages_encoded": topics.messages,
            "frames_sent": topics.frames,
            "streams": len(topics.by_name),
            "user_events": dict(self.desk.user_data.streams.sent),
        }
