"""Kraken's face of the local exchange: the interface to the generic server, and the protocol's parts."""

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


class Kraken(AccountFace[Desk]):
    """Kraken's `Face`."""

    name = NAME
    unknown_outcomes = UNKNOWN

    def __init__(self, floor: Floor) -> None:
        super().__init__(Desk(floor))

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        rest, sockets = Rest(self.desk), Sockets(self.desk)
        return [
            web.get("/ws/v2", sockets.public),
            web.get("/ws-auth/v2", sockets.private),
            web.get("/ws-l3/v2", sockets.level3),
            web.route("*", "/{path:.*}", rest.handle),
        ]

    def urls(self, host: str) -> Mapping[str, str]:
        return {
            "rest": f"http://{host}",
            "ws": f"ws://{host}/ws/v2",
            "ws_private": f"ws://{host}/ws-auth/v2",
            "ws_l3": f"ws://{host}/ws-l3/v2",
        }

    def trades(self, market: Market, trades: list[Trade], aggregates: list[Aggregate]) -> None:
        self.desk.streams.trades(market, trades)

    def top(self, market: Market) -> None:
        self.desk.streams.top(market)

    def balance_changed(self, account: Account, asset: str, delta: int, now_ns: int) -> None:
        self.desk.user_data.moved(account, asset, delta, now_ns)

    def describe(self, connection: Connection) -> dict[str, Any]:
        if not isinstance(connection, Client):
            return {}
        channels = [each.channel for each in self.desk.user_data.streams.on(connection)]
        return {"private": connection.private, "subscriptions": channels}
