"""HTX's face of the local exchange: the interface to the generic server, and the protocol's parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from ..account_face import ORDERS_EVERY, AccountFace
from ..engine.accounts import Account
from ..engine.market import Aggregate, Market, Trade
from ..floor import Floor
from ..wire.connection import Connection
from .client import NAME
from .desk import Desk
from .errors import UNKNOWN
from .rest import Rest
from .sockets import Sockets


class Htx(AccountFace[Desk]):
    """HTX's `Face`."""

    name = NAME
    unknown_outcomes = UNKNOWN

    def __init__(self, floor: Floor) -> None:
        super().__init__(Desk(floor))

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        sockets = Sockets(self.desk)
        return [
            web.get("/ws", sockets.market),
            web.get("/feed", sockets.feed),
            web.get("/ws/v2", sockets.private),
            web.route("*", "/{path:.*}", Rest(self.desk).handle),
        ]

    def urls(self, host: str) -> Mapping[str, str]:
        return {**super().urls(host), "ws_api": f"ws://{host}"}

    def trades(self, market: Market, trades: list[Trade], aggregates: list[Aggregate]) -> None:
        self.desk.streams.trades(market, trades)

    def tick(self, number: int) -> None:
        super().tick(number)
        if number % ORDERS_EVERY == 0:
            self.desk.dead_man.tick(self.desk.now_ns())

    def balance_changed(self, account: Account, asset: str, delta: int, now_ns: int) -> None:
        self.desk.user_data.moved(account, asset, "deposit" if delta > 0 else "withdraw")

    def describe(self, connection: Connection) -> dict[str, Any]:
        topics = [each.topic for each in self.desk.user_data.streams.on(connection)]
        return {"subscriptions": [*connection.streams, *topics]}
