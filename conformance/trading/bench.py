"""One account on one exchange for the trading checks: its roles, a market, and an independent witness."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from ...config.accounts import AccountTable
from ...connectors.order_codec import Auth, TradingCodec, TradingConnector, trading_connector
from ...connectors.reports import OrderReport
from ...keystore.key import Key
from ...keystore.secrets import read_key
from ...market.market import AsyncMarket
from ...market.values import Page
from ...model import rules
from ...model.address import catalog_address, orders_address, stream_address
from ...model.errors import MeshError, Misconfigured, OutcomeUnknown, Rejected, RetryLater
from ...model.events import Side
from ...model.instrument import Instrument
from ...model.order import AccountEvent, Balance, Fill, NewOrder, Order, OrderStatus, OrderType, TimeInForce
from ...testing import LocalMesh
from ..market.live import choose
from ..market.suite import expect
from . import sizes
from .venue import Venue, Witness

T = TypeVar("T")
R = TypeVar("R")  # a row of a listing
ACCOUNT = "main"
SETTLE_S = 0.02  # between two looks at an account that starts
READY_S = 45.0
LOOK_S = 0.05  # between two checks of the state of the mesh
LOOK_AGAIN_S = 0.25  # between two requests to the exchange, which use rate limits
BALANCES_AGAIN_S = 3.0  # between two requests for the same balances, which are expensive at every exchange
SOON_S = 20.0  # time limit for the mesh to react
POLLED_SOON_S = 60.0  # the same without a user stream, because polling is slow without changes
PAGE = 500


class Desk:
    """Open with a `with` block. The desk cancels its orders after every check, and again when the block ends.

    Raises:
        Misconfigured: the key is not usable, the account has too little, or the pair has open orders, which a run
        could change.
        RetryLater: the account did not become ready.
    """

    def __init__(self, connector: TradingConnector, venue: Venue) -> None:
        self.connector, self.venue = trading_connector(connector), venue
        self.exchange = connector.name
        self._account = AccountTable.model_validate(dict(venue.account), context={"folder": Path.cwd()})
        self.is_polling = self._account.stream == "polling"
        self.soon_s = POLLED_SOON_S if self.is_polling else SOON_S
        self.handed_out: list[str] = []  # client order ids of all orders
        self.placed_outside: list[str] = []  # client order ids of the witness's orders
        self._tidied = (0, 0)  # number of ids of both lists that were found closed
        self.orders_at = orders_address(self.exchange, ACCOUNT)
        self.stream_at = stream_address(self.exchange, ACCOUNT)
        self._listed: list[Instrument] = []
        self.instrument: Instrument
        self.key: Key
        self.mesh: LocalMesh
        self.market: AsyncMarket
        self.witness: Witness

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="venuemesh-"))
        try:
            self._open()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.mesh.run(self._leave_nothing(), READY_S)
        finally:
            self._close()

    def _open(self) -> None:
        self.key = read_key(self._account.key, self.exchange)
        self.mesh = self._mesh("conformance")
        self.mesh.start_markets()
        rows = self.mesh.ask(catalog_address(self.exchange), "instruments", None, READY_S)["instruments"]
        self._listed = [Instrument.from_dict(row) for row in rows]
        codec = self.connector.codec(rest=self.venue.rest, ws=self.venue.ws)
        self.instrument = choose(codec, self._listed, self.venue.pair)
        self._follow(self.mesh)
        own = None
        if self.venue.witness is not None:
            table = AccountTable.model_validate(dict(self.venue.witness), context={"folder": Path.cwd()})
            own = read_key(table.key, self.exchange)
        self.witness = Witness(self.codec(), codec, self.auth(own), self.instrument)
        found = self.mesh.run(self.witness.open_orders(), SOON_S)
        if found:
            raise Misconfigured(
                f"the account on {self.exchange}",
                f"has {len(found)} open orders on {self.pair}, which a run could change: "
                "cancel them or choose another pair",
            )
        self.market = self.mesh.aio.market(self.exchange, ACCOUNT)
        asyncio.run(self._refuse_too_little())
        self.mesh.start_accounts()
        asyncio.run(self._settle())

    async def _settle(self) -> None:
        """Wait until the account is ready; the start of its user stream begins another round of questions."""
        await self.market.wait_trading(READY_S)
        async with asyncio.timeout(READY_S):
            while not ((status := await self.market.account_status())["ready"] and status["stream_up"]):  # noqa: ASYNC110 - no notice comes
                await asyncio.sleep(SETTLE_S)

    async def _refuse_too_little(self) -> None:
        wanted = sizes.needs(self.instrument, *await self.touch(), self.codec().offer.taker_fee)
        held = await self.ask(self.witness.balances())
        for asset, amount in ((self.instrument.base, wanted.base), (self.instrument.quote, wanted.quote)):
            free = held.get(asset, (Decimal(0), Decimal(0)))[0]
            if free < amount:
                raise Misconfigured(
                    f"the account on {self.exchange}", f"has {free:f} {asset} free; a run needs {amount:f}"
                )

    def _close(self) -> None:
        try:
            if hasattr(self, "witness"):
                self.mesh.run(self.witness.close(), SOON_S)
        finally:
            try:
                if hasattr(self, "mesh"):
                    self.mesh.close()
            finally:
                shutil.rmtree(self._folder, ignore_errors=True)

    def _mesh(self, name: str) -> LocalMesh:
        """Make a mesh in this process on the account, with a separate folder and journal; start nothing."""
        venue = self.venue
        urls = {name: url for name in ("rest", "ws", "ws_api") if (url := getattr(venue, name)) is not None}
        exchange = {
            **urls,
            "limits": dict(venue.limits),
            "connector": self.connector.name,
            "accounts": {ACCOUNT: self._account.model_dump(exclude_none=True)},
        }
        config = {"mesh": {"name": name}, "exchanges": {self.exchange: exchange}}
        folder = self._folder / f"{name}-{time.monotonic_ns()}"
        folder.mkdir()
        return LocalMesh(config, folder=folder, connectors=[self.connector])

    def _follow(self, mesh: LocalMesh) -> None:
        """Make the pair known to the mesh's market without running its book, which no check reads."""
        mesh.market(self.exchange).stop_network()
        mesh.track(self.exchange, self.pair)

    @contextlib.contextmanager
    def another_mesh(self) -> Iterator[AsyncMarket]:
        """Yield the market of a second mesh with its own journal on the account. Stop the first mesh's roles before."""
        with self._mesh("another") as mesh:
            self._follow(mesh)
            yield mesh.aio.market(self.exchange, ACCOUNT)

    def codec(self) -> TradingCodec:
        """Return a fresh codec that knows the exchange's instruments."""
        codec = self.connector.trading(self.venue.rest, self.venue.ws_api)
        codec.bind(self._listed)
        return codec

    def auth(self, key: Key | None = None) -> Auth:
        """Return the signer of a key; without a key, the signer of the account's key."""
        key = key or self.key
        return self.connector.auth(key.kind, key.api_key, key.secret, **key.fields)

    # ------------------------------------------------------------------ the market

    @property
    def pair(self) -> str:
        return self.instrument.name

    async def ask(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of the witness on the mesh's loop and await its result."""
        return await self.mesh.run_async(work)

    async def touch(self) -> tuple[Decimal, Decimal]:
        """Return best bid and best ask. Raises AssertionError when a side of the book is empty."""
        book = await self._patient(lambda: self.market.get_snapshot(self.pair, sizes.LEVELS))
        bid, ask = book.best_bid, book.best_ask
        if bid is None or ask is None:
            raise AssertionError(f"a side of the book of {self.pair} is empty: the check cannot trade")
        return bid.price, ask.price

    async def sized(self, side: Side, rank: int = 0) -> tuple[Decimal, Decimal]:
        """Return a price far from the best price, and an amount that the exchange accepts at every price of a run."""
        bid, ask = await self.touch()
        amount = sizes.least(self.instrument, sizes.far(self.instrument, Side.BUY, bid, ask))
        return sizes.far(self.instrument, side, bid, ask, rank), amount

    async def place(self, side: Side, order_type: OrderType, amount: Decimal | None, **more: Any) -> Order:
        """Place one order through the market, and keep its id even when placing fails.

        When the rate budget is used up, wait and place a new order, because the refusal of the first order is final.
        """

        async def try_once() -> Order:
            new = self.market.new_order(side, self.pair, amount, order_type, **more)
            self.handed_out.append(new.client_order_id)
            return (await self.market.place_orders([new]))[0]

        return await self._patient(try_once)

    async def _patient(self, work: Callable[[], Awaitable[T]]) -> T:
        """Repeat work that a rate limit refuses, until the limit allows it."""
        deadline = time.monotonic() + READY_S
        while True:
            try:
                return await work()
            except RetryLater as error:
                wait_s = max(error.after_s or 0.0, LOOK_AGAIN_S)
                if self.mesh.failures or time.monotonic() + wait_s > deadline:
                    raise
                await asyncio.sleep(wait_s)

    async def rest(self, side: Side, rank: int = 0, **more: Any) -> Order:
        """Place a limit order that rests far from the best price; it is OPEN."""
        price, amount = await self.sized(side, rank)
        order = await self.place(side, OrderType.LIMIT, amount, price=price, time_in_force=TimeInForce.GTC, **more)
        expect_status(order, "a limit order far from the market", OrderStatus.OPEN)
        return order

    async def take(self, side: Side, *, charged: bool = True) -> Order:
        """Place a market order of the smallest amount and wait until it is FILLED, and `charged` (see there)."""
        _, amount = await self.sized(side)
        if side is Side.BUY and self.codec().offer.by_spent_asset:
            _, ask = await self.touch()
            spend = rules.quantize_price(self.instrument, amount * ask)
            order = await self.place(side, OrderType.MARKET, None, quote_amount=spend)
        else:
            order = await self.place(side, OrderType.MARKET, amount)
        done = await self.market.wait(order.client_order_id, timeout_s=self.soon_s)
        expect_status(done, f"a market order of {amount:f}", OrderStatus.FILLED)
        return await self.charged(done) if charged else done

    async def charged(self, order: Order) -> Order:
        """Return an order that is done once each of its fills has its fee, where the exchange states fees later."""
        name = order.client_order_id

        async def stated() -> bool:
            return all(fill.fees for fill in await self.fills(name))

        if self.codec().offer.late_fees:
            await self.until("the fees of an order's fills", stated, LOOK_AGAIN_S)
        return await self.market.get_order(name)

    @contextlib.asynccontextmanager
    async def without_stream(self) -> AsyncIterator[None]:
        """Kill the user stream for the block, and restart it after the block."""
        await asyncio.to_thread(self.mesh.kill, self.stream_at)
        try:
            yield
        finally:
            await asyncio.to_thread(self.mesh.restart, self.stream_at)

    async def until(self, what: str, look: Callable[[], Awaitable[T | None]], look_s: float = LOOK_S) -> T:
        """Call `look` until its result is true and return that. Raises AssertionError with `what` after `soon_s`."""
        deadline = time.monotonic() + self.soon_s
        while True:
            found = await look()
            if found:
                return found
            expect(time.monotonic() < deadline, f"waited {self.soon_s:g} s for {what}, without success")
            await asyncio.sleep(look_s)

    # ------------------------------------------------------------------ the mesh's records

    async def events(self, after: int = 0) -> list[AccountEvent]:
        """Return all durable events after an event number."""
        found: list[AccountEvent] = []
        deadline = time.monotonic() + self.soon_s
        while True:
            body = {"after": after, "limit": PAGE, "owner": None}
            try:
                answer = await self.mesh.ask_async(self.orders_at, "poll:events", body, 0.05)
            except RetryLater:  # the machine is too busy to answer in time
                if time.monotonic() >= deadline:
                    raise
                await asyncio.sleep(LOOK_AGAIN_S)
                continue
            if not answer or not answer["events"]:
                return found
            found += [AccountEvent.from_dict(plain) for plain in answer["events"]]
            after = found[-1].number

    async def last_event(self) -> int:
        known = await self.events()
        return known[-1].number if known else 0

    async def fills(self, client_order_id: str | None = None) -> Sequence[Fill]:
        return await self._every(lambda after: self.market.fills(client_order_id=client_order_id, after=after))

    async def all_orders(self) -> Sequence[Order]:
        return await self._every(lambda after: self.market.orders(after=after))

    async def _every(self, page: Callable[[int], Awaitable[Page[R]]]) -> list[R]:
        found: list[R] = []
        after: int | None = 0
        while after is not None:
            rows = await page(after)
            found, after = found + list(rows), rows.next
        return found

    @property
    def _look_s(self) -> float:
        """Return the pause between two requests for the balances, so that they use at most a quarter of any limit."""
        if self.venue.limits:
            return LOOK_AGAIN_S  # the exchange grants more
        spent = ((self.connector.spec.limit(name), amount) for name, amount in self.codec().account().cost)
        return max([LOOK_AGAIN_S, *(4 * amount * limit.per_s / limit.amount for limit, amount in spent)])

    async def settled_balances(self) -> dict[str, Balance]:
        """Wait until the mesh's balances equal the exchange's, nothing of them reserved, and return them. Raises
        AssertionError if they differ.

        The request is repeated when the mesh's balances have changed, or after `BALANCES_AGAIN_S`.
        """
        differences: list[str] = []
        compared: dict[str, Balance] | None = None
        again_s = 0.0

        async def same() -> dict[str, Balance] | None:
            nonlocal compared, again_s
            ours = await self.market.balances()
            if ours == compared and time.monotonic() < again_s:
                return None
            compared, again_s = ours, time.monotonic() + BALANCES_AGAIN_S
            theirs = await self.ask(self.witness.balances())
            held = {asset: (own.free, own.locked) for asset, own in ours.items() if own.free or own.locked}
            differences[:] = [
                f"{asset}: the mesh has {_pair(held.get(asset))}, the exchange has {_pair(theirs.get(asset))}"
                for asset in sorted(held.keys() | theirs.keys())
                if held.get(asset) != theirs.get(asset)
            ]
            differences.extend(
                f"{asset}: {own.free - own.available:f} is still reserved"
                for asset, own in ours.items()
                if own.free != own.available
            )
            return ours if not differences else None

        try:
            return await self.until("balances equal to the exchange's", same, look_s=self._look_s)
        except AssertionError as error:
            raise AssertionError(f"{error}: {'; '.join(differences)}") from error

    # ------------------------------------------------------------------ cleaning up

    async def tidy(self) -> None:
        """Cancel the open orders of the mesh, then the orders of this check that the exchange still has open."""
        # a check may have stopped the manager; the witness works without a manager
        with contextlib.suppress(MeshError):
            await self.market.cancel_all(SOON_S)
        await self.ask(self._leave_nothing())

    async def _leave_nothing(self) -> None:
        """Cancel orders placed since the last call through the witness alone; runs on the mesh's loop."""
        names = [*self.handed_out[self._tidied[0] :], *self.placed_outside[self._tidied[1] :]]
        for name in names:
            found = await self._open_at_exchange(name)
            if found is not None:
                with contextlib.suppress(Rejected, OutcomeUnknown):  # the next query shows whether it is still open
                    await self.witness.cancel(self.stand_in(found))
                still_open = await self._open_at_exchange(name)
                expect(still_open is None, f"order {name} is still open at {self.exchange}: cancel it by hand")
        self._tidied = len(self.handed_out), len(self.placed_outside)

    async def _open_at_exchange(self, client_order_id: str) -> OrderReport | None:
        found = await self.witness.order(client_order_id)
        return None if found is None or found.status is None or found.status.is_terminal else found

    def outside(self, order: NewOrder) -> NewOrder:
        """Return the order for the witness to place: its id has not our form, so no mesh adopts it."""
        new = replace(order, client_order_id=f"outside{order.client_order_id[-10:]}")
        self.placed_outside.append(new.client_order_id)
        return new

    def stand_in(self, report: OrderReport) -> Order:
        """Return an order with the fields that a cancel needs."""
        return Order(
            exchange=self.exchange,
            account=ACCOUNT,
            client_order_id=report.client_order_id,
            pair=self.pair,
            side=report.side or Side.BUY,
            order_type=report.order_type or OrderType.LIMIT,
            amount=report.amount,
            price=report.price,
            time_in_force=report.time_in_force,
            status=OrderStatus.OPEN,
            created_ns=0,
            updated_ns=0,
            exchange_order_id=report.exchange_order_id,
        )


def expect_status(order: Order, what: str, *expected: OrderStatus) -> None:
    """Raise AssertionError, which names the order by `what`, unless it has one of the expected statuses."""
    wanted = " or ".join(status.value for status in expected)
    expect(order.status in expected, f"{what} is {status_text(order)}, expected {wanted}")


def status_text(order: Order) -> str:
    """Return an order's status, with code and reason if it has any."""
    why = f" ({order.code}: {order.reason})" if order.code or order.reason else ""
    return f"{order.status.value}{why}"


def _pair(held: tuple[Decimal, Decimal] | None) -> str:
    return "nothing" if held is None else f"{held[0]:f} free and {held[1]:f} locked"
