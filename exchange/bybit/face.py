"""Bybit's face of the local exchange: what the generic server asks of the protocol, and its parts."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from ..engine.market import Aggregate, ExecutionReport, Market, Trade
from ..floor import Floor
from ..public_face import PublicFace
from .client import NAME
from .desk import Desk
from .errors import UNKNOWN
from .rest import Rest
from .sockets import Sockets


class Bybit(PublicFace[Desk]):
    """Bybit's `Face`. Accounts are served by REST alone: the private websocket is not there yet."""

    name = NAME
    unknown_outcomes = UNKNOWN

    def __init__(self, floor: Floor) -> None:
        super().__init__(Desk(floor))

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        return [
            web.get("/v5/public/spot", Sockets(self.desk).public),
            web.route("*", "/{path:.*}", Rest(self.desk).handle),
        ]

    def trades(self, market: Market, trades: list[Trade], aggregates: list[Aggregate]) -> None:
        self.desk.streams.trades(market, trades)

    def report(self, report: ExecutionReport) -> None:
        self.desk.orders.report(report)
