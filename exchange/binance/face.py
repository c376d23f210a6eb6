"""Binance's face of the local exchange: the interface to the generic server, and the protocol's parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from ..engine.accounts import Account, OrderList
from ..engine.market import Aggregate, ExecutionReport, Market, Trade
from ..floor import Floor
from ..public_face import PublicFace
from ..wire.connection import Connection
from ..wire.frames import text_frame
from . import elsewhere
from .client import Client
from .desk import Desk
from .errors import UNKNOWN
from .methods import BY_ROUTE
from .queries import BY_PATH
from .rest import Rest
from .sockets import Sockets
from .streams import shutdown_event


class Binance(PublicFace[Desk]):
    """Binance's `Face`."""

    name = "binance"
    unknown_outcomes = tuple(UNKNOWN)

    def __init__(self, floor: Floor) -> None:
        super().__init__(Desk(floor, self.name))

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        methods, served = {**BY_ROUTE, **elsewhere.BY_ROUTE}, {**BY_PATH, **elsewhere.BY_PATH}
        rest, sockets = Rest(self.desk, methods, served), Sockets(self.desk)
        return [
            web.get("/ws", sockets.raw),
            web.get("/ws/{names:.*}", sockets.raw),
            web.get("/stream", sockets.combined),
            web.get("/ws-api/v3", sockets.api),
            web.route("*", "/{path:.*}", rest.handle),
        ]

    def urls(self, host: str) -> Mapping[str, str]:
        return {"rest": f"http://{host}", "ws": f"ws://{host}", "ws_api": f"ws://{host}/ws-api/v3"}

    # ----------------------------------------------------------------------------------------- events of the engine

    def trades(self, market: Market, trades: list[Trade], aggregates: list[Aggregate]) -> None:
        self.desk.streams.trades(market, trades, aggregates)

    def top(self, market: Market) -> None:
        self.desk.streams.top(market)

    def report(self, report: ExecutionReport) -> None:
        fill = report.fill
        if fill is not None and report.order.filled == fill.size:
            self.desk.order_counts.of(report.account).first_fill(fill.maker, report.time_ns)
        self.desk.floor.late_fees.report(self.name, report, self._send_report)

    def _send_report(self, report: ExecutionReport) -> None:
        self.desk.user_data.report(self.desk.floor.engine.market(report.order.symbol), report)

    def order_list(self, group: OrderList, kind: str, now_ns: int) -> None:
        self.desk.user_data.order_list(group, kind, now_ns)

    # ---------------------------------------------------------------------------------------- events of the venue

    def flush_user_data(self) -> None:
        self.desk.user_data.streams.flush()

    def balance_changed(self, account: Account, asset: str, delta: int, now_ns: int) -> None:
        self.desk.user_data.balance(account, asset, delta, now_ns)

    def locked_outside(self, account: Account, asset: str, delta: int, now_ns: int) -> None:
        self.desk.user_data.external_lock(account, asset, delta, now_ns)

    def listeners(self, account: Account) -> set[Connection]:
        return self.desk.user_data.streams.listeners(account)

    def end_user_data(self, account: Account, key: str | None = None) -> int:
        return self.desk.user_data.expire(account, key)

    def announce_shutdown(self, connections: Iterable[Connection]) -> int:
        now, count = self.desk.floor.clock.now_ns(), 0
        for connection in connections:
            if isinstance(connection, Client):
                connection.write(text_frame(shutdown_event(connection, now).encode()))
                count += 1
        return count

    def describe(self, connection: Connection) -> dict[str, Any]:
        if not isinstance(connection, Client):
            return {}
        return {
            "api": connection.is_api,
            "combined": connection.form.combined,
            "logon": None if connection.logon is None else connection.logon.account.name,
            "subscriptions": self.desk.user_data.ids_on(connection),
        }

    def user_events(self) -> dict[str, int]:
        return dict(self.desk.user_data.streams.sent)
