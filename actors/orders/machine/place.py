"""Decides about commands to place orders: one intent per client order id, and the answers. Pure.

The client order ids identify a command. A repeated command gets the outcome of the first; a command with other content
under a known id is refused (`duplicate_id`). A refused order, and an order that arrives after its `expires_ns`, ends as
FAILED in the journal, so that every id has exactly one outcome. The orders of one command are judged one by one, and
one commit has all their intents before the first order is sent. Where the exchange takes batches, few requests go out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ....connectors.order_codec import Draft
from ....model.errors import InsufficientBalance, MeshError, NotOffered, Rejected, UnknownOrder
from ....model.order import NewOrder, Order, OrderStatus, OrderType, Step, as_order
from .effects import Answer, Now, Refuse
from .ledger import Held
from .requests import Part
from .state import AccountState, code_and_reason

S = OrderStatus


@dataclass(slots=True)
class Waiting:
    """A command that waits for the outcomes of these orders."""

    token: Any
    ids: tuple[str, ...]


class Placing:
    """See the module."""

    def __init__(self, state: AccountState) -> None:
        self._state = state
        self._waiting: dict[str, list[Waiting]] = {}
        self._tombs: dict[str, None] = {}
        self._tomb_order: deque[str] = deque()

    def bury(self, client_order_id: str) -> None:
        """Write a tombstone for the id: no order will ever have it."""
        if client_order_id in self._tombs:
            return
        self._tombs[client_order_id] = None
        self._tomb_order.append(client_order_id)
        if len(self._tomb_order) > self._state.settings.max_recent:
            del self._tombs[self._tomb_order.popleft()]

    def is_buried(self, client_order_id: str) -> bool:
        return client_order_id in self._tombs

    def place(
        self,
        token: Any,
        orders: Sequence[NewOrder],
        expires_ns: int,
        now: Now,
        list_kind: str | None = None,
        refusal: MeshError | None = None,
    ) -> None:
        """Place orders whose ids were looked up in the journal. `list_kind`: as one order list.

        `refusal`: the reason why the orders cannot be sent. They then end as FAILED, and the command is refused with
        it.
        """
        state = self._state
        ids = [one.client_order_id for one in orders]
        buried = next((one for one in ids if self.is_buried(one)), None)
        if buried is not None:
            state.effects.do(Refuse(token, UnknownOrder(buried)))
            return
        if len(set(ids)) < len(ids) or any(one in state.ledger for one in ids):
            self.known(token, orders)
            return
        error = refusal
        if error is None and now.ns > expires_ns:
            error = Rejected("expired", expiry_of(orders))
        if error is None and list_kind is not None:
            error = self._list_offered(orders, list_kind) or self._place_list(orders, list_kind, now)
        elif error is None:
            errors = self._place_each(orders, now)
            if len(orders) == 1:
                error = errors.get(ids[0])
        if error is None:
            self.wait(token, ids)
            return
        for asked in orders:
            self.fail(asked, error, now)
        state.effects.do(Refuse(token, error))

    def wait(self, token: Any, ids: Sequence[str]) -> None:
        """Answer the command when every order's outcome is known or in doubt."""
        waiting = Waiting(token, tuple(ids))
        for one in ids:
            self._waiting.setdefault(one, []).append(waiting)
        self._answer(waiting)

    def settled(self, held: Held) -> None:
        """React to a change of an order: answer the commands that waited for it."""
        if held.order.status is not S.PENDING_NEW:
            for waiting in list(self._waiting.get(held.order.client_order_id, ())):
                self._answer(waiting)

    def not_sent(self, client_order_id: str, error: MeshError) -> None:
        """Refuse the commands about this order: the journal did not accept its intent."""
        for waiting in self._waiting.pop(client_order_id, []):
            for one in waiting.ids:
                if one != client_order_id and waiting in self._waiting.get(one, ()):
                    self._waiting[one].remove(waiting)
            self._state.effects.do(Refuse(waiting.token, error))

    def _answer(self, waiting: Waiting) -> None:
        found: list[Order] = []
        for one in waiting.ids:
            held = self._state.ledger.get(one)
            if held is None or held.order.status is S.PENDING_NEW:
                return
            found.append(held.order)
        for one in waiting.ids:
            others = self._waiting.get(one, [])
            if waiting in others:
                others.remove(waiting)
            if not others:
                self._waiting.pop(one, None)
        self._state.effects.do(Answer(waiting.token, found))

    def known(self, token: Any, orders: Sequence[NewOrder], also: Sequence[str] = ()) -> None:
        """Answer a repeated command with the state of its orders, when the orders in `also` have an outcome."""
        state, ids = self._state, [one.client_order_id for one in orders]
        for one in orders:
            held = state.ledger.get(one.client_order_id)
            if held is None or not self._same(one, held) or ids.count(one.client_order_id) > 1:
                reason = f"the id {one.client_order_id!r} already belongs to another order"
                state.effects.do(Refuse(token, Rejected("duplicate_id", reason)))
                return
        first = state.ledger.get(ids[0])
        if len(ids) == 1 and first is not None and first.error is not None:
            state.effects.do(Refuse(token, first.error))
            return
        self.wait(token, [*also, *ids])

    def _same(self, asked: NewOrder, held: Held) -> bool:
        order = held.order
        for one in (asked, self._quantized(asked)):
            same = (one.pair, one.side, one.order_type, one.price, one.time_in_force, one.quote_amount) == (
                order.pair,
                order.side,
                order.order_type,
                order.price,
                order.time_in_force,
                order.quote_amount,
            )
            same = same and (one.stop_price, one.self_trade, one.owner) == (
                order.stop_price,
                order.self_trade,
                order.owner,
            )
            if same and (one.amount is None or (order.amount is not None and order.amount <= one.amount)):
                return True
        return False

    def _quantized(self, asked: NewOrder) -> NewOrder:
        try:
            return self._state.guards.quantized(asked)
        except MeshError:
            return asked

    def _place_each(self, orders: Sequence[NewOrder], now: Now) -> dict[str, MeshError]:
        """Write the intents of the orders that may be placed; the others end as FAILED. Return why, by id."""
        state, asked = self._state, {one.client_order_id: one for one in orders}
        errors: dict[str, MeshError] = {}

        def failed(one: str, error: MeshError) -> None:
            state.funds.release(one)
            self.fail(asked[one], error, now)
            errors[one] = error

        drafts = {one: partial(self._drafted, order, now) for one, order in asked.items()}
        state.intend_each(Part.PLACE, drafts, now, failed=failed)
        return errors

    def _drafted(self, asked: NewOrder, now: Now) -> Draft:
        """Hold an order that may be placed, and return its request. Raises MeshError: why it may not."""
        state = self._state
        order = state.guards.judge(asked, state.ledger, {}, now)
        if isinstance(order, MeshError):
            raise order
        draft = state.codec.place(order, state.guards.instrument(order.pair))
        self.reserve(order, now)
        self._add(order, now)
        return draft

    def reserve(self, order: NewOrder, now: Now) -> None:
        """Reserve the funds of an order. Raises InsufficientBalance."""
        state = self._state
        asset, amount = state.guards.need(order, now)
        available = state.available(asset, now)
        if amount is None:
            amount = available
            if amount <= 0:
                raise InsufficientBalance(asset, "some", "0")
        state.funds.reserve(order.client_order_id, asset, amount)

    def _add(self, order: NewOrder, now: Now) -> Held:
        settings = self._state.settings
        self._state.kept.keep(order.pair)
        return self._state.ledger.add(as_order(order, settings.exchange, settings.account, now.ns), "NEW", now)

    def _list_offered(self, orders: Sequence[NewOrder], kind: str) -> MeshError | None:
        state = self._state
        if kind not in state.codec.offer.order_lists:
            return NotOffered(state.settings.exchange, f"order lists of kind {kind}")
        if len({one.pair for one in orders}) != 1 or len(orders) < 2:
            return Rejected("order_list", "an order list needs two or more orders, all on one pair")
        return None

    def _place_list(self, orders: Sequence[NewOrder], kind: str, now: Now) -> MeshError | None:
        state = self._state
        judged: list[NewOrder] = []
        for asked in orders:
            order = state.guards.judge(asked, state.ledger, {asked.pair: len(judged)}, now)
            if isinstance(order, MeshError):
                return order
            judged.append(order)
        legs = judged if kind == "OCO" else judged[:1]  # the other orders of OTO and OTOCO wait for the first order
        taking = max(legs, key=lambda one: state.guards.need(one, now)[1] or 0)
        try:
            instrument = state.guards.instrument(judged[0].pair)
            draft = state.codec.place_list(kind, judged, instrument, state.new_id())
            signed_for = {one.client_order_id: Part.PLACE for one in judged}
            self.reserve(taking, now)
            for one in judged:
                self._add(one, now)
            state.intend(draft, signed_for, now)
        except MeshError as error:
            state.funds.release(taking.client_order_id)
            return error
        return None

    def fail(self, asked: NewOrder, error: MeshError, now: Now) -> None:
        """End an order that was never sent as FAILED."""
        held = self._state.ledger.get(asked.client_order_id) or self._add(asked, now)
        held.error = error
        code, reason = code_and_reason(error)
        self._state.ledger.step(held, Step.NOT_SENT, now, code=code, reason=reason)


def expiry_of(orders: Sequence[NewOrder]) -> str:
    """Return the reason why orders of a command that came too late are refused."""
    reason = "the command arrived after its expiry"
    if any(one.order_type is OrderType.MARKET for one in orders):
        reason += "; a MARKET order also expires market_wait_s after it was requested, because the market moves"
    return reason
