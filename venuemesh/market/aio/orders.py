"""Placing orders, cancelling and changing them, and waiting for what becomes of one. Part of `AsyncMarket`.

Nothing here talks to an exchange. A command goes to the account's order manager actor, which checks it, writes it to
the journal and only then sends it. The result comes back as the answer and as a numbered, durable event. So a process
may die at any moment: what it had handed over goes on, and the next process reads on where it stopped.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from ...model import rules
from ...model.errors import Rejected, RetryLater
from ...model.events import Side
from ...model.order import CancelResult, NewOrder, Order, OrderType, TimeInForce
from ...orderbook.view.waits import AsyncWaits
from ..state import ANSWER_S
from ..values import Number, expires_ns, needed_number, place_body, read_enum, read_number
from .room import AsyncRoom

EXPIRES_S = 10.0  # how long an order may be on its way to the manager
POLL_S = 10.0  # how long one question for an order waits at the manager
STEP_S = 0.05  # pause before a manager that is away is asked again


class AsyncOrders(AsyncRoom):
    """Orders of the account, placed by the market's owner."""

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

        On return the order is on its way to the order manager of the account, and nothing more is known: `wait(id)` and
        `events()` tell what becomes of it. The manager rounds price and amount to the exchange's grid (never dearer,
        never larger), checks them against its rules, the guards and the balance, journals the order and sends it once;
        an order that has not reached it within `expires_s` is never placed. Every id that is handed out ends with
        exactly one fate, even when processes die in between.

        Args:
            pair: trading pair, tracked or not.
            amount: in the base asset, exact; a float is refused.
            order_type: LIMIT, MARKET, LIMIT_MAKER, or what else the exchange offers (see `trading_rules`).
            price: needed by orders that rest; None for the others.
            time_in_force: GTC (the default of a LIMIT order), IOC, FOK.
            quote_amount: of a MARKET order instead of `amount`, in the quote asset.
            stop_price: of stop and take-profit orders.
            self_trade: the exchange's word for what happens when the order would trade with another of this account.

        Raises:
            Rejected, TypeError: the arguments are no order; nothing was handed over.
            RuleViolation: the order breaks a trading rule that is known here; nothing was handed over.
            Misconfigured: this market has no account.
        """
        return self._state.hand_over(
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
        return self._state.hand_over(
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
            client_order_id=self._state.ids(),
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
        instrument = self._state.instruments.get(pair)
        if instrument is not None:
            rules.check(instrument, rules.quantize(instrument, order))
        return order

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
        """Place one order; return it once the exchange has answered, or as UNKNOWN when it has not in time.

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
        that were refused are in the result, REJECTED or FAILED with their reasons. Raises as `place` when none of
        them was accepted.
        """
        AsyncWaits.begin()
        self._state.take_ownership()
        names = ", ".join(order.client_order_id for order in orders)
        answer = await self._command("place", place_body(orders, expires_s, order_list), expires_s + ANSWER_S, names)
        return [Order.from_dict(plain) for plain in answer]

    # ------------------------------------------------------------------ cancelling and changing

    def cancel(self, client_order_id: str) -> str:
        """Hand over a cancel; return the id at once. Idempotent.

        `wait(id)` and `events()` tell what becomes of the order. An order that is still on its way from here is
        cancelled when it has reached the manager.
        """
        self._state.hand_over_cancel(client_order_id)
        return client_order_id

    async def cancel_and_wait(self, client_order_id: str, timeout_s: float = 15.0) -> CancelResult:
        """Cancel one order; return the result once the exchange has answered, after asking again where in doubt.

        Idempotent. `done` is False when the order may still be open (a refused cancel, no answer in time): the mesh
        goes on asking.

        Raises:
            UnknownOrder: no such order.
            RetryLater: the manager is away; nothing was sent.
            OutcomeUnknown: handed over and not answered; ask again.
        """
        await self._arrived(client_order_id, timeout_s)
        answer = await self._command("cancel", {"id": client_order_id}, timeout_s, client_order_id)
        return CancelResult.from_dict(answer)

    async def cancel_all(
        self, timeout_s: float = 10.0, *, pair: str | None = None, owner: str | None = None
    ) -> list[CancelResult]:
        """Cancel every order that is not done (of one pair, of one owner); return a result per order.

        It also covers orders whose placing is in doubt: it waits, within `timeout_s`, for proof that they are on the
        exchange (and cancels them) or are not. A result whose `done` is False says that the order may still be open.

        Raises:
            RetryLater: the manager is away; nothing was sent.
            OutcomeUnknown: handed over and not answered in time; do it again.
        """
        body = {"timeout_s": timeout_s, "pair": pair, "owner": owner}
        answer = await self._command("cancel_all", body, timeout_s + 5.0, "cancel_all")
        return [CancelResult.from_dict(plain) for plain in answer]

    async def amend(self, client_order_id: str, amount: Number, timeout_s: float = 15.0) -> Order:
        """Make an open order smaller, keeping its place in the queue; return it as the exchange confirmed it.

        Raises:
            NotOffered: the exchange cannot; `replace` can, at the cost of the place.
            RuleViolation, Rejected: refused; the order is as it was.
            OutcomeUnknown: no answer; `get_order` says what is known.
        """
        body = {"id": client_order_id, "amount": f"{needed_number('amount', amount):f}"}
        return Order.from_dict(await self._command("amend", body, timeout_s, client_order_id))

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
        old = await self.get_order(client_order_id)
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
        self._state.take_ownership()
        body = {"id": client_order_id, "order": new.to_dict(), "expires_ns": expires_ns(timeout_s)}
        answer = await self._command("replace", body, timeout_s, f"{client_order_id}, {new.client_order_id}")
        return [Order.from_dict(plain) for plain in answer]

    # ------------------------------------------------------------------ what became of one

    async def get_order(self, client_order_id: str, timeout_s: float = 5.0) -> Order:
        """Return one order, however old. An order that was handed over here is let reach the manager first.

        Raises:
            UnknownOrder: there is none, and now never will be: an order that comes with this id later is refused.
            RetryLater: the manager is away.
        """
        await self._arrived(client_order_id, timeout_s)
        return Order.from_dict(await self._ask("get", {"id": client_order_id}, timeout_s))

    async def wait(self, client_order_id: str, until: str = "done", timeout_s: float = 60.0) -> Order:
        """Return the order once it is "done" (nothing more can happen to it) or "open" (the exchange has it, or done).

        An order that was refused before it was sent is returned too: FAILED or REJECTED with its reason. May be called
        from any process that knows the id, again and again.

        Raises:
            UnknownOrder: it never reached the manager, and now never will: an order that comes with this id later is
                refused.
            RetryLater: not within `timeout_s`, or the manager was away; the order goes on.
        """
        if until not in ("done", "open"):
            raise Rejected("bad_request", f"until is {until!r}; it is 'done' or 'open'")
        deadline = time.monotonic() + timeout_s
        await self._arrived(client_order_id, timeout_s)
        while (left_s := deadline - time.monotonic()) > 0:
            body = {"id": client_order_id, "until": until}
            with contextlib.suppress(RetryLater):
                found = await self._ask("poll:order", body, min(left_s, POLL_S))
                if found is None:
                    continue
                return Order.from_dict(found)
            await AsyncWaits.sleep(max(0.0, min(STEP_S, deadline - time.monotonic())))
        raise RetryLater(1.0, f"{client_order_id} is not {until} within {timeout_s:g} s")

    async def _arrived(self, client_order_id: str, timeout_s: float) -> None:
        """Let an order that was handed over here reach the manager before the manager is asked for it.

        One that never got there is forgotten: the manager gives the id its fate when it is asked.
        """
        answer = self._state.pending(client_order_id)
        if answer is not None:
            await AsyncWaits.settle(answer, timeout_s)
