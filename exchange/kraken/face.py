"""Kraken's face of the local exchange: what the generic server asks of the protocol, and its parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from ..engine.accounts import Account
from ..engine.market import Aggregate, ExecutionReport, Market, Trade
from ..floor import Floor
from ..public_face import PublicFace
from ..wire.connection import Connection
from .client import NAME, Client
from .desk import Desk
from .errors import UNKNOWN
from .rest import Rest
from .sockets import Sockets


class Kraken(PublicFace[Desk]):
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

    # ---------------------------------------------------------------------------------------- events of the venue

    def tick(self, number: int) -> None:
        super().tick(number)
        if number % 10 == 0:
            self.desk.orders.tick(self.desk.now_ns())

    def flush_user_data(self) -> None:
        self.desk.user_data.streams.flush()

    def balance_changed(self, account: Account, asset: str, delta: int, now_ns: int) -> None:
        self.desk.user_data.moved(account, asset, delta, now_ns)

    def hearing(self, account: Account) -> set[Connection]:
        return self.desk.user_data.streams.hearing(account)

    def end_user_data(self, account: Account, key: str | None = None) -> int:
        return self.desk.user_data.end(account, key)

    def describe(self, connection: Connection) -> dict[str, Any]:
        if not isinstance(connection, Client):
            return {}
        heard = [each.channel for each in self.desk.user_data.streams.on(connection)]
        return {"private": connection.private, "subscriptions": heard}

    def user_events(self) -> dict[str, int]:
        return dict(self.desk.user_data.streams.sent)
