"""OKX's face of the local exchange: what the generic server asks of the protocol, and its parts."""

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

GOING_AWAY = {  # overview/websocket/notification.md
    "event": "notice",
    "code": "64008",
    "msg": "The connection will soon be closed for a service upgrade. Please reconnect.",
}


class Okx:
    """OKX's `Face`: the public side. Accounts cannot be reached by this protocol yet."""

    name = NAME
    unknown_outcomes = UNKNOWN

    def __init__(self, floor: Floor) -> None:
        self.desk = Desk(floor)

    @property
    def limits(self) -> Limits:
        return self.desk.limits

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        rest, sockets = Rest(self.desk), Sockets(self.desk)
        return [web.get("/ws/v5/public", sockets.public), web.route("*", "/{path:.*}", rest.handle)]

    def urls(self, host: str) -> Mapping[str, str]:
        return {"rest": f"http://{host}", "ws": f"ws://{host}"}

    # ----------------------------------------------------------------------------------------- events of the engine

    def trades(self, market: Market, trades: list[Trade], aggregates: list[Aggregate]) -> None:
        self.desk.streams.trades(market, aggregates)

    def top(self, market: Market) -> None:
        self.desk.streams.top(market)

    def report(self, report: ExecutionReport) -> None:
        """No account hears this protocol yet."""

    def order_list(self, group: OrderList, kind: str, now_ns: int) -> None:
        """No account hears this protocol yet."""

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
        """No account hears this protocol yet."""

    def balance_changed(self, account: Account, asset: str, delta: int, now_ns: int) -> None:
        """No account hears this protocol yet."""

    def locked_outside(self, account: Account, asset: str, delta: int, now_ns: int) -> None:
        """No account hears this protocol yet."""

    def hearing(self, account: Account) -> set[Connection]:
        return set()

    def end_user_data(self, account: Account, key: str | None = None) -> int:
        return 0

    def announce_shutdown(self, connections: Iterable[Connection]) -> int:
        told = [connection for connection in connections if isinstance(connection, Client)]
        for client in told:
            client.say(GOING_AWAY)
        return len(told)

    def forgive(self) -> None:
        self.desk.meter.forgive()

    def describe(self, connection: Connection) -> dict[str, Any]:
        return {"subscriptions": list(connection.streams)}

    def statistics(self) -> dict[str, Any]:
        topics = self.desk.streams.topics
        return {
            "messages_encoded": topics.messages,
            "frames_sent": topics.frames,
            "streams": len(topics.by_name),
            "user_events": {},
        }
