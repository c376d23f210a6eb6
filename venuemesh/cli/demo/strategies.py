"""The trading part of the demonstration: a quoter, a taker, the order manager's death, the reconciliation."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from ...exchange.admin.client import AdminClient
from ...market.aio.ticks import every
from ...market.market import AsyncMarket
from ...market.values import Page
from ...mesh.mesh import AsyncMesh
from ...model.address import orders_address
from ...model.errors import MeshError, NotSynced, OutcomeUnknown, Rejected, RetryLater, UnknownOrder
from ...model.order import AccountEvent, OrderStatus
from ...model.shown import few
from ..grid import Column, Grid
from .audit import compare

ACCOUNT = "main"
FUNDS = {"USDT": "1000000", "BTC": "20", "ETH": "300", "SOL": "5000", "BNB": "1500"}
WORTH = Decimal(50)  # value of one order, in the quote asset (in BTC: a thousandth of it)
QUOTE_S, TAKE_S = 1.0, 0.5  # pause between renewals of a pair's quotes, and between orders of the taker: 4 orders/s
IN_FLIGHT = 6  # orders handed over right before the manager is killed
REST_LIMIT_S = 30.0
T = TypeVar("T")


def write_secrets(folder: Path) -> dict[str, Any]:
    """Make a key, write its files, and return the account's configuration that names them."""
    api_key, secret = secrets.token_hex(16), secrets.token_hex(32)
    found = {"api_key_file": folder / "api-key", "secret_file": folder / "secret"}
    for path, text in zip(found.values(), (api_key, secret), strict=True):
        path.touch(mode=0o600)
        path.write_text(text)
    lines = ", ".join(f'{asset} = "{amount}"' for asset, amount in FUNDS.items())
    accounts = folder / "accounts.toml"
    accounts.touch(mode=0o600)
    accounts.write_text(
        f'[accounts.{ACCOUNT}]\nbalances = {{{lines}}}\nkeys = [{{key = "{api_key}", secret_file = "secret"}}]\n'
    )
    return {name: str(path) for name, path in found.items()}


class Trader:
    """One strategy's orders: the quoter rests on both sides of the books, the taker crosses the spread."""

    def __init__(
        self, market: AsyncMarket, style: str, quote_s: float = QUOTE_S, pairs: Sequence[str] | None = None
    ) -> None:
        """`quote_s`: the pause between two renewals of the quotes. `pairs`: those to trade; None: all."""
        self._pairs = pairs
        self._market, self._style, self._quote_s = market, style, quote_s
        self._handed_out: list[str] = []
        self._refused: Counter[str] = Counter()
        self._counted: Counter[str] = Counter()
        self._last = 0
        self._holes = 0
        self._running = True
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        work = self._quote() if self._style == "quoter" else self._take()
        self._tasks = [asyncio.create_task(work), asyncio.create_task(self._follow())]

    def seen(self) -> dict[str, Any]:
        """Return counts of events by type, refusals by reason, gaps in the numbers. Raises the error of a task."""
        for task in self._tasks:
            if task.done():
                task.result()
        return {"events": dict(self._counted), "last": self._last, "holes": self._holes, "refused": dict(self._refused)}

    async def finish(self) -> list[str]:
        """Stop placing orders; return the ids of all orders that reached the manager. No other order will reach it."""
        self._running = False
        await self._tasks[0]
        arrived = []
        async with asyncio.timeout(REST_LIMIT_S):
            for order_id in self._handed_out:
                with contextlib.suppress(UnknownOrder):
                    await self._market.get_order(order_id)
                    arrived.append(order_id)
        return arrived

    async def _follow(self) -> None:
        async for event in self._market.events(after=0):
            self._holes += event.number - self._last - 1
            self._last = event.number
            if event.owner == self._market.owner:
                self._counted[event.type.value] += 1

    async def _quote(self) -> None:
        resting: dict[str, list[str]] = {}
        while self._running:
            for pair in self._pairs or self._market.trading_pairs:
                with self._refusals():
                    for order_id in resting.pop(pair, []):
                        self._market.cancel(order_id)
                    bid, ask = self._touch(pair)
                    step = self._market.price_increment(pair)
                    amount = self._amount(pair, bid)
                    resting[pair] = [
                        self._note(self._market.buy(pair, amount, "LIMIT_MAKER", price=bid - step)),
                        self._note(self._market.sell(pair, amount, "LIMIT_MAKER", price=ask + step)),
                    ]
                await asyncio.sleep(self._quote_s)

    async def _take(self) -> None:
        turn = 0
        while self._running:
            for pair in self._market.trading_pairs:
                turn += 1
                with self._refusals():
                    bid, ask = self._touch(pair)
                    side, price = ("buy", ask) if turn % 2 else ("sell", bid)
                    amount = self._amount(pair, price)
                    order = (
                        self._market.new_order(side, pair, amount, "MARKET")
                        if turn % 5 == 0
                        else self._market.new_order(side, pair, amount, "LIMIT", price, "IOC")
                    )
                    self._note(order.client_order_id)
                    await self._market.place_orders([order])
                await asyncio.sleep(TAKE_S)

    def _touch(self, pair: str) -> tuple[Decimal, Decimal]:
        """Best bid and ask. Raises RetryLater: a side of the book is empty."""
        return touch(self._market, pair)

    def _amount(self, pair: str, price: Decimal) -> Decimal:
        worth = WORTH if pair.endswith("USDT") else WORTH / 20_000
        return self._market.quantize_amount(pair, worth / price)

    def _note(self, client_order_id: str) -> str:
        self._handed_out.append(client_order_id)
        return client_order_id

    @contextlib.contextmanager
    def _refusals(self) -> Any:
        try:
            yield
        except (Rejected, RetryLater, OutcomeUnknown, NotSynced) as error:
            self._refused[type(error).__name__] += 1


def touch(market: AsyncMarket, pair: str) -> tuple[Decimal, Decimal]:
    """Best bid and ask of a pair. Raises NotSynced; RetryLater: a side of the book is empty."""
    top = market.order_book(pair).top()
    bid, ask = top.best_bid, top.best_ask
    if bid is None or ask is None:
        raise RetryLater(0.1, f"a side of {pair} is empty")
    return bid.price, ask.price


@dataclass(slots=True)
class ManagerDeath:
    """The kill of the order manager, and the ids handed over right before it.

    Milliseconds from the kill: `serving_ms` until the next manager took orders and cancels, `reconciled_ms` until no
    unanswered request of the killed one could still reach the exchange, so that each outcome was known.
    """

    address: str
    pid: int
    in_flight: list[str] = field(default_factory=list)
    serving_ms: float | None = None
    reconciled_ms: float | None = None
    fates: dict[str, str] = field(default_factory=dict)


async def kill_manager(mesh: AsyncMesh, market: AsyncMarket, limit_s: float) -> ManagerDeath:
    """Hand over some orders, SIGKILL their manager, and measure until its successor serves, and is reconciled."""
    assert market.account is not None
    address = orders_address(market.exchange, market.account)
    child = next(row for row in (await mesh.status())["children"] if row["address"] == address)
    before = (await market.account_status())["incarnation"]
    pair = market.trading_pairs[0]
    price = market.quantize_price(pair, touch(market, pair)[0] * Decimal("0.97"))
    amount = market.quantize_amount(pair, WORTH / price)
    death = ManagerDeath(address, child["pid"])
    death.in_flight = [market.buy(pair, amount, price=price) for _ in range(IN_FLIGHT)]
    await _wait_until_open(market, death.in_flight, limit_s)
    killed_ns = time.monotonic_ns()
    os.kill(child["pid"], signal.SIGKILL)
    async with asyncio.timeout(limit_s):
        async for _ in every(0.005):
            with contextlib.suppress(MeshError):
                status = await market.account_status(1.0)
                if status["incarnation"] == before or not status.get("serving"):
                    continue
                passed_ms = (time.monotonic_ns() - killed_ns) / 1e6
                death.serving_ms = death.serving_ms or passed_ms
                if status["ready"]:
                    death.reconciled_ms = passed_ms
                    break
    for order_id in death.in_flight:
        death.fates[order_id] = (await market.wait(order_id, "open", limit_s)).status.value
    return death


async def _wait_until_open(market: AsyncMarket, ids: list[str], limit_s: float) -> None:
    """Wait until the manager knows one of the orders; the others follow it."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if (await market.in_flight_orders(owner=market.owner)).keys() & set(ids):
            return


async def settle(market: AsyncMarket) -> None:
    """Cancel all open orders; wait until none is open or in doubt. Raises RetryLater: some still are."""
    deadline = time.monotonic() + REST_LIMIT_S
    while True:
        results = await market.cancel_all(REST_LIMIT_S / 2)
        remaining = await market.in_flight_orders()
        if not remaining and all(result.done for result in results):
            return
        if time.monotonic() > deadline:
            listed = few((f"{order_id} is {order.status.value}" for order_id, order in remaining.items()), 5)
            raise RetryLater(1.0, f"orders are still open or in doubt: {listed}")


async def reconcile(market: AsyncMarket, admin: AdminClient, handed_out: list[str]) -> dict[str, Any]:
    """Compare the mesh's record of the account with the exchange's ledger; return plain values for the summary."""
    ledger = (await asyncio.to_thread(admin.ledger, ACCOUNT))["accounts"][0]
    receipts = (await asyncio.to_thread(admin.receipts, ACCOUNT))["receipts"]
    orders = await all_rows(lambda after: market.orders(after=after))
    fills = await all_rows(lambda after: market.fills(after=after))
    events = await all_events(market)
    balances = await _balances_at_rest(market, ledger)
    found = compare(
        [order for order in orders if not order.external], fills, events, balances, handed_out, ledger, receipts
    )
    return {
        "account": f"{market.exchange}/{market.account}",
        "orders": found.orders,
        "handed_out": len(handed_out),
        "orders_at_exchange": len(ledger["orders"]),
        "fills": found.fills,
        "events": found.events,
        "balances": {asset: f"{balance.total:f}" for asset, balance in sorted(balances.items())},
        "equal": not found.problems,
        "problems": found.problems,
    }


async def _balances_at_rest(market: AsyncMarket, ledger: dict[str, Any]) -> Any:
    """Return the balances once they equal the ledger's, or after 5 s: the last report may still be on its way."""
    deadline = time.monotonic() + 5.0
    while True:
        held = await market.balances()
        theirs = {asset: Decimal(row["free"]) for asset, row in ledger["balances"].items()}
        if {a: b.free for a, b in held.items() if b.total} == {a: free for a, free in theirs.items() if free}:
            return held
        if time.monotonic() > deadline:
            return held
        await asyncio.sleep(0.05)


async def all_rows(page: Callable[[int], Awaitable[Page[T]]]) -> list[T]:
    """Return every row of a listing, read page by page."""
    found: list[T] = []
    after: int | None = 0
    while after is not None:
        rows = await page(after)
        found += rows
        after = rows.next
    return found


async def all_events(market: AsyncMarket) -> list[AccountEvent]:
    """Return all events so far, from the first."""
    last = (await market.account_status())["last_event"]
    found: list[AccountEvent] = []
    if last:
        async for event in market.events(after=0):
            found.append(event)
            if event.number >= last:
                break
    return found


def fates_text(death: ManagerDeath) -> str:
    """Describe the outcome of the orders that were in flight when the manager died."""
    killed = f"killed {death.address} (process {death.pid}) with {len(death.in_flight)} orders in flight"
    if death.serving_ms is None:
        return killed
    served = f"{killed}; orders and cancels were taken again after {death.serving_ms:.0f} ms"
    if death.reconciled_ms is None:
        return f"{served}; proving what became of those {len(death.in_flight)}"
    counted = Counter(death.fates.values())
    named = {OrderStatus.FAILED.value: f"{OrderStatus.FAILED.value} (never on the exchange)"}
    fates = ", ".join(f"{number} {named.get(status, status)}" for status, number in sorted(counted.items()))
    proof = "no unanswered request could still reach the exchange, which proved the outcomes"
    return f"{served}; after {death.reconciled_ms / 1000:.1f} s {proof}: {fates}"


def account_text(trading: dict[str, Any]) -> str:
    """Describe the comparison of the account in a line."""
    count, listed = sum(trading["orders"].values()), trading["orders_at_exchange"]
    orders = ", ".join(f"{number} {status}" for status, number in sorted(trading["orders"].items()))
    absent = f" and {count - listed} that were refused or never sent, which it does not list" if count > listed else ""
    equal = "all equal" if trading["equal"] else "not equal"
    return (
        f"account {trading['account']}: {count} orders ({orders}), {trading['fills']} fills, "
        f"{trading['events']} events, {len(trading['balances'])} balances; "
        f"compared with the exchange's ledger of {listed} orders{absent}: {equal}"
    )


def events_table(styles: Sequence[str], traded: Sequence[dict[str, Any]]) -> Grid:
    """Return a table of the strategies' order events by type."""
    ranks = {"created": 0, "filled": 0, "completed": 2, "cancelled": 1, "expired": 4, "rejected": 3, "failed": 5}
    shown = (*ranks, "unknown")
    columns = [Column(name, right=True, rank=ranks.get(name, 6)) for name in shown]
    numbers = (Column("events", right=True), Column("holes", right=True), Column("refused", folds=True))
    grid = Grid((Column("strategy"), *columns, *numbers))
    for style, counted in zip(styles, traded, strict=False):
        counts = [str(counted["events"].get(name, 0)) for name in shown]
        refused = ", ".join(f"{number} {what}" for what, number in counted["refused"].items())
        grid.add(style, *counts, str(counted["last"]), str(counted["holes"]), refused)
    return grid
