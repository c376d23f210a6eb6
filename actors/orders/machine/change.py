"""Decides changes of open orders: amend (amount, price) and replace (cancel and place in one request). Pure.

A replace has two parts, each with its own outcome: the cancel may succeed while the new order is refused, or both may
fail. From the intent on, the new order is an ordinary order; the command is answered like `place`, with both orders.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ....model.errors import InsufficientBalance, MeshError, NotOffered, Rejected, UnknownOrder
from ....model.events import Side
from ....model.order import ZERO, EventType, NewOrder, Order, Step, as_order
from ....model.rules import quantize_amount, quantize_price
from .cancel import THERE
from .effects import Answer, Now, Refuse
from .ledger import EXACT, Held
from .place import Placing, expiry_of
from .requests import Part, PendingRequest, Terms
from .state import AccountState, code_and_reason


class Changing:
    """See the module."""

    def __init__(self, state: AccountState, placing: Placing) -> None:
        self._state, self._placing = state, placing

    def amend(self, token: Any, held: Held, amount: Decimal | None, price: Decimal | None, now: Now) -> None:
        """Change the amount, the price or both; None leaves a value unchanged. Answer with the Order, or refuse."""
        state, order = self._state, held.order
        try:
            instrument = state.guards.instrument(order.pair)
            amount = order.amount if amount is None else quantize_amount(instrument, amount)
            price = order.price if price is None else quantize_price(instrument, price, order.side)
            if (
                (amount, price) == (order.amount, order.price)
                and not order.is_done
                and not state.requests.about(order.client_order_id)
            ):
                state.effects.do(Answer(token, order))  # the order already has these terms: the command was repeated
                return
            self._resting(held)
            state.guards.amended(order, amount, price, now)
            self._afford(order, (amount, price), now)
            new = (amount if amount != order.amount else None, price if price != order.price else None)
            draft = state.codec.amend(order, instrument, *new)
            state.amend(held, draft, (amount, price), token, now)
        except MeshError as error:
            state.effects.do(Refuse(token, error))

    def _afford(self, order: Order, terms: Terms, now: Now) -> None:
        """Check that the account can pay for what the new terms take beyond the old terms.

        Raises:
            InsufficientBalance
        """
        asset, more = self._state.guards.growth(order, terms, at_most=False)
        available = self._state.available(asset, now)
        if more > max(available, ZERO):
            raise InsufficientBalance(asset, f"{more:f}", f"{available:f}")

    def replace(self, token: Any, held: Held, asked: NewOrder, expires_ns: int, now: Now) -> None:
        """Cancel an order and place another in one request."""
        state, old = self._state, held.order
        if asked.client_order_id in state.ledger:
            self._placing.known(token, [asked], also=[old.client_order_id])
            return
        new = state.guards.judge(asked, state.ledger, {}, now)
        error: MeshError | None = new if isinstance(new, MeshError) else None
        if now.ns > expires_ns:
            error = Rejected("expired", expiry_of([asked]))
        elif self._placing.is_buried(asked.client_order_id):
            error = UnknownOrder(asked.client_order_id)
        elif not state.codec.offer.replace:
            error = NotOffered(state.settings.exchange, "replacing an order")
        elif asked.pair != old.pair:
            error = Rejected("replace", f"an order on {old.pair} cannot be replaced by an order on {asked.pair}")
        if error is None and not isinstance(new, MeshError):
            error = self._replace(token, held, new, now)
        if error is not None:
            if not self._placing.is_buried(asked.client_order_id):
                self._placing.fail(asked, error, now)
            state.effects.do(Refuse(token, error))

    def _replace(self, token: Any, held: Held, new: NewOrder, now: Now) -> MeshError | None:
        state, old = self._state, held.order
        try:
            self._resting(held)
            draft = state.codec.replace(old, state.guards.instrument(old.pair), new)
            asset, amount = state.guards.need(new, now)
            available = state.available(asset, now)
            if new.side is old.side:
                freed = old.remaining or Decimal(0)
                if old.price is not None and old.side is Side.BUY:
                    freed = EXACT.multiply(freed, old.price)
                available = EXACT.add(available, freed)
            if amount is None:
                amount = available
            elif amount > available:
                raise InsufficientBalance(asset, f"{amount:f}", f"{available:f}")
            # Reserve the full amount, although the cancel frees a part: a fill of the old order may come before the
            # cancel
            state.funds.hold(new.client_order_id, asset, amount)
            state.ledger.add(as_order(new, state.settings.exchange, state.settings.account, now.ns), "NEW", now)
            parts = {old.client_order_id: Part.CANCEL, new.client_order_id: Part.PLACE}
            state.intend(draft, parts, now)
        except MeshError as error:
            state.funds.release(new.client_order_id)
            return error
        state.ledger.step(held, Step.CANCEL_SENT, now)
        self._placing.wait(token, [old.client_order_id, new.client_order_id])
        return None

    def amended(self, request: PendingRequest, held: Held) -> None:
        """Answer the command: an applied report shows the new terms."""
        if request.token is not None:
            self._state.effects.do(Answer(request.token, held.order))
            request.token = None

    def concluded(self, request: PendingRequest, held: Held, now: Now) -> None:
        """Answer a command whose request was only acknowledged: the order has the new terms, or has ended."""
        if request.is_amended(held.order):
            self.amended(request, held)
        elif request.token is not None:
            self.failed(request, held, Rejected("not_open", "the order ended before it was amended"), now)

    def failed(self, request: PendingRequest, held: Held, error: MeshError, now: Now) -> None:
        """Report that the order did not change."""
        code, reason = code_and_reason(error)
        self._state.ledger.changed[held.order.client_order_id] = None
        self._state.ledger.emit(EventType.AMEND_FAILED, held, now, code=code, reason=reason)
        if request.token is not None:
            self._state.effects.do(Refuse(request.token, error))
            request.token = None

    def answer_in_doubt(self, request: PendingRequest, error: MeshError) -> None:
        if request.token is not None:
            self._state.effects.do(Refuse(request.token, error))
            request.token = None

    def _resting(self, held: Held) -> None:
        order = held.order
        if order.is_done or order.status not in THERE or held.ending is not None:
            raise Rejected("not_open", f"order {order.client_order_id} is not open: it is {order.status.value}")
        if self._state.requests.about(order.client_order_id):
            raise Rejected("in_flight", f"another request about order {order.client_order_id} is not answered yet")
