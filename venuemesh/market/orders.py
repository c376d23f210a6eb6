"""The trading half of `Market`: orders, balances, fees and events of one account.

Nothing here talks to an exchange. A command goes to the account's order manager actor, which checks it, writes it to
the journal and only then sends it; what became of it comes back as the answer and as a numbered, durable event. So a
facade may die at any moment: what it had handed over goes on, and whoever comes next reads on where it stopped.

Forms. `buy`, `sell` and `cancel` return at once; `place`, `wait`, `cancel_async` are awaited. What asks and answers
blocks, and has an awaitable twin with the suffix `_async` for use inside async actors.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from loguru import logger

from ..model import rules
from ..model.errors import Misconfigured
from ..model.events import Side
from ..model.ids import OrderIds
from ..model.order import CancelResult, NewOrder, Order, OrderType, TimeInForce
from .events import Following
from .values import Number, all_body, expires_ns, needed_number, read_enum, read_number, with_id

EXPIRES_S = 10.0  # how long an order may be on its way to the manager
ANSWER_S = 15.0  # how long its answer is waited for on top of that
PENDING_MAX = 4096  # ids handed out here whose answers are kept; up to twice as many
DEATHS = ("keep", "cancel")


class Trading(Following):
    """What a strategy does with one account of one exchange. Part of `Market`."""

    owner: str
    on_death: str
    _ids: Callable[[], str]
    _owned: bool

    def _set_up(self, account: str | None, owner: str, on_death: str, ids: Callable[[], str] | None = None) -> None:
        if on_death not in DEATHS:
            raise Misconfigured("on_death", f"{on_death!r} is neither 'keep' nor 'cancel'")
        if on_death == "cancel" and not owner:
            raise Misconfigured("on_death", "'cancel' needs an owner: whose orders they are")
        self.account, self.owner, self.on_death = account, owner, on_death
        self._ids = ids or OrderIds(time.time_ns(), secrets.randbits(64))
        self._pending, self._owned = {}, False

    # ------------------------------------------------------------------ placing

    def buy(
        self,
        pair: str,
        amount: Number | None = None,
        order_type: OrderType | str = OrderType.LIMIT,
        *,
        price: Number | None = None,
        time_in_force: TimeInForce | str | None = None,
        quote_amount: Number | None = None,
        stop_price: Number | None = None,
        self_trade: str | None = None,
        expires_s: float = EXPIRES_S,
    ) -> str:
        """Hand over an order to buy; return its client order id at once.

        On return the order is on its way to the order manager of the account, and nothing more is known: what comes of
        it is told by `wait(id)`, by `events()` and, as long as this process lives, by nothing else. The manager rounds
        price and amount to the exchange's grid (never dearer, never larger), checks them against its rules, the guards
        and the balance, journals the order and sends it once; an order that has not reached it within `expires_s`
        is never placed. Every id that is handed out ends with exactly one fate, whoever dies in between.

        Args:
            pair: trading pair, tracked or not.
            amount: in the base asset, exact; a float is refused.
            order_type: LIMIT, MARKET, LIMIT_MAKER, or what else the exchange offers (see `trading_rules`).
            price: needed by orders that rest; None for the others.
            time_in_force: GTC (the default of a LIMIT order), IOC, FOK.
            quote_amount: of a MARKET order instead of `amount`, in the quote asset.
            stop_price: of stop and take-profit orders.
            self_trade: the exchange's word for what happens when it would trade with ourselves.

        Raises:
            Rejected, TypeError: the arguments are no order; nothing was handed over and no id is spent.
            RuleViolation: what the known trading rules refuse at once; likewise.
            Misconfigured: this market has no account.
        """
        return self._hand_over(
            self.new_order(
                Side.BUY, pair, amount, order_type, price, time_in_force, quote_amount, stop_price, self_trade
            ),
            expires_s,
        )

    def sell(
        self,
        pair: str,
        amount: Number | None = None,
        order_type: OrderType | str = OrderType.LIMIT,
        *,
        price: Number | None = None,
        time_in_force: TimeInForce | str | None = None,
        quote_amount: Number | None = None,
        stop_price: Number | None = None,
        self_trade: str | None = None,
        expires_s: float = EXPIRES_S,
    ) -> str:
        """Hand over an order to sell; return its client order id at once. Everything as in `buy`."""
        return self._hand_over(
            self.new_order(
                Side.SELL, pair, amount, order_type, price, time_in_force, quote_amount, stop_price, self_trade
            ),
            expires_s,
        )

    def new_order(
        self,
        side: Side | str,
        pair: str,
        amount: Number | None = None,
        order_type: OrderType | str = OrderType.LIMIT,
        price: Number | None = None,
        time_in_force: TimeInForce | str | None = None,
        quote_amount: Number | None = None,
        stop_price: Number | None = None,
        self_trade: str | None = None,
    ) -> NewOrder:
        """Make an order with a fresh id without handing it over: for `place_orders`. Raises as `buy`."""
        kind = read_enum(OrderType, "order_type", order_type)
        force = None if time_in_force is None else read_enum(TimeInForce, "time_in_force", time_in_force)
        if force is None and kind is OrderType.LIMIT:
            force = TimeInForce.GTC
        order = NewOrder(
            client_order_id="",
            pair=pair,
            side=read_enum(Side, "side", side),
            order_type=kind,
            amount=read_number("amount", amount),
            price=read_number("price", price),
            time_in_force=force,
            quote_amount=read_number("quote_amount", quote_amount),
            stop_price=read_number("stop_price", stop_price),
            self_trade=self_trade,
            owner=self.owner,
        )
        instrument = self._trading_instrument(pair)
        if instrument is not None:
            rules.check(instrument, rules.quantize(instrument, order))
        return with_id(order, self._ids())

    async def place(
        self,
        side: Side | str,
        pair: str,
        amount: Number | None = None,
        order_type: OrderType | str = OrderType.LIMIT,
        *,
        price: Number | None = None,
        time_in_force: TimeInForce | str | None = None,
        quote_amount: Number | None = None,
        stop_price: Number | None = None,
        self_trade: str | None = None,
        expires_s: float = EXPIRES_S,
    ) -> Order:
        """Place one order and return what it is once the exchange has answered, or has not in time (UNKNOWN).

        Raises:
            RuleViolation, InsufficientBalance, NotOffered, Paused: refused before anything was sent.
            RetryLater: the manager, or its journal, was away; nothing was sent, nor ever will be under this id.
            OutcomeUnknown: handed over, and the manager has not answered: `wait` for the id in the error's `what`.
        """
        order = self.new_order(
            side, pair, amount, order_type, price, time_in_force, quote_amount, stop_price, self_trade
        )
        return (await self.place_orders([order], expires_s=expires_s))[0]

    async def place_orders(
        self, orders: Sequence[NewOrder], *, order_list: str | None = None, expires_s: float = EXPIRES_S
    ) -> list[Order]:
        """Place several orders: journaled together, then sent one by one or as the exchange's own batch.

        `order_list` ("OCO", "OTO", "OTOCO") makes them one order list of the exchange, where it offers that. Orders
        that were refused are in the result, REJECTED or FAILED with their reasons. Raises as `place`, when nothing of
        it was accepted.
        """
        self._take_ownership()
        plain = [order.to_dict() for order in orders]
        body = {"orders": plain, "expires_ns": expires_ns(expires_s), "list": order_list}
        answer = await self._command_async(
            "place", body, expires_s + ANSWER_S, ", ".join(o.client_order_id for o in orders)
        )
        return [Order.from_dict(one) for one in answer]

    def _hand_over(self, order: NewOrder, expires_s: float) -> str:
        self._take_ownership()
        body = {"orders": [order.to_dict()], "expires_ns": expires_ns(expires_s), "list": None}
        self._remember(order.client_order_id, self._link.submit(self._address, "place", body, expires_s + ANSWER_S))
        return order.client_order_id

    def _remember(self, client_order_id: str, answer: Future[Any]) -> None:
        if len(self._pending) >= 2 * PENDING_MAX:  # now and then: it looks at all of them
            for known in [known for known, one in self._pending.items() if one.done()][:PENDING_MAX]:
                del self._pending[known]
        self._pending[client_order_id] = answer
        answer.add_done_callback(lambda done: _say_failed("order", client_order_id, done))

    # ------------------------------------------------------------------ cancelling and changing

    def cancel(self, client_order_id: str) -> str:
        """Hand over a cancel; return the id at once. What comes of it is told by `wait` and `events`. Idempotent.

        An order that is still on its way from here is cancelled when it is there.
        """
        address = self._address

        def hand_over(_: object = None) -> None:
            answer = self._link.submit(address, "cancel", {"id": client_order_id}, ANSWER_S)
            answer.add_done_callback(lambda done: _say_failed("cancel", client_order_id, done))

        earlier = self._pending.get(client_order_id)
        if earlier is None or earlier.done():
            hand_over()
        else:
            earlier.add_done_callback(hand_over)
        return client_order_id

    async def cancel_async(self, client_order_id: str, timeout_s: float = 15.0) -> CancelResult:
        """Cancel one order and return what came of it, once the exchange has answered and, in doubt, was asked again.

        Idempotent. `done` is False when the order may still be open (a refused cancel, no answer in time): the mesh
        goes on asking.

        Raises:
            UnknownOrder: no such order.
            RetryLater: the manager is away; nothing was sent.
            OutcomeUnknown: handed over and not answered; ask again.
        """
        await self._handed_over(client_order_id, timeout_s)
        answer = await self._command_async("cancel", {"id": client_order_id}, timeout_s, client_order_id)
        return CancelResult.from_dict(answer)

    def cancel_all(
        self, timeout_s: float = 10.0, *, pair: str | None = None, owner: str | None = None
    ) -> list[CancelResult]:
        """Cancel every order that is not done (of one pair, of one owner); return a result per order. Blocks.

        It also covers orders whose placing is in doubt: it waits, within `timeout_s`, until they can be proven to be
        there (and cancels them) or not. A result whose `done` is False says that the order may still be open.

        Raises:
            RetryLater: the manager is away; nothing was sent.
            OutcomeUnknown: handed over and not answered in time; do it again.
        """
        answer = self._command("cancel_all", all_body(timeout_s, pair, owner), timeout_s + 5.0, "cancel_all")
        return [CancelResult.from_dict(plain) for plain in answer]

    async def cancel_all_async(
        self, timeout_s: float = 10.0, *, pair: str | None = None, owner: str | None = None
    ) -> list[CancelResult]:
        """`cancel_all` for async actors."""
        body = all_body(timeout_s, pair, owner)
        answer = await self._command_async("cancel_all", body, timeout_s + 5.0, "cancel_all")
        return [CancelResult.from_dict(plain) for plain in answer]

    async def amend(self, client_order_id: str, amount: Number, timeout_s: float = 15.0) -> Order:
        """Make an open order smaller, keeping its place in the queue; return it as the exchange confirmed it.

        Raises:
            NotOffered: the exchange has no such thing; `replace` does it at the cost of the place.
            RuleViolation, Rejected: refused; the order is as it was.
            OutcomeUnknown: no answer; `get_order` says what is known.
        """
        body = {"id": client_order_id, "amount": f"{needed_number('amount', amount):f}"}
        return Order.from_dict(await self._command_async("amend", body, timeout_s, client_order_id))

    async def replace(
        self,
        client_order_id: str,
        *,
        amount: Number | None = None,
        price: Number | None = None,
        timeout_s: float = 15.0,
    ) -> list[Order]:
        """Cancel one order and place another like it with a new price or amount; return both: the old, the new.

        Where the exchange offers it this is one request; else a cancel and, only once that succeeded, an order. Each
        half has a fate of its own. Without an `amount` the new order is for what remained of the old one when this was
        called: what is filled between that and the cancel comes on top. Raises as `place`.
        """
        old = await self.get_order_async(client_order_id)
        new = self.new_order(
            old.side,
            old.pair,
            amount if amount is not None else old.remaining,
            old.order_type,
            price if price is not None else old.price,
            old.time_in_force,
            None,
            old.stop_price,
            old.self_trade,
        )
        self._take_ownership()
        body = {"id": client_order_id, "order": new.to_dict(), "expires_ns": expires_ns(timeout_s)}
        answer = await self._command_async("replace", body, timeout_s, f"{client_order_id}, {new.client_order_id}")
        return [Order.from_dict(plain) for plain in answer]

    def _take_ownership(self) -> None:
        address = self._address
        if self.owner and not self._owned:
            self._link.own(address, self.owner, self.on_death)
            self._owned = True


def _say_failed(what: str, client_order_id: str, answer: Future[Any]) -> None:
    """Nobody awaits what was handed over: let the log of this process say that it was refused, or is in doubt."""
    error = None if answer.cancelled() else answer.exception()
    if error is not None:
        logger.warning("{} {}: {}", what, client_order_id, error)
