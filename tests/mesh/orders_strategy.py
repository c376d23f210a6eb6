"""A strategy in a separate actor that trades without pause, and tools for the tests of orders."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import ray
from harness import PATIENCE_S, Tree, until

from tests.fakes.exchange_process import ExchangeProcess
from tests.fakes.planted import Planted, write_0600
from venuemesh.cli.demo.strategies import reconcile, settle
from venuemesh.market.market import AsyncMarket, Market
from venuemesh.mesh.mesh import Mesh
from venuemesh.model.errors import MeshError, NotSynced, OutcomeUnknown, Rejected, RetryLater, UnknownOrder
from venuemesh.model.events import BookState

EXCHANGE, ACCOUNT, PAIR = "binance", "main", "BTC-USDT"
ADDRESS, STREAM = f"orders/{EXCHANGE}/{ACCOUNT}", f"stream/{EXCHANGE}/{ACCOUNT}"
AMOUNT = Decimal("0.002")
STEP_S = 0.06  # two strategies are slower than the limit on weight refills
FAST_S = 0.03  # two strategies use up what refills


def account_config(folder: Path, key: Planted, **more: Any) -> dict[str, Any]:
    """Return the configuration of an account whose key is in two private files."""
    api_key, secret = folder / f"{key.kind}-api-key", folder / f"{key.kind}-secret"
    for path, text in ((api_key, key.api_key), (secret, key.secret)):
        write_0600(path, text)
    files = {"api_key_file": str(api_key), "secret_file": str(secret)}
    return {**files, "recv_window_ms": 1000, **more}


def open_account(exchange: ExchangeProcess, name: str, key: Planted, **balances: str) -> None:
    public = {"public_key": key.public_pem} if key.public_pem is not None else {"secret": key.secret}
    exchange.admin.add_account(name, key.api_key, balances=balances, **public)


class Strategy:
    """Quotes, takes and cancels in turn, one order in each step; follows every event from the first on."""

    def __init__(self, market: AsyncMarket) -> None:
        self._market = market
        self._handed_out: list[str] = []
        self._lost: list[str] = []
        self._asked_for = 0
        self._refused: Counter[str] = Counter()
        self._numbers: list[int] = []
        self._kinds: Counter[str] = Counter()
        self._working: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None

    async def follow(self) -> None:
        """Follow the account's events from now to the end."""
        self._following = asyncio.create_task(self._follow())

    async def begin(self, step_s: float) -> None:
        """Trade until `finish`, one step in `step_s`."""
        self._working = asyncio.create_task(self._trade(step_s))

    async def seen(self) -> dict[str, Any]:
        """Return the counts so far. Raises the error that ended the work."""
        for task in (self._working, self._following):
            if task is not None and task.done():
                task.result()
        return {
            "handed_out": len(self._handed_out),
            "refused": dict(self._refused),
            "kinds": dict(self._kinds),
            "last": self._numbers[-1] if self._numbers else 0,
            "contiguous": self._numbers == list(range(1, len(self._numbers) + 1)),
        }

    async def finish(self) -> tuple[list[str], list[str]]:
        """Stop placing; return the ids that the manager knows, and the ids that will never reach it."""
        if self._working is not None:
            self._working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._working
            self._working = None
        async with asyncio.timeout(PATIENCE_S):
            for one in self._handed_out[self._asked_for :]:
                if not await self._has_fate(one):
                    self._lost.append(one)
        self._asked_for = len(self._handed_out)
        return [one for one in self._handed_out if one not in self._lost], self._lost

    async def _has_fate(self, client_order_id: str) -> bool:
        while True:
            with contextlib.suppress(RetryLater):
                try:
                    await self._market.get_order(client_order_id)
                except UnknownOrder:
                    return False
                return True

    async def rest(self, count: int, price: str, pair: str = PAIR, amount: str = "0.001") -> list[str]:
        """Hand over this many orders to buy and return when they are open."""
        ids = [self._market.buy(pair, amount, price=price) for _ in range(count)]
        for one in ids:
            await self._market.wait(one, "open")
        return ids

    async def sell_all(self, count: int, amount: str, price: str, pair: str) -> list[tuple[str, str]]:
        """Place this many orders to sell at once; return (status or error, its text) for each."""
        answers = await asyncio.gather(
            *(self._market.place("sell", pair, amount, price=price) for _ in range(count)), return_exceptions=True
        )
        return [
            (type(one).__name__, str(one)) if isinstance(one, BaseException) else (one.status.value, one.reason or "")
            for one in answers
        ]

    async def handle_events(self, cursor: str, count: int) -> list[int]:
        """Handle this many events under a cursor; the last event is begun and not finished."""
        numbers = []
        async for event in self._market.events(cursor=cursor):
            numbers.append(event.number)
            if len(numbers) == count:
                break
        return numbers

    async def _follow(self) -> None:
        async for event in self._market.events(after=0):
            self._numbers.append(event.number)
            self._kinds[event.type.value] += 1

    async def _trade(self, step_s: float) -> None:
        for turn in itertools.count():
            try:
                await self._step(turn)
            except (Rejected, RetryLater, OutcomeUnknown, NotSynced) as error:
                self._refused[type(error).__name__] += 1
            await asyncio.sleep(step_s)

    async def _step(self, turn: int) -> None:
        market = self._market
        top = market.order_book(PAIR).top()
        if top.best_bid is None or top.best_ask is None:
            raise RetryLater(0.1, "a side of the book is empty")
        bid, ask = top.best_bid.price, top.best_ask.price
        match turn % 6:
            case 0:
                self._note(market.buy(PAIR, AMOUNT, price=ask, time_in_force="IOC"))
            case 1:
                self._note(market.sell(PAIR, AMOUNT, price=bid, time_in_force="IOC"))
            case 2:
                self._note(market.buy(PAIR, AMOUNT, price=bid * Decimal("0.98")))
            case 3:
                order = market.new_order("sell", PAIR, AMOUNT, "MARKET")
                await market.place_orders([self._noted(order)], expires_s=2.0)
            case 4:
                self._note(market.buy(PAIR, AMOUNT, "LIMIT_MAKER", price=bid))
            case 5:
                market.cancel(self._handed_out[-3])

    def _note(self, client_order_id: str) -> None:
        self._handed_out.append(client_order_id)

    def _noted(self, order: Any) -> Any:
        self._note(order.client_order_id)
        return order


StrategyActor: Any = ray.remote(num_cpus=0)(Strategy)


@dataclass
class Scene:
    """A mesh that trades on one account of the local exchange, and two strategies in it."""

    tree: Tree
    exchange: ExchangeProcess
    journal: Path
    strategies: list[Any] = field(default_factory=list)
    more: list[str] = field(default_factory=list)  # ids handed out elsewhere

    def market(self, owner: str = "test", on_death: str = "keep") -> Market:
        return Mesh(self.tree.mesh).market(EXCHANGE, ACCOUNT, owner=owner, on_death=on_death)

    def strategy(self, owner: str, on_death: str = "keep") -> Any:
        return StrategyActor.remote(self.market(owner, on_death).aio)

    def ready(self) -> None:
        """Return when the account takes orders and the book is LIVE."""
        self.market().wait_trading(PATIENCE_S)
        book = self.market().order_book(PAIR)
        until(f"{PAIR} is LIVE", lambda: book.state is BookState.LIVE)

    def seen(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = ray.get([one.seen.remote() for one in self.strategies])
        return found

    def more_orders(self, count: int) -> None:
        """Return when every strategy has handed out this many more orders."""
        before = [one["handed_out"] for one in self.seen()]
        until(
            f"{count} more orders of each strategy",
            lambda: all(now["handed_out"] >= was + count for now, was in zip(self.seen(), before, strict=True)),
        )

    @contextlib.contextmanager
    def trading(self, step_s: float = STEP_S) -> Iterator[None]:
        """Let both strategies trade in the block; then bring the account to rest and compare it with the exchange's
        ledger."""
        ray.get([one.begin.remote(step_s) for one in self.strategies])
        self.more_orders(12)
        yield
        self.more_orders(12)
        self.agrees()

    def agrees(self) -> dict[str, Any]:
        """Bring the account to rest and compare everything with the exchange's ledger; return the comparison."""
        finished = ray.get([strategy.finish.remote() for strategy in self.strategies])
        handed_out = [one for known, _ in finished for one in known]
        market = self.market().aio

        async def at_rest() -> dict[str, Any]:
            await market.wait_trading(PATIENCE_S)
            await settle(market)
            return await reconcile(market, self.exchange.admin, handed_out + self.more)

        result = asyncio.run(at_rest())
        assert result["problems"] == []
        for lost in (one for _, unseen in finished for one in unseen):
            assert self.exchange.admin.receipt(ACCOUNT, lost)["received"] == 0
        last = self.status()["last_event"]
        until("both have followed to the last event", lambda: all(one["last"] >= last for one in self.seen()))
        for one in self.seen():
            assert one["contiguous"], one
        return result

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.patient(lambda: self.market().account_status())
        return found

    def patient(self, ask: Callable[[], Any]) -> Any:
        """Return the result of `ask` once the manager answers."""

        def probe() -> tuple[Any]:
            return (ask(),)

        def tried() -> Any:
            with contextlib.suppress(RetryLater):
                return probe()

        return until("an answer", tried)[0]

    def refused(self, **order: Any) -> MeshError:
        """Return the error of placing an order."""
        market = self.market()
        try:
            placed = market.place("buy", PAIR, "0.001", price="40000", **order)
        except MeshError as error:
            return error
        raise AssertionError(f"accepted: {placed}")
