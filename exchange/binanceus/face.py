"""Binance.US's face of the local exchange: Binance's with its own tables, limits and user data streams.

Source: rest-api.md (LIMITS, Rate limiters, User data stream endpoints), user-data-stream.md, web-socket-streams.md,
read 2026-11-27. The manual's figures for orders differ from page to page: here the lower ones of its examples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from ..binance import errors
from ..binance.client import Client
from ..binance.desk import Desk
from ..binance.errors import ApiError
from ..binance.face import Binance
from ..binance.front import Outcome
from ..binance.limits import Limits as BinanceLimits
from ..binance.rest import Rest as BinanceRest
from ..binance.sockets import Sockets as BinanceSockets
from ..floor import Floor
from ..public_face import PublicFace
from .listen_keys import UserData
from .methods import BY_PATH, BY_ROUTE

KEYS = "/api/v3/userDataStream"


@dataclass(slots=True)
class Limits(BinanceLimits):
    """The manual's limits where they differ. Tests may change them while the exchange runs."""

    ping_s: float = 180.0
    idle_s: float = 600.0
    weight: int = field(default=1200, metadata={"least": 1})
    raw_requests: int = field(default=5000, metadata={"least": 1})
    orders_10s: int = 50
    orders_1d: int = 160_000


class Rest(BinanceRest):
    """Answers every HTTP request, those about listen keys with a key alone."""

    def __init__(self, desk: Desk, user_data: UserData) -> None:
        super().__init__(desk, BY_ROUTE, BY_PATH)
        self._user_data = user_data

    def unsigned(self, request: web.Request) -> Outcome:
        if request.path != KEYS or request.method not in ("POST", "PUT", "DELETE"):
            return super().unsigned(request)
        headers: dict[str, str] = {}
        try:
            self.spend(request, 1, self.desk.now_ns(), headers)
            return Outcome(200, self._listen_key(request), headers)
        except ApiError as error:
            return self.failed(request, error, headers)

    def _listen_key(self, request: web.Request) -> dict[str, str]:
        owner = self.desk.floor.owner(request.headers.get("X-MBX-APIKEY"))
        if owner is None or owner[1].revoked or not owner[1].can_read:
            raise errors.bad_key()
        now_ns = self.desk.now_ns()
        if request.method == "POST":
            if request.query:
                raise errors.unread(0, len(request.query))
            return {"listenKey": self._user_data.start(owner[0], owner[1].name, now_ns)}
        if not request.query.get("listenKey"):
            raise errors.missing("listenKey")
        self._user_data.change(owner[0], request.query["listenKey"], now_ns, ends=request.method == "DELETE")
        return {}


class Sockets(BinanceSockets):
    """Serves the streams; a listen key in the address is an account's stream."""

    def __init__(self, desk: Desk, user_data: UserData) -> None:
        super().__init__(desk)
        self._user_data = user_data

    def subscribe(self, client: Client, name: str) -> None:
        if not self._user_data.listen(client, name, self.desk.now_ns()):
            super().subscribe(client, name)


class BinanceUs(Binance):
    """Binance.US's `Face`."""

    name = "binanceus"

    def __init__(self, floor: Floor) -> None:
        self._user_data = UserData(floor, self.name)
        PublicFace.__init__(self, Desk(floor, self.name, Limits(), self._user_data))

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        rest, sockets = Rest(self.desk, self._user_data), Sockets(self.desk, self._user_data)
        return [
            web.get("/ws", sockets.raw),
            web.get("/ws/{names:.*}", sockets.raw),
            web.get("/stream", sockets.combined),
            web.route("*", "/{path:.*}", rest.handle),
        ]

    def urls(self, host: str) -> Mapping[str, str]:
        return {"rest": f"http://{host}", "ws": f"ws://{host}", "ws_private": f"ws://{host}"}

    def tick(self, number: int) -> None:
        super().tick(number)
        if number % 100 == 0:
            self._user_data.expire_old(self.desk.now_ns())
