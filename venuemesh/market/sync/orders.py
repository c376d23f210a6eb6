# Generated from venuemesh/market/aio/orders.py by scripts/generate-sync: change that file, not this one.
"""Places, cancels and changes orders, and waits for their outcome. Part of `Market`.

This code never talks to an exchange. A command goes to the account's order manager actor, which checks it, writes it to
the journal and only then sends it. The result comes back as the answer and as a numbered, durable event. So a process
may die at any moment: its commands continue, and the next process reads events from where the first process stopped.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from ...model import rules
from ...model.arguments import needed_number, read_enum, read_side
from ...model.errors import Rejected, RetryLater
from ...model.events import Side
from ...model.order import CancelResult, NewOrder, Order, OrderType, TimeInForce
from ...orderbook.view.waits import Waits
from ..state import ANSWER_S
from ..values import Number, place_body, read_number, replace_body
from .room import Room

EXPIRES_S = 10.0  # how long an order may be on its way to the manager
POLL_S = 10.0  # how long one request for an order waits at the manager
STEP_S = 0.05  # pause before the next request to a manager that is away


class Orders(Room):
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

        On return the order is on its way to the account's order manager; get its outcome from `wait(id)` or `events()`.
        The manager rounds price and amount to the exchange's grid (a sell price up, everything else down), checks them
        against the exchange's rules, the guards and the balance, journals the order and sends it once. An order that
        has not reached the manager within `expires_s` is never placed. Every returned id gets exactly one outcome, even
        if processes die.

        Args:
            pair: trading pair, tracked or not.
            amount: in the base asset, exact; floats are refused (`quantize_amount` makes one exact).
            order_type: LIMIT, MARKET, LIMIT_MAKER, or another type that the exchange offers (see `trading_rules`).
            price: required for orders that rest; None for other orders.
            time_in_force: GTC (the default of a LIMIT order), IOC, FOK.
            quote_amount: of a MARKET order instead of `amount`, in the quote asset.
            stop_price: of stop and take-profit orders.
            self_trade: the exchange's name of the self-trade prevention mode.

        Raises:
            Rejected, TypeError: the arguments do not make an order; nothing was handed over.
            UnknownInstrument: the pair is spelled in another way than BASE-QUOTE; nothing was handed over.
            RuleViolation: the order breaks a trading rule; nothing was handed over.
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
        """Hand over an order to sell; return its client order id at once. See `buy`."""
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
        """Make an order with a new id for `place_orders`, without handing it over. Raises as `buy`."""
        instrument = self._state.tradable(pair)
        kind = read_enum(OrderType, "order_type", order_type)
        force = None if time_in_force is None else read_enum(TimeInForce, "time_in_force", time_in_force)
        if force is None and kind is OrderType.LIMIT:
            force = TimeInForce.GTC
        order = NewOrder(
            client_order_id=self._state.ids(),
            pair=pair,
            side=read_side(side),
            order_type=kind,
            amount=read_number("amount", amount),
            price=read_number("price", price),
            time_in_force=force,
            quote_amount=read_number("quote_amount", quote_amount),
            stop_price=read_number("stop_price", stop_price),
            self_trade=self_trade,
            owner=self.owner,
        )
        if instrument is not None:
            rules.check(instrument, rules.quantize(instrument, order))
        return order

    def place(
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
        """Place one order; return it after the exchange's answer, or as UNKNOWN if no answer came in time.

        Raises:
            RuleViolation, InsufficientBalance, NotOffered, Paused: refused before anything was sent.
            RetryLater: the manager or its journal was away; nothing was sent, and no order with this id will be sent.
            OutcomeUnknown: handed over, but the manager has not answered: `wait` for the id in the error's `what`.
        """
        order = self.new_order(
            side, pair, amount, order_type, price, time_in_force, quote_amount, stop_price, self_trade
        )
        return (self.place_orders([order], expires_s=expires_s))[0]

    def place_orders(
        self, orders: Sequence[NewOrder], *, order_list: str | None = None, expires_s: float = EXPIRES_S
    ) -> list[Order]:
        """Place several orders: they are journaled together, then sent one by one or as the exchange's own batch.

        `order_list` ("OCO", "OTO", "OTOCO") places them as one order list, where the exchange offers order lists.
        Refused orders are in the result, too, as REJECTED or FAILED with their reasons. Raises as `place` if no order
        was accepted.
        """
        Waits.begin()
        self._state.take_ownership()
        names = ", ".join(order.client_order_id for order in orders)
        answer = self._command("place", place_body(orders, expires_s, order_list), expires_s + ANSWER_S, names)
        return [Order.from_dict(plain) for plain in answer]

    # ------------------------------------------------------------------ cancelling and changing

    def cancel(self, client_order_id: str) -> str:
        """Hand over a cancel; return the id at once. Idempotent.

        Get the order's outcome from `wait(id)` or `events()`. A cancel waits behind no order: if its own order is still
        on its way, or waits for its turn, the order is never sent and ends as FAILED, with the code "cancelled".
        """
        self._state.hand_over_cancel(client_order_id)
        return client_order_id

    def cancel_and_wait(self, client_order_id: str, timeout_s: float = 15.0) -> CancelResult:
        """Cancel one order; return the result after the exchange's answer, and after queries where it is in doubt.

        Idempotent. `done` is False if the order may still be open (a refused cancel, no answer in time): the mesh
        continues to query it.

        Raises:
            UnknownOrder: no such order.
            RetryLater: the manager is away; nothing was sent.
            OutcomeUnknown: handed over, but not answered; call it again.
        """
        body = self._state.cancel_body(client_order_id)
        answer = self._command("cancel", body, timeout_s, client_order_id)
        return CancelResult.from_dict(answer)

    def cancel_all(
        self, timeout_s: float = 10.0, *, pair: str | None = None, owner: str | None = None
    ) -> list[CancelResult]:
        """Cancel every order that is not done (of one pair, of one owner); return a result per order.

        This includes orders whose placing is in doubt: within `timeout_s` it waits for proof that such an order is on
            the
        exchange (and cancels it) or is not. If `done` of a result is False, the order may still be open.

        Raises:
            UnknownInstrument: the exchange does not list the pair, and the journal has no order of it.
            RetryLater: the manager is away; nothing was sent.
            OutcomeUnknown: handed over, but not answered in time; call it again.
        """
        body = {"timeout_s": timeout_s, "pair": pair, "owner": owner}
        answer = self._command("cancel_all", body, timeout_s + 5.0, "cancel_all")
        return [CancelResult.from_dict(plain) for plain in answer]

    def cancel_external(self, client_order_id: str, timeout_s: float = 15.0) -> CancelResult:
        """Cancel an order that was placed outside the mesh; return the exchange's answer.

        Args:
            client_order_id: as `in_flight_orders(external=True)` has it: `external:PAIR:ID`.

        Raises:
            UnknownOrder: the account has no such external order.
            RetryLater: the manager is away, or the request was not sent.
            OutcomeUnknown: handed over, but not answered; call it again.
        """
        answer = self._command("cancel_external", {"id": client_order_id}, timeout_s, client_order_id)
        return CancelResult.from_dict(answer)

    def adopt(
        self, client_order_ids: Sequence[str] | None = None, timeout_s: float = 15.0, *, show: bool = False
    ) -> list[Order]:
        """Take over open orders of the mesh that its journal does not know; return them. Idempotent.

        Only orders that were left external need it: by the account's `unknown_orders`, or by an earlier release.

        Args:
            client_order_ids: None: all, without the orders of other meshes.
            show: change nothing; return the orders that would be taken over, as they are now.

        Raises:
            UnknownOrder: an id is not that of such an order.
            JournalUnavailable: nothing was taken over.
            RetryLater, OutcomeUnknown: call it again.
        """
        ids = None if client_order_ids is None else list(client_order_ids)
        answer = self._command("adopt", {"ids": ids, "show": show}, timeout_s, "adopt")
        return [Order.from_dict(plain) for plain in answer]

    def amend(
        self,
        client_order_id: str,
        amount: Number | None = None,
        timeout_s: float = 15.0,
        *,
        price: Number | None = None,
    ) -> Order:
        """Change the amount, the price or both of an open order, which keeps its ids; return the confirmed order.

        `amount` is the total amount, including the filled part. `venuemesh exchanges --json` shows which changes an
        exchange takes, and after which of them the order keeps its place in the queue.

        Raises:
            NotOffered: the exchange has no amendments of this kind; `replace` works, but loses the place in the queue.
            RuleViolation, Rejected: refused; the order is unchanged.
            OutcomeUnknown: no answer; `get_order` returns the known state.
        """
        given = {"amount": amount, "price": price}
        numbers = {name: f"{needed_number(name, value):f}" for name, value in given.items() if value is not None}
        body = {"id": client_order_id, **numbers}
        return Order.from_dict(self._command("amend", body, timeout_s, client_order_id))

    def replace(
        self,
        client_order_id: str,
        *,
        amount: Number | None = None,
        price: Number | None = None,
        timeout_s: float = 15.0,
    ) -> list[Order]:
        """Cancel an order and place a similar one with a new price or amount; return the old and the new order.

        This is one request where the exchange offers such a request; otherwise a cancel and, after its success, a new
        order. The cancel and the new order have separate outcomes. Without an `amount` the new order has the remaining
        amount at the time of the call; a fill between the call and the cancel does not reduce it. Raises as `place`.
        """
        old = self.get_order(client_order_id)
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
        body = {"id": client_order_id, **replace_body(new, timeout_s)}
        answer = self._command("replace", body, timeout_s, f"{client_order_id}, {new.client_order_id}")
        return [Order.from_dict(plain) for plain in answer]

    # ------------------------------------------------------------------ outcomes

    def get_order(self, client_order_id: str, timeout_s: float = 5.0) -> Order:
        """Return one order, of any age. An order on its way from this process reaches the manager first.

        Raises:
            UnknownOrder: no such order; from now on the manager refuses any order with this id.
            RetryLater: the manager is away.
        """
        self._arrived(client_order_id, timeout_s)
        return Order.from_dict(self._ask("get", {"id": client_order_id}, timeout_s))

    def wait(self, client_order_id: str, until: str = "done", timeout_s: float = 60.0) -> Order:
        """Return the order when it is "done" (it can no longer change) or "open" (the exchange has it, or it is done).

        A refused order is returned, too: FAILED or REJECTED with its reason. Any process that knows the id may call
        this, any number of times.

        Raises:
            UnknownOrder: the order never reached the manager; from now on the manager refuses any order with this id.
            RetryLater: not within `timeout_s`, or the manager was away; the order is not affected.
        """
        if until not in ("done", "open"):
            raise Rejected("bad_request", f"until is {until!r}; it is 'done' or 'open'")
        deadline = time.monotonic() + timeout_s
        self._arrived(client_order_id, timeout_s)
        while (left_s := deadline - time.monotonic()) > 0:
            body = {"id": client_order_id, "until": until}
            with contextlib.suppress(RetryLater):
                found = self._ask("poll:order", body, min(left_s, POLL_S))
                if found is None:
                    continue
                return Order.from_dict(found)
            Waits.sleep(max(0.0, min(STEP_S, deadline - time.monotonic())))
        raise RetryLater(1.0, f"{client_order_id} is not {until} within {timeout_s:g} s")

    def _arrived(self, client_order_id: str, timeout_s: float) -> None:
        """Wait until an order on its way from this process has reached the manager, before a request about it.

        Drop an order that never got there: the manager decides about its id when asked.
        """
        answer = self._state.pending(client_order_id)
        if answer is not None:
            Waits.settle(answer, timeout_s)
