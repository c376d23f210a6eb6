"""Coinbase Exchange's face of the local exchange: the interface to the generic server, and the protocol's parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from ..account_face import AccountFace
from ..engine.accounts import Account
from ..engine.market import Aggregate, ExecutionReport, Market, Trade
from ..floor import Floor
from ..wire.connection import Connection
from .client import NAME
from .desk import Desk
from .errors import UNKNOWN
from .rest import Rest
from .sockets import Sockets
from .user_data import CHANNEL


class Coinbase(AccountFace[Desk]):
    """Coinbase Exchange's `Face`."""

    name = NAME
    unknown_outcomes = UNKNOWN

    def __init__(self, floor: Floor) -> None:
        super().__init__(Desk(floor))

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        rest, sockets = Rest(self.desk), Sockets(self.desk)
        return [web.get("/", sockets.serve), web.route("*", "/{path:.*}", rest.handle)]

    def urls(self, host: str) -> Mapping[str, str]:
        return {**super().urls(host), "ws_api": f"ws://{host}"}

    def listed(self, market: Market) -> None:
        super().listed(market)
        market.order_watchers += [self.desk.streams.full.saw, self.desk.user_data.rested]

    def report(self, report: ExecutionReport) -> None:
        self.desk.orders.report(report)
        self.desk.user_data.publish(report)
        self.desk.floor.late_fees.report(self.name, report, self.desk.user_data.report)

    def trades(self, market: Market, trades: list[Trade], aggregates: list[Aggregate]) -> None:
        self.desk.streams.trades(market, trades)

    def balance_changed(self, account: Account, asset: str, delta: int, now_ns: int) -> None:
        """Send nothing: the channel has no balances."""

    def describe(self, connection: Connection) -> dict[str, Any]:
        user = [CHANNEL] if self.desk.user_data.streams.on(connection) else []
        return {"subscriptions": [*connection.streams, *user]}
