"""OKX's face of the local exchange: the interface to the generic server, and the protocol's parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from ..account_face import AccountFace
from ..engine.accounts import Account
from ..engine.market import Aggregate, Market, Trade
from ..floor import Floor
from ..wire.connection import Connection
from .client import NAME, Client
from .desk import Desk
from .errors import UNKNOWN
from .rest import Rest
from .sockets import Sockets

GOING_AWAY = {  # overview/websocket/notification.md
    "event": "notice",
    "code": "64008",
    "msg": "The connection will soon be closed for a service upgrade. Please reconnect.",
}


class Okx(AccountFace[Desk]):
    """OKX's `Face`."""

    name = NAME
    unknown_outcomes = UNKNOWN

    def __init__(self, floor: Floor) -> None:
        super().__init__(Desk(floor))

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        rest, sockets = Rest(self.desk), Sockets(self.desk)
        return [
            web.get("/ws/v5/public", sockets.public),
            web.get("/ws/v5/business", sockets.business),
            web.get("/ws/v5/private", sockets.private),
            web.route("*", "/{path:.*}", rest.handle),
        ]

    def urls(self, host: str) -> Mapping[str, str]:
        return {**super().urls(host), "ws_api": f"ws://{host}"}

    def trades(self, market: Market, trades: list[Trade], aggregates: list[Aggregate]) -> None:
        self.desk.streams.trades(market, aggregates)

    def top(self, market: Market) -> None:
        self.desk.streams.top(market)

    def balance_changed(self, account: Account, asset: str, delta: int, now_ns: int) -> None:
        self.desk.user_data.moved(account, asset)

    def announce_shutdown(self, connections: Iterable[Connection]) -> int:
        clients = [connection for connection in connections if isinstance(connection, Client)]
        for client in clients:
            client.say(GOING_AWAY)
        return len(clients)

    def describe(self, connection: Connection) -> dict[str, Any]:
        channels = [each.channel for each in self.desk.user_data.streams.on(connection)]
        return {"subscriptions": [*connection.streams, *channels]}
