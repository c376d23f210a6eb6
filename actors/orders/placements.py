"""Places the orders of an account in turn: budget, prices, then the machine. Withdraws those that are cancelled before.

`turns` decides whose command is next. Cancels come past the queue: an order that is cancelled before the machine has
seen it ends as FAILED, with the reason "cancelled", and is never sent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...model.errors import InboxFull, OutcomeUnknown, Rejected, RetryLater
from ...model.events import Side
from ...model.order import NewOrder, Order, OrderType
from ...model.time import SECOND_NS, in_ns
from ..cell.role import Context
from .bodies import new_order
from .machine.effects import Effect, Now, Top
from .queries import needed_text, number, text
from .settings import Limits, OrderManagerSettings
from .shell import ManagerShell
from .turns import Turn, Turns

PLACE_WAIT_S = 5.0  # longest wait of an order for rate budget
MANY = 100  # most orders of one command
NONCE_ROOM = 4  # orders under way where the exchange wants rising nonces: a cancel is sent behind them
EXPECTED_MAX = 1_000  # orders that are cancelled on arrival

Feed = Callable[[asyncio.Future[Any], Now], Sequence[Effect]]  # gives the machine a command


@dataclass(slots=True)
class Caller:
    """What the caller of a command waits for: its turn; and what others wait for: the machine's decision."""

    begun: asyncio.Future[None]
    begun_ns: int = 0
    decided: asyncio.Event = field(default_factory=asyncio.Event)


class Placements:
    """See the module."""

    def __init__(self, settings: OrderManagerSettings, context: Context, shell: ManagerShell) -> None:
        self._settings, self._context, self._shell = settings, context, shell
        self._turns = Turns(context.address)
        self._expected: dict[str, asyncio.Future[None]] = {}  # by id of an order that is cancelled on arrival
        self.stopping = False

    def start(self) -> None:
        """Begin to serve; the shell has started."""
        if self._shell.gateway.codec.offer.nonces:
            self._turns.limit(NONCE_ROOM, NONCE_ROOM)

    def status(self) -> dict[str, Any]:
        return self._turns.status()

    def queued(self, pair: str | None, owner: str | None) -> list[str]:
        """Return the ids of the orders that the machine has not seen; None: of any pair or owner."""
        return self._turns.matching(pair, owner)

    async def place(self, body: Any) -> list[Order]:
        """Place the orders of a command in their owner's turn; return them. Raises as `_in_turn`."""
        orders = _orders(body.get("orders"))
        expires_ns, kind = self._expiry_ns(body, orders), text(body, "list")
        shell, ids = self._shell, [order.client_order_id for order in orders]

        def place(left: Sequence[NewOrder]) -> Feed:
            if kind is not None:
                return lambda token, now: shell.machine.place_list(token, kind, left, expires_ns, now)
            return lambda token, now: shell.machine.place(token, left, expires_ns, now)

        shell.timings.received(ids)
        try:
            placed = await self._in_turn(orders, expires_ns, place, is_whole=kind is not None)
        finally:
            shell.timings.replied(ids)
        if len(placed) < len(orders):  # the others were cancelled before their turn
            known = {order.client_order_id: order for order in placed}
            placed = [order for one in ids if (order := known.get(one) or shell.machine.order(one)) is not None]
        return placed

    async def replace(self, body: Any) -> list[Order]:
        """Cancel one order and place another; return both. Raises as `_in_turn`."""
        name, shell = needed_text(body, "id"), self._shell
        await self.seen(name)
        (order,) = _orders([body.get("order")])
        expires_ns = self._expiry_ns(body, [order])

        def replace(_: Sequence[NewOrder]) -> Feed:
            return lambda token, now: shell.machine.replace(token, name, order, expires_ns, now)

        return await self._in_turn([order], expires_ns, replace)

    async def _in_turn(
        self,
        orders: Sequence[NewOrder],
        expires_ns: int,
        feed: Callable[[Sequence[NewOrder]], Feed],
        *,
        is_whole: bool = False,
    ) -> list[Order]:
        """Give the machine a command with new orders when it is their owner's turn; return the answer.

        Raises:
            InboxFull: too many orders of this owner wait. Nothing was recorded.
            Rejected: the orders were cancelled before their turn.
        """
        shell, ids = self._shell, [order.client_order_id for order in orders]
        loop = asyncio.get_running_loop()
        caller, deadline_s = Caller(loop.create_future()), loop.time() + PLACE_WAIT_S
        turn = self._turns.add(orders[0].owner, orders, caller, is_whole=is_whole)
        try:
            if expected := [one for one in ids if one in self._expected]:
                await self.withdraw(expected)
            self._begin_turns()
            await caller.begun
            self._turns.lagged(self._context.monotonic_ns() - caller.begun_ns)
            try:
                if self.stopping:
                    raise RetryLater(1.0, f"{self._context.address} is stopping")
                await shell.loaded()
                await self._take_budget(turn.orders, expires_ns, deadline_s)
            except RetryLater as error:
                if not turn.orders:
                    raise _cancelled() from error
                return await self._decide(turn, self._refusal(turn.orders, expires_ns, error))
            self._turns.passed(turn)
            self._begin_turns()
            tops = await self._tops(turn.orders)
            if not turn.orders:
                raise _cancelled()
            shell.machine.tops(tops)
            return await self._decide(turn, feed(turn.orders))
        finally:
            self._turns.end(turn)
            caller.decided.set()
            shell.sending.prepaid.difference_update(ids)
            self._begin_turns()

    def _begin_turns(self) -> None:
        for turn in self._turns.begin():
            if not turn.token.begun.done():
                turn.token.begun_ns = self._context.monotonic_ns()
                turn.token.begun.set_result(None)

    async def withdraw(self, client_order_ids: Iterable[str]) -> None:
        """End orders that the machine has not seen, because they are cancelled. Other ids are ignored."""
        ended, dropped = self._turns.drop(client_order_ids)
        try:
            for at in range(0, len(dropped), MANY):
                with contextlib.suppress(Rejected):  # the reason with which they end
                    await self._shell.command(self._refusal(dropped[at : at + MANY], self._soon_ns(), _cancelled()))
        finally:
            for turn in ended:
                if not turn.token.begun.done():
                    turn.token.begun.set_exception(_cancelled())
            for order in dropped:
                if (expected := self._expected.get(order.client_order_id)) is not None and not expected.done():
                    expected.set_result(None)

    async def seen(self, client_order_id: str) -> None:
        """Wait until the machine has seen an order that waits for its turn; return at once for any other id."""
        while (turn := self._turns.find(client_order_id)) is not None:
            await turn.token.decided.wait()

    async def arrive(self, client_order_id: str) -> None:
        """Wait for an order that its sender has handed over and that has not arrived. It is cancelled on arrival."""
        known = self._shell.booted.is_set() and self._shell.machine.order(client_order_id) is not None
        if known or len(self._expected) >= EXPECTED_MAX:
            return
        arrived = self._expected.setdefault(client_order_id, asyncio.get_running_loop().create_future())
        try:
            await asyncio.wait({arrived}, timeout=PLACE_WAIT_S)
        finally:
            self._expected.pop(client_order_id, None)

    async def _tops(self, orders: Sequence[NewOrder]) -> dict[str, Top]:
        """Get the prices by which the orders are judged."""
        shell = self._shell
        tops: dict[str, Top] = {}
        for pair in {order.pair for order in orders}:
            deep = [order for order in orders if order.pair == pair and self._needs_depth(order)]
            if deep:
                top = shell.markets.levels_here(pair)
                if top is None or any(shell.machine.exceeds_band(order, top) for order in deep):
                    top = await shell.markets.all_levels(pair) or top
            else:
                top = shell.markets.top_here(pair)
            if top is None and any(self._needs_price(order) for order in orders if order.pair == pair):
                top = await shell.markets.top(pair)
            if top is not None:
                tops[pair] = top
        return tops

    async def _take_budget(self, orders: Sequence[NewOrder], expires_ns: int, deadline_s: float) -> None:
        """Take the rate budget to send the orders, until the deadline of the loop's clock.

        Raises:
            RetryLater: no budget in time. Nothing will be sent.
        """
        shell = self._shell
        left_s = (expires_ns - self._context.time_ns()) / SECOND_NS
        for order in orders:
            if shell.machine.order(order.client_order_id) is not None:
                continue  # a repeated command: the machine answers with the order's state
            if not shell.markets.lists(order.pair):
                continue  # the machine refuses it
            cost, order_count = shell.gateway.codec.place_cost(order)
            wait_s = max(0.0, min(deadline_s - asyncio.get_running_loop().time(), left_s))
            try:
                await shell.gateway.counters.take(cost, order.pair, wait_s)
                await shell.allowance.take(cost, order_count, wait_s)
            except (InboxFull, OutcomeUnknown) as error:  # from the limits role, which granted nothing
                raise RetryLater(1.0, str(error)) from error
            shell.sending.prepaid.add(order.client_order_id)

    async def _decide(self, turn: Turn, feed: Feed) -> list[Order]:
        """Give the machine the command now; return its answer."""

        def feed_now(token: asyncio.Future[Any], now: Now) -> Sequence[Effect]:
            self._turns.decided(turn)
            effects = feed(token, now)
            turn.token.decided.set()
            return effects

        answer: list[Order] = await self._shell.command(feed_now)
        return answer

    def _refusal(self, orders: Sequence[NewOrder], expires_ns: int, error: RetryLater | Rejected) -> Feed:
        """End orders that cannot be sent as FAILED and raise the reason; the answer has orders that are known."""
        self._shell.sending.prepaid.difference_update(order.client_order_id for order in orders)
        return lambda token, now: self._shell.machine.refuse(token, orders, expires_ns, error, now)

    def _needs_depth(self, order: NewOrder) -> bool:
        """Return whether the order takes any price, and the price band bounds how far it may go."""
        is_banded = any(one.price_band is not None for one in self._limits(order.pair))
        return is_banded and order.price is None and order.stop_price is None

    def _needs_price(self, order: NewOrder) -> bool:
        limits = self._limits(order.pair)
        if any(one.price_band is not None for one in limits):
            return True
        bounded = any(one.max_order_notional is not None for one in limits)
        if order.price is not None:
            # a sell trades at the book's price, even if its own price is lower
            return bounded and order.side is Side.SELL
        return order.amount is not None or bounded

    def _limits(self, pair: str) -> tuple[Limits, Limits]:
        """Return the limits of the account and of the pair."""
        settings = self._settings.machine
        return settings.limits, settings.pair_limits.get(pair, Limits())

    async def top(self, pair: str, is_listed: bool) -> Top | None:
        """Return the best prices of a pair by which new terms are judged; None where no guard needs them."""
        limits = self._limits(pair)
        if not is_listed or all(one.price_band is None and one.max_order_notional is None for one in limits):
            return None
        return self._shell.markets.top_here(pair) or await self._shell.markets.top(pair)

    def _expiry_ns(self, body: Any, orders: Sequence[NewOrder]) -> int:
        """Return the wall time after which a command with new orders is refused, in ns.

        A command with a MARKET order expires sooner: `market_wait_s` after its caller asked for it.
        """
        now_ns = self._context.time_ns()
        expires_ns = number(body, "expires_ns") or self._soon_ns()
        asked_ns = min(number(body, "asked_ns") or now_ns, now_ns)
        waits = (self._market_wait_s(order.pair) for order in orders if order.order_type is OrderType.MARKET)
        return min([expires_ns, *(asked_ns + in_ns(wait_s) for wait_s in waits if wait_s is not None)])

    def _soon_ns(self) -> int:
        return self._context.time_ns() + in_ns(PLACE_WAIT_S)

    def _market_wait_s(self, pair: str) -> float | None:
        account, own = self._limits(pair)
        return account.market_wait_s if own.market_wait_s is None else own.market_wait_s


def _cancelled() -> Rejected:
    return Rejected("cancelled", "the order was cancelled before it was sent")


def _orders(given: Any) -> list[NewOrder]:
    if not isinstance(given, list) or not 1 <= len(given) <= MANY:
        raise Rejected("bad_request", f"orders must be a list of 1 to {MANY}")
    return [new_order(plain) for plain in given]
