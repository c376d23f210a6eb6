"""Decides when cancels are sent and sent again: for one order, for many, for a dead owner's orders. Pure.

A cancel is sent only when the order is known to be on the exchange: a cancel that overtakes its order would be refused
as "unknown order". Until then the order is marked (`cancel_requested`), also across a restart. If no caller would
repeat the cancel (`insist`: cancel_all, a dead owner, a restart), the machine sends it again, as a new request, when
the earlier one provably did not arrive or was not served.

While the journal is down, cancels are sent without it (docs/adr/0013). A cancel whose intent the journal did not accept
was not sent: `again` makes another request of it at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ....connectors.order_codec import Draft
from ....model.errors import MeshError
from ....model.order import ADOPTED, CancelResult, Order, OrderStatus, Step
from ....model.time import in_ns
from .effects import Answer, Now, Refuse
from .ledger import Held
from .requests import Part
from .state import AccountState, code_and_reason

S = OrderStatus
THERE = (S.OPEN, S.PARTIALLY_FILLED)


def is_unowned(order: Order) -> bool:
    """Return whether an order was adopted without a known owner."""
    return order.code == ADOPTED and not order.owner


@dataclass(slots=True)
class Sweep:
    """One unanswered cancel_all."""

    token: Any
    ids: tuple[str, ...]
    until_mono_ns: int
    refused: dict[str, CancelResult] = field(default_factory=dict)


class Cancelling:
    """See the module."""

    def __init__(self, state: AccountState) -> None:
        self._state = state
        self._waiting: dict[str, list[Any]] = {}  # tokens by client order id
        self._sweeps: list[Sweep] = []
        self._again: dict[str, int] = {}  # client id -> time of the next cancel, monotonic

    @property
    def wake_ns(self) -> int | None:
        return min([*self._again.values(), *(one.until_mono_ns for one in self._sweeps)], default=None)

    def cancel(self, token: Any, held: Held, now: Now) -> None:
        """Cancel one order. Answer with a CancelResult when the outcome is known or in doubt."""
        order = held.order
        if order.is_done:
            self._state.effects.do(Answer(token, CancelResult(order.client_order_id, True, order.status)))
            return
        self._waiting.setdefault(order.client_order_id, []).append(token)
        self.request(held, now, insist=False)
        if held.order.status is S.UNKNOWN:
            self.answer_in_doubt(
                held,
                "remembered",
                "the order may be on the exchange or not; it is cancelled as soon as it is found",
            )

    def cancel_all(self, token: Any, pair: str | None, owner: str | None, timeout_s: float, now: Now) -> None:
        """Cancel all open orders now, and orders in doubt as soon as the exchange shows them."""
        ids = self.sweep(pair, owner, now)
        sweep = Sweep(token, tuple(ids), now.mono_ns + in_ns(timeout_s))
        self._sweeps.append(sweep)
        self._finish(sweep, now)

    def sweep(self, pair: str | None, owner: str | None, now: Now, *, with_unowned: bool = False) -> list[str]:
        """Cancel these orders, repeating cancels that had no effect; return their ids.

        `with_unowned`: also adopted orders without a known owner, because they may be this owner's.
        """
        found = [
            held
            for held in self._state.ledger.open()
            if pair in (None, held.order.pair)
            and (owner in (None, held.order.owner) or (with_unowned and is_unowned(held.order)))
        ]
        self._send([held for held in found if self._is_due(held, now, insist=True)], now)
        return [held.order.client_order_id for held in found]

    def request(self, held: Held, now: Now, *, insist: bool) -> None:
        """Cancel the order now, or as soon as the exchange shows it."""
        if self._is_due(held, now, insist=insist):
            self._send([held], now)

    def _is_due(self, held: Held, now: Now, *, insist: bool) -> bool:
        """Whether to cancel the order now; if only later, remember it."""
        held.insist = held.insist or insist
        if held.order.is_done or self._state.requests.about(held.order.client_order_id, Part.CANCEL):
            return False
        if held.order.status in THERE and held.ending is None:
            return True
        if not held.order.cancel_requested:
            self._state.ledger.note(held, "CANCEL_REQUESTED", now, cancel_requested=True)
        return False

    def again(self, ids: Sequence[str], now: Now) -> None:
        """Cancel orders whose requests were withdrawn unsent, because the journal did not accept them."""
        due: list[Held] = []
        for held in filter(None, map(self._state.ledger.get, ids)):
            if held.order.status in (S.FAILED, S.REJECTED):
                held.stray = True
                self._again[held.order.client_order_id] = now.mono_ns
            elif held.order.status in THERE and held.ending is None:
                due.append(held)
        self._send(due, now)

    def settled(self, held: Held, now: Now) -> None:
        """React to a change of an order: send a requested cancel, answer waiting commands."""
        order = held.order
        if order.status in THERE and order.cancel_requested and order.client_order_id not in self._again:
            self.request(held, now, insist=False)
            order = held.order
        if held.stray:
            self._again.setdefault(order.client_order_id, now.mono_ns)
        elif order.is_done:
            self._again.pop(order.client_order_id, None)
        if order.is_done:
            for token in self._waiting.pop(order.client_order_id, ()):
                self._state.effects.do(Answer(token, CancelResult(order.client_order_id, True, order.status)))
        elif order.status is S.UNKNOWN:
            self.answer_in_doubt(
                held,
                "remembered",
                "the order may be on the exchange or not; it is cancelled as soon as it is found",
            )
        for sweep in list(self._sweeps):
            if order.client_order_id in sweep.ids:
                self._finish(sweep, now)

    def refused(self, held: Held, code: str, reason: str, now: Now, *, final: bool, after_s: float = 0.0) -> None:
        """Record that a cancel failed and the order is open. `final`: the exchange would refuse again."""
        order = held.order
        if held.insist and not final:
            pause_s = max(after_s, self._state.settings.retry_s)
            self._again[order.client_order_id] = now.mono_ns + in_ns(pause_s)
            return
        held.insist = False
        if order.cancel_requested and order.status in THERE:
            self._state.ledger.note(held, "CANCEL_GIVEN_UP", now, cancel_requested=False)
        result = CancelResult(order.client_order_id, False, order.status, code, reason)
        for token in self._waiting.pop(order.client_order_id, ()):
            self._state.effects.do(Answer(token, result))
        for sweep in list(self._sweeps):
            if order.client_order_id in sweep.ids:
                sweep.refused[order.client_order_id] = result
                self._finish(sweep, now)

    def answer_in_doubt(self, held: Held, code: str, reason: str) -> None:
        """Answer the commands that wait for this order: the outcome is in doubt."""
        order = held.order
        for token in self._waiting.pop(order.client_order_id, ()):
            self._state.effects.do(
                Answer(token, CancelResult(order.client_order_id, False, order.status, code, reason))
            )

    def not_sent(self, client_order_id: str, error: MeshError) -> None:
        for token in self._waiting.pop(client_order_id, ()):
            self._state.effects.do(Refuse(token, error))

    def tick(self, now: Now) -> None:
        for one in [one for one, due in self._again.items() if due <= now.mono_ns]:
            del self._again[one]
            held = self._state.ledger.get(one)
            if held is not None and held.stray:
                self._send_stray(held, now)
            elif held is not None:
                self.request(held, now, insist=True)
        for sweep in list(self._sweeps):
            if sweep.until_mono_ns <= now.mono_ns:
                self._finish(sweep, now, late=True)

    def _finish(self, sweep: Sweep, now: Now, *, late: bool = False) -> None:
        results: list[CancelResult] = []
        for one in sweep.ids:
            held = self._state.ledger.get(one)
            if held is None or held.order.is_done:
                results.append(CancelResult(one, True, S.CANCELED if held is None else held.order.status))
            elif one in sweep.refused:
                results.append(sweep.refused[one])
            elif late:
                reason = "the outcome was not known in time; the cancel continues"
                results.append(CancelResult(one, False, held.order.status, "timeout", reason))
            else:
                return
        if sweep in self._sweeps:
            self._sweeps.remove(sweep)
            self._state.effects.do(Answer(sweep.token, results))

    def _send_stray(self, held: Held, now: Now) -> None:
        """Cancel an order that is on the exchange although the mesh ended it as never placed: no other part manages
        it."""
        state, order = self._state, held.order
        held.stray = False
        try:
            draft = state.codec.cancel(order, state.guards.instrument(order.pair))
            state.intend(draft, {order.client_order_id: Part.CANCEL}, now)
        except MeshError:
            held.stray = True
            self._again[order.client_order_id] = now.mono_ns + in_ns(state.settings.retry_s)

    def _send(self, due: Sequence[Held], now: Now) -> None:
        """Cancel these orders, in as few requests as the exchange takes."""
        state, by_id = self._state, {held.order.client_order_id: held for held in due}

        def drafted(held: Held) -> Draft:
            return state.codec.cancel(held.order, state.guards.instrument(held.order.pair))

        def failed(one: str, error: MeshError) -> None:
            code, reason = code_and_reason(error)
            self.refused(by_id[one], code, reason, now, final=True)

        def sent(one: str) -> None:
            state.ledger.step(by_id[one], Step.CANCEL_SENT, now)

        drafts = {one: partial(drafted, held) for one, held in by_id.items()}
        state.intend_each(Part.CANCEL, drafts, now, failed=failed, sent=sent)
