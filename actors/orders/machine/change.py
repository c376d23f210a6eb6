"""Changing an order that rests: a smaller amount in place, or a cancel and a new order in one request. Pure.

A replace has two halves with a fate each: the cancel may succeed and the new order be refused, or nothing may happen.
Its new order is an order like any other from the intent on; the command is answered as a placing is, with both orders.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ....model.errors import InsufficientBalance, MeshError, NotOffered, Rejected, UnknownOrder
from ....model.events import Side
from ....model.order import EventType, NewOrder, Step, as_order
from ....model.rules import quantize_amount
from .cancel import THERE
from .core import Core, said
from .doubt import Part, Pending
from .effects import Answer, Now, Refuse
from .ledger import EXACT, Held
from .place import Placing


class Changing:
    """See the module."""

    def __init__(self, core: Core, placing: Placing) -> None:
        self._core, self._placing = core, placing

    def amend(self, token: Any, held: Held, amount: Decimal, now: Now) -> None:
        """Make the amount smaller, keeping the order's priority. Answered with the Order, or the refusal."""
        core, order = self._core, held.order
        try:
            instrument = core.guards.instrument(order.pair)
            amount = quantize_amount(instrument, amount)
            if amount == order.amount and not order.is_done and not core.requests.of(order.client_order_id):
                core.out.do(Answer(token, order))  # it is so already: the command came again
                return
            self._resting(held)
            core.guards.amended(instrument, amount, order.amount or Decimal(0), order.filled)
            draft = core.codec.amend(order, instrument, amount)
            one = order.client_order_id
            core.intend(draft, {one: Part.AMEND}, now, {one: amount}, token)
        except MeshError as error:
            core.out.do(Refuse(token, error))

    def replace(self, token: Any, held: Held, asked: NewOrder, expires_ns: int, now: Now) -> None:
        """Cancel an order and place another in one request."""
        core, old = self._core, held.order
        if asked.client_order_id in core.ledger:
            self._placing.known(token, [asked], also=[old.client_order_id])
            return
        new = core.guards.judge(asked, core.ledger, {}, now)
        error: MeshError | None = new if isinstance(new, MeshError) else None
        if now.ns > expires_ns:
            error = Rejected("expired", "the command came after its time")
        elif self._placing.is_buried(asked.client_order_id):
            error = UnknownOrder(asked.client_order_id)
        elif not core.codec.offer.replace:
            error = NotOffered(core.settings.exchange, "replacing an order")
        elif asked.pair != old.pair:
            error = Rejected("replace", f"an order on {old.pair} cannot be replaced by one on {asked.pair}")
        if error is None and not isinstance(new, MeshError):
            error = self._replace(token, held, new, now)
        if error is not None:
            if not self._placing.is_buried(asked.client_order_id):
                self._placing.fail(asked, error, now)
            core.out.do(Refuse(token, error))

    def _replace(self, token: Any, held: Held, new: NewOrder, now: Now) -> MeshError | None:
        core, old = self._core, held.order
        try:
            self._resting(held)
            draft = core.codec.replace(old, core.guards.instrument(old.pair), new)
            asset, amount = core.guards.need(new, now)
            available = core.funds.available(asset)
            if new.side is old.side:
                freed = old.remaining or Decimal(0)
                if old.price is not None and old.side is Side.BUY:
                    freed = EXACT.multiply(freed, old.price)
                available = EXACT.add(available, freed)
            if amount is None:
                amount = available
            elif amount > available:
                raise InsufficientBalance(asset, f"{amount:f}", f"{available:f}")
            # All of it, though the old order gives some back: a fill of it may cross
            core.funds.hold(new.client_order_id, asset, amount)
            core.ledger.add(as_order(new, core.settings.exchange, core.settings.account, now.ns), "NEW", now)
            parts = {old.client_order_id: Part.CANCEL, new.client_order_id: Part.PLACE}
            core.intend(draft, parts, now)
        except MeshError as error:
            core.funds.release(new.client_order_id)
            return error
        core.ledger.step(held, Step.CANCEL_SENT, now)
        self._placing.wait(token, [old.client_order_id, new.client_order_id])
        return None

    def amended(self, request: Pending, held: Held) -> None:
        """The exchange has the new amount (and said so in a report that has been applied)."""
        if request.token is not None:
            self._core.out.do(Answer(request.token, held.order))
            request.token = None

    def failed(self, request: Pending, held: Held, error: MeshError, now: Now) -> None:
        """The amount is what it was."""
        code, reason = said(error)
        self._core.ledger.tell(EventType.AMEND_FAILED, held, now, code=code, reason=reason)
        if request.token is not None:
            self._core.out.do(Refuse(request.token, error))
            request.token = None

    def unsure(self, request: Pending, error: MeshError) -> None:
        if request.token is not None:
            self._core.out.do(Refuse(request.token, error))
            request.token = None

    def _resting(self, held: Held) -> None:
        order = held.order
        if order.is_done or order.status not in THERE or held.ending is not None:
            raise Rejected("not_open", f"{order.client_order_id} is {order.status.value}")
        if self._core.requests.of(order.client_order_id):
            raise Rejected("in_flight", f"another request about {order.client_order_id} is unanswered")
