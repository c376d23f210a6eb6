"""The websocket side of ccxt as one connection of the mesh: ccxt connects, we pass on what it has read.

    mesh -> link   {"op": "watch", "symbol", "id", "depth"}, "unwatch"; {"op": "login", "key"}, {"op": "account", "id"}
    link -> mesh   {"kind": "book" | "trades" | "orders" | "fills" | "balance" | "done" | "refused", ...}

A subscription is done when its first whole book has come. Any error of ccxt after that ends the connection, because
ccxt cannot say what was missed; the feed opens another one. Where ccxt has no websocket for books, a book is requested
every `poll_s` over REST.

ccxt's clients have their own sockets. Each message and each pong of the exchange is a sign of life of the link.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from ...model.errors import LONGEST_REASON, MeshError
from ..transport.clock import Clock
from ..transport.link import OK, FrameHandler, LinkState
from ..transport.rest import Rest
from .calls import dumped
from .session import Failed, Session, settings_of

QUERY = ("rest", "ws", "private")
CLOSE_S = 5.0
LOOK_S = 0.2  # how often the list of orders is compared
STATE = ("status", "filled", "amount", "price", "lastUpdateTimestamp")


class CcxtLink(LinkState):
    """One instance of ccxt's class, its sockets, and the tasks that watch."""

    def __init__(self, handler: FrameHandler, clock: Clock, url: str) -> None:
        super().__init__(handler, clock)
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self._exchange_id = parts.netloc
        self._where = {name: query[name] for name in QUERY if name in query}
        self._settings = settings_of(query.get("settings", "{}"))
        self._sandbox = query.get("sandbox") == "true"
        self._poll_s = float(query.get("poll_s", "2"))
        self._rest = Rest()
        self._session = self._opened_session({}, exact=False)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._closing: asyncio.Task[None] | None = None

    def _opened_session(self, key: dict[str, str], *, exact: bool) -> Session:
        return Session(
            self._exchange_id,
            rest=self._where.get("rest"),
            ws=self._where.get("ws"),
            private=self._where.get("private"),
            key=key,
            settings=self._settings,
            sandbox=self._sandbox,
            exact=exact,
            on_message=self._heard,
        )

    def _heard(self, error: Exception | None = None) -> None:
        if error is not None:
            self.leave(f"ccxt cannot read a message: {type(error).__name__}: {error}"[:LONGEST_REASON], OK)
        self.last_recv_ns = self._monotonic_ns()

    def open(self) -> None:
        self._opened()

    def send(self, text: bytes) -> None:
        if self.reason is not None:
            return
        message = orjson.loads(text)
        op = message["op"]
        if op == "login":
            self._session = self._opened_session(message["key"], exact=True)
        elif op == "account":
            self._start("account", self._account(message["id"]))
        elif op == "watch":
            self._start(message["symbol"], self._market(message["symbol"], message["id"], message["depth"]))
        elif op == "unwatch":
            if (task := self._tasks.pop(message["symbol"], None)) is not None:
                task.cancel()
            self._say(kind="done", id=message["id"])

    def ping(self) -> None:
        """Look for pongs: ccxt's clients send the pings themselves."""
        exchange = self._session.exchange
        pongs = [client.lastPong for client in (exchange.clients or {}).values() if client.lastPong]
        if pongs:
            age_ns = max(0, self._time_ns() - int(max(pongs)) * 1_000_000)
            self.last_recv_ns = max(self.last_recv_ns, self._monotonic_ns() - age_ns)

    def abort(self) -> None:
        self._close()

    def _send_close(self, code: int) -> None:
        self._close()

    def _close(self) -> None:
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._closed())

    async def _closed(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._session.close()
        await self._rest.close()
        self._lost("closed")

    def _start(self, name: str, work: Any) -> None:
        if (old := self._tasks.pop(name, None)) is not None:
            old.cancel()
        task = self._tasks[name] = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._ended_task)

    def _ended_task(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        kind = "" if isinstance(error, MeshError | Failed) else f"{type(error).__name__}: "
        self.leave(f"ccxt: {kind}{error}"[:LONGEST_REASON], OK)

    def _say(self, **message: Any) -> None:
        if self.reason is None:
            try:
                self._on_frame(dumped(message), self._time_ns())
            except BaseException as failure:
                self._fail(failure)

    async def _refusable(self, request_id: int, work: Callable[[], Awaitable[Any]]) -> Any:
        """Return the first result of a subscription; None if the exchange refuses it."""
        try:
            return await work()
        except Failed as failed:
            if "OperationFailed" in failed.kinds:
                raise
            self._say(kind="refused", id=request_id, code=failed.kinds[0], reason=failed.reason[:1000])
            return None

    # Market data

    async def _market(self, symbol: str, request_id: int, depth: int) -> None:
        by_socket = self._session.exchange.has.get("watchOrderBook") is True

        async def book() -> Any:
            watch = "watch_order_book" if by_socket else "fetch_order_book"
            return await self._ask(lambda exchange: getattr(exchange, watch)(symbol))

        first = await self._refusable(request_id, book)
        if first is None:
            return
        self._say(kind="done", id=request_id)
        self._book(symbol, first, depth)
        trades = None
        if self._session.exchange.has.get("watchTrades") is True:
            trades = asyncio.ensure_future(self._trades(symbol))
        try:
            while self.reason is None:
                if not by_socket:
                    await asyncio.sleep(self._poll_s)
                following = asyncio.ensure_future(book())
                waited = {following} if trades is None else {following, trades}
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
                if trades is not None and trades.done():
                    following.cancel()
                    trades.result()
                    return
                self._book(symbol, following.result(), depth)
        finally:
            if trades is not None:
                trades.cancel()

    def _book(self, symbol: str, found: Any, depth: int) -> None:
        self._heard()
        sides = {side: [level[:2] for level in found[side][:depth]] for side in ("bids", "asks")}
        self._say(kind="book", symbol=symbol, timestamp=found.get("timestamp"), **sides)

    async def _trades(self, symbol: str) -> None:
        names = ("id", "price", "amount", "side", "timestamp")
        while True:
            found = await self._ask(lambda exchange: exchange.watch_trades(symbol))
            self._say(kind="trades", symbol=symbol, trades=[{name: one.get(name) for name in names} for one in found])

    # The account

    async def _account(self, request_id: str) -> None:
        exchange = self._session.exchange
        await self._ask(lambda one: one.fetch_balance())  # the key is accepted
        watches = [
            asyncio.ensure_future(self._orders()),
            asyncio.ensure_future(self._watched("fills", exchange.watch_my_trades)),
            asyncio.ensure_future(self._watched("balance", exchange.watch_balance)),
        ]
        self._say(kind="opened", id=request_id)
        try:
            done, _ = await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
        finally:
            for one in watches:
                one.cancel()
            await asyncio.gather(*watches, return_exceptions=True)

    async def _orders(self) -> None:
        """Pass on the latest state of every order. A call of `watch_orders` may return an order before its last change,
        and another call waits for the next one, so ccxt's own list is compared."""
        seen: dict[str, tuple[Any, ...]] = {}
        watch: asyncio.Future[Any] | None = None
        try:
            while True:
                if watch is None:
                    watch = asyncio.ensure_future(self._ask(lambda exchange: exchange.watch_orders()))
                await asyncio.wait({watch}, timeout=LOOK_S)
                if watch.done():
                    watch.result()
                    watch = None
                listed = list(self._session.exchange.orders or ())
                states = {one["id"]: tuple(one.get(name) for name in STATE) for one in listed}
                changed = [one for one in listed if seen.get(one["id"]) != states[one["id"]]]
                seen = states
                if changed:
                    self._say(kind="orders", content=changed)
        finally:
            if watch is not None:
                watch.cancel()

    async def _watched(self, kind: str, watch: Callable[[], Awaitable[Any]]) -> None:
        while True:
            found = await self._ask(lambda _: watch())
            self._say(kind=kind, content=found)

    async def _ask(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        return await self._session.call(work, self._rest.send)


async def dial(url: str, handler: FrameHandler, clock: Clock, *, timeout_s: float, max_message: int) -> CcxtLink:
    """Open a link; ccxt connects when something is watched. Raises Misconfigured: ccxt is not installed."""
    link = CcxtLink(handler, clock, url)
    assert link._session.exchange is not None
    link.open()
    return link
