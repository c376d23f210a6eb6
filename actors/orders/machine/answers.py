"""Decides what an answer to a request means: each part gets its outcome, or stays in doubt. Pure.

An explicit refusal is an outcome, with two exceptions: "unknown order" in answer to a cancel may mean that the order
was filled, and "duplicate" in answer to a new order may mean that this very order is on the exchange; both orders are
queried. A request that was provably not executed is NOT_SENT. Everything else (a timeout, a 5xx, a cut connection, an
unreadable answer) leaves the request in doubt.
"""

from __future__ import annotations

from ....connectors.order_codec import Refusal, Reply
from ....connectors.reports import OrderReport
from ....model.errors import MeshError, Misconfigured, OutcomeUnknown, Rejected, RetryLater
from ....model.order import NEXT, EventType, OrderStatus, Step
from .cancel import Cancelling
from .change import Changing
from .effects import MeasureClock, Now
from .ledger import Held
from .requests import Part, PendingRequest
from .state import AccountState, code_and_reason

S = OrderStatus
KNOWN_NOT = (S.PENDING_NEW, S.UNKNOWN, S.PENDING_CANCEL)


class Answers:
    """See the module."""

    def __init__(self, state: AccountState, cancelling: Cancelling, changing: Changing) -> None:
        self._state, self._cancelling, self._changing = state, cancelling, changing

    def answered(self, request: PendingRequest, result: Reply | MeshError, now: Now) -> None:
        """Apply the exchange's answer, or the error of the transport.

        A late answer to a request in doubt counts, too.
        """
        if isinstance(result, Reply):
            self._reply(request, result, now)
        elif isinstance(result, Rejected):
            kind = self._state.codec.refusal(str(result.code), str(result.reason))
            for one, part in list(request.parts.items()):
                self._refused(request, one, part, result, kind, now)
        elif isinstance(result, RetryLater):
            for one, part in list(request.parts.items()):
                self.not_sent(request, one, part, result, now)
        elif isinstance(result, Misconfigured):
            for one, part in list(request.parts.items()):
                self._refused(request, one, part, result, Refusal.KEY, now)
        else:
            self.in_doubt(request, result, now)

    def in_doubt(self, request: PendingRequest, error: MeshError, now: Now) -> None:
        """Put the request in doubt: its outcome is unknown."""
        code, reason = code_and_reason(error)
        for one, part in request.parts.items():
            held = self._state.ledger.get(one)
            if held is None:
                continue
            if part is Part.PLACE and (held.order.status, Step.NO_REPLY) in NEXT:
                self._state.ledger.step(held, Step.NO_REPLY, now, code=code, reason=reason)
            elif part is Part.CANCEL:
                self._cancelling.answer_in_doubt(held, "outcome_unknown", reason)
            elif part is Part.AMEND:
                self._changing.answer_in_doubt(request, OutcomeUnknown(f"amending {one}", reason))
            self._state.ledger.changed[one] = None
        if not request.doubt:
            self._state.requests.put_in_doubt(request, now)

    def withdrawn(self, request: PendingRequest, one: str, now: Now) -> None:
        """End the cancel of one order that was not sent and will be made again; no result and no event is due."""
        held = self._state.ledger.get(one)
        self._state.requests.settle(request, one, "not_sent", now)
        if held is not None and (held.order.status, Step.CANCEL_REFUSED) in NEXT:
            self._state.ledger.step(held, Step.CANCEL_REFUSED, now)

    def not_sent(self, request: PendingRequest, one: str, part: Part, error: MeshError, now: Now) -> None:
        """End one part of a request that provably did not reach the exchange."""
        held = self._state.ledger.get(one)
        code, reason = code_and_reason(error)
        self._state.requests.settle(request, one, "not_sent", now)
        if held is None:
            return
        if part is Part.PLACE:
            if (held.order.status, Step.NOT_SENT) in NEXT and held.order.exchange_order_id is None:
                self._state.ledger.step(held, Step.NOT_SENT, now, code=code, reason=reason)
        elif part is Part.CANCEL:
            after_s = error.after_s if isinstance(error, RetryLater) and error.after_s is not None else 0.0
            self.still_there(held, code, reason, now, final=False, after_s=after_s)
        else:
            self._changing.failed(request, held, error, now)

    def still_there(self, held: Held, code: str, reason: str, now: Now, *, final: bool, after_s: float = 0.0) -> None:
        """Record that a cancel had no effect: the order is still open."""
        if held.order.is_done or held.ending is not None:
            return
        if (held.order.status, Step.CANCEL_REFUSED) in NEXT:
            self._state.ledger.step(held, Step.CANCEL_REFUSED, now)
        self._state.ledger.emit(EventType.CANCEL_FAILED, held, now, code=code, reason=reason)
        self._cancelling.refused(held, code, reason, now, final=final, after_s=after_s)

    def amend_failed(self, request: PendingRequest, held: Held, error: MeshError, now: Now) -> None:
        self._changing.failed(request, held, error, now)

    def _reply(self, request: PendingRequest, reply: Reply, now: Now) -> None:
        state = self._state
        reported: dict[str, OrderReport] = {}
        for report in reply.orders:
            reported[report.client_order_id] = report
            held = state.ledger.get(report.client_order_id)
            if held is not None and state.ledger.fits(held, report):
                state.ledger.apply(held, report, now)
        refused = {one: Rejected(code, reason) for one, code, reason in reply.refused}
        for one, part in list(request.parts.items()):
            held = state.ledger.get(one)
            if one in refused:
                kind = state.codec.refusal(refused[one].code, refused[one].reason)
                self._refused(request, one, part, refused[one], kind, now)
            elif (
                held is None
                or (part is Part.PLACE and one in reported)
                or (part is Part.CANCEL and one in reported and (held.order.is_done or held.ending is not None))
            ):
                state.requests.settle(request, one, "accepted", now)
            elif part is Part.AMEND and one in reported:
                state.requests.settle(request, one, "accepted", now)
                state.ledger.changed[one] = None
                self._changing.amended(request, held)
        for one in reply.taken:
            self._taken(request, one, now)
        if reply.absent:
            missing = Rejected("not_there", "the exchange has no such order")
            for one, part in list(request.parts.items()):
                self._refused(request, one, part, missing, Refusal.NOT_THERE, now)
        if request.parts.keys() - request.acknowledged and not (request.doubt and reply.taken):
            self.in_doubt(request, OutcomeUnknown(request.kind.value, "the answer does not state the outcome"), now)

    def _taken(self, request: PendingRequest, one: str, now: Now) -> None:
        """Record that the exchange acknowledged a request without its outcome; a report or a query states the
        outcome."""
        state, held = self._state, self._state.ledger.get(one)
        part = request.parts.get(one)
        if held is None or (part is Part.PLACE and not held.order.is_done):
            return  # without the exchange's id in the answer, the order may not exist: it stays in doubt
        if part is Part.AMEND and not held.order.is_done:
            state.requests.put_in_doubt(request, now)
            return
        if part is Part.CANCEL and not held.order.is_done:
            # until the order ends, or the exchange can no longer be working on the cancel
            request.acknowledged.add(one)
        else:
            state.requests.settle(request, one, "accepted", now)
        if not held.order.is_done:
            state.requests.await_report(one, now, until_end=part is Part.CANCEL)

    def late_cancel(self, request: PendingRequest, held: Held, reason: str, now: Now) -> None:
        """Record that the order is open although its cancel was acknowledged a while ago."""
        self._cancelling.answer_in_doubt(held, "acknowledged", reason)
        self._state.requests.put_in_doubt(request, now)

    def _refused(
        self, request: PendingRequest, one: str, part: Part, error: MeshError, kind: Refusal, now: Now
    ) -> None:
        state = self._state
        held = state.ledger.get(one)
        code, reason = code_and_reason(error)
        if kind is Refusal.CLOCK:
            state.effects.do(MeasureClock())
        if kind in (Refusal.BUSY, Refusal.NONCE):
            self.not_sent(request, one, part, error, now)
            return
        unclear = kind is Refusal.UNKNOWN or (part is Part.PLACE and kind in (Refusal.DUPLICATE, Refusal.NOT_THERE))
        if unclear:
            self._one_in_doubt(request, one, part, held, error, now)
            return
        state.requests.settle(request, one, "rejected", now)
        if held is None:
            return
        if part is Part.PLACE:
            if held.order.exchange_order_id is None and (held.order.status, Step.REJECT) in NEXT:
                state.ledger.step(held, Step.REJECT, now, code=code, reason=reason)
            elif (
                not held.order.is_done
            ):  # a report acknowledged the order before: only the exchange knows which state is newer
                state.requests.ask_for(one, now, once=True)
        elif part is Part.CANCEL:
            if kind is Refusal.NOT_THERE:
                state.requests.ask_for(one, now, once=True)
            elif kind is Refusal.NO_PAIR:  # the order may have ended with its pair
                self._cancelling.answer_in_doubt(held, code, reason)
                state.requests.ask_for(one, now, once=True)
            else:
                self.still_there(held, code, reason, now, final=kind is not Refusal.CLOCK)
        else:
            if kind is Refusal.NOT_THERE:
                state.requests.ask_for(one, now, once=True)
            self._changing.failed(request, held, error, now)

    def _one_in_doubt(
        self, request: PendingRequest, one: str, part: Part, held: Held | None, error: MeshError, now: Now
    ) -> None:
        code, reason = code_and_reason(error)
        if held is not None and part is Part.PLACE:
            self._state.ledger.step(held, Step.NO_REPLY, now, code=code, reason=reason)
        elif held is not None and part is Part.CANCEL:
            self._cancelling.answer_in_doubt(held, "outcome_unknown", reason)
        elif held is not None:
            self._changing.answer_in_doubt(request, OutcomeUnknown(f"amending {one}", reason))
        if not request.doubt:
            self._state.requests.put_in_doubt(request, now)
        else:
            self._state.requests.ask_for(one, now)
