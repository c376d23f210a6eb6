"""Pending requests: which outcomes are in doubt, and what ends a doubt. Pure.

Theory of operation. A request is pending from its intent until its outcome is known *for every order it names*: a
replace has two parts, an order list several, each with its own outcome (`Part`). An answer settles parts at once. A
request without an answer is in doubt, and so is every open request of an earlier epoch. The machine queries each
order of a request in doubt by its client id, with growing pauses. A part in doubt is settled by:

    PLACE    any evidence that the order is or was on the exchange; or two queries that do not find the order, each
             begun after end + processing + margin by the exchange's clock (`fates` says when they count)
    CANCEL   the order's end; or a query begun after that time that shows the order open: the cancel never arrived
    AMEND    the new terms, or the order's end; or a query begun after that time that shows other terms

A query begins when the machine makes it, which is never later than its sending.

The end of a request depends on its signature (`Ends`). It may be a time of the exchange's clock. If a later nonce
supersedes the request, the end is the time of the first answer to an ask that the machine made after the request: the
account's nonces rise in the order of requests and asks, so the exchange had accepted a higher nonce by then. If nothing
supersedes the request, it has no end: the absence of its order is never proven.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any

from ....connectors.order_codec import At, Ends, Kind, WhenSuperseded
from ....journal.writes import CloseRequest
from ....model.backoff import Backoff
from ....model.order import Order
from ....model.time import SECOND_NS, in_ns
from ..settings import OrderSettings
from .effect_buffer import EffectBuffer
from .effects import Now

Terms = tuple[Decimal | None, Decimal | None]  # amount and price
STUCK_TRIES = 3
QUERIES_MAX = 50  # queries of single orders at once: more would fill the queue for rate units and wait there
STUCK_S = 30.0  # pause between queries of an order that is stuck
NOTHING_CHANGED = frozenset({"rejected", "not_sent", "absent"})  # outcomes of a request that had no effect


def terms_text(terms: Terms) -> str:
    """Return terms as the text that `read_terms` reads."""
    return " ".join("-" if value is None else f"{value:f}" for value in terms)


def read_terms(text: str) -> Terms:
    amount, price = (None if value == "-" else Decimal(value) for value in text.split(" "))
    return amount, price


class Part(Enum):
    """What a request does to one order."""

    PLACE = "place"
    CANCEL = "cancel"
    AMEND = "amend"


@dataclass(slots=True)
class PendingRequest:
    """One unsettled request. `parts`: client order id -> the part with an open outcome."""

    request_id: str
    kind: Kind
    parts: dict[str, Part]
    ends: Ends
    earlier: bool = False  # left by an earlier epoch; this epoch did not send it
    over: bool = False  # the exchange refuses it by now, and its orders are stuck
    doubt: bool = False  # an answer is no longer expected
    token: Any = None
    terms: dict[str, Terms] = field(default_factory=dict)  # new terms, for AMEND
    outcome: str = "accepted"  # the outcome to close it with
    journaled: bool = True  # the journal has its intent; False: a cancel that was sent while the journal was down
    asks: int = 0  # number of asks made before it
    acknowledged: set[str] = field(default_factory=set)  # orders whose cancel was only acknowledged
    superseded_ns: int | None = None  # the time of its clock by which the exchange had accepted a later nonce

    @property
    def end_ns(self) -> int | None:
        """The time of its clock from which the exchange refuses the request; None: not known, or never."""
        return self.ends.ns if isinstance(self.ends, At) else self.superseded_ns

    def is_amended(self, order: Order) -> bool:
        """Return whether the order has the terms of the request."""
        return self.terms.get(order.client_order_id) == (order.amount, order.price)


@dataclass(slots=True)
class DoubtedOrder:
    """An order that the machine queries until the doubt ends."""

    tries: int  # asks since the doubt began: the pauses between them grow
    due_mono_ns: int
    once: int | None = None  # the doubt ends with one answer that shows the order, to an ask after this number
    absent: int = 0  # number of answers that count as proof of absence
    asking: bool = False
    reason: str = ""  # why the last query did not settle the order

    @property
    def is_stuck(self) -> bool:
        """Whether queries in a row did not settle the order: nothing else waits for it from now on."""
        return bool(self.reason) and self.tries > STUCK_TRIES


class PendingRequests:
    """See the module."""

    def __init__(
        self,
        settings: OrderSettings,
        processing_s: float,
        effects: EffectBuffer,
        on_settled: Callable[[PendingRequest, str, Part, str, Now], None],
    ) -> None:
        """`on_settled(request, client order id, part, outcome, now)` is called for each part."""
        self._on_settled = on_settled
        self._settings = settings
        self._backoff = Backoff(*settings.query_s, jitter=0.0)
        self._after_ns = in_ns(processing_s + settings.margin_s)
        self._effects = effects
        self._pending: dict[str, PendingRequest] = {}
        self._of_order: dict[str, set[str]] = {}
        self.doubts: dict[str, DoubtedOrder] = {}
        self._awaited: dict[str, tuple[int, bool]] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def get(self, request_id: str) -> PendingRequest | None:
        return self._pending.get(request_id)

    def all(self) -> Iterator[PendingRequest]:
        return iter(list(self._pending.values()))

    def about(self, client_order_id: str, part: Part | None = None) -> list[PendingRequest]:
        """Return the pending requests that name an order; with `part`, only those with that part open."""
        found = (self._pending[one] for one in sorted(self._of_order.get(client_order_id, ())))
        return [one for one in found if part is None or one.parts[client_order_id] is part]

    @property
    def earlier(self) -> int:
        """Return the number of requests of earlier epochs that may still reach the exchange."""
        return sum(one.earlier and not one.over for one in self._pending.values())

    @property
    def in_doubt(self) -> bool:
        return any(not doubt.is_stuck for doubt in self.doubts.values())

    def stuck(self) -> dict[str, str]:
        """Return the orders that queries do not settle, and why."""
        return {one: doubt.reason for one, doubt in self.doubts.items() if doubt.is_stuck}

    def add(self, request: PendingRequest) -> None:
        self._pending[request.request_id] = request
        for one in request.parts:
            self._of_order.setdefault(one, set()).add(request.request_id)

    def put_in_doubt(self, request: PendingRequest, now: Now) -> None:
        """Put an unanswered request in doubt: its orders are queried from now on."""
        request.doubt = True
        if not request.earlier and request.journaled:
            self._effects.write(CloseRequest(request.request_id, "unknown", now.ns))
        for one in request.parts:
            self.ask_for(one, now)

    def ask_for(self, client_order_id: str, now: Now, *, once: bool = False) -> None:
        """Query an order now, and again until nothing about it is in doubt. `once`: at least until one answer."""
        doubt = self.doubts.get(client_order_id)
        if doubt is None:
            self.doubts[client_order_id] = DoubtedOrder(1, now.mono_ns, self._effects.asks if once else None)
        elif not doubt.is_stuck:
            doubt.once = self._effects.asks if once else doubt.once
            doubt.due_mono_ns = min(doubt.due_mono_ns, now.mono_ns)
            doubt.tries = 1

    def await_report(self, client_order_id: str, now: Now, *, until_end: bool) -> None:
        """Query an order after a while, unless a report states its status (with `until_end`: its end) before.

        The exchange acknowledged a request about the order without stating the outcome.
        """
        self._awaited[client_order_id] = now.mono_ns + in_ns(self._settings.report_s), until_end

    def reported(self, client_order_id: str, *, ended: bool) -> None:
        """Record that a report stated the order's status."""
        awaited = self._awaited.get(client_order_id)
        if awaited is not None and (ended or not awaited[1]):
            del self._awaited[client_order_id]

    def ask_overdue(self, now: Now) -> None:
        """Query the orders whose reports did not come in time."""
        for one in [one for one, (due_ns, _) in self._awaited.items() if due_ns <= now.mono_ns]:
            del self._awaited[one]
            self.ask_for(one, now, once=True)

    def has_expired(self, request: PendingRequest, exchange_ns: int) -> bool:
        """Return whether the exchange refuses the request from this time of its clock on."""
        return request.end_ns is not None and exchange_ns > request.end_ns + self._after_ns

    def supersede(self, ask_id: int, now: Now) -> None:
        """Record an answer to an ask: the exchange has accepted a later nonce than those of earlier requests."""
        for request in self._pending.values():
            if isinstance(request.ends, WhenSuperseded) and request.superseded_ns is None and request.asks < ask_id:
                request.superseded_ns = now.exchange_ns

    def settle(self, request: PendingRequest, client_order_id: str, outcome: str, now: Now) -> None:
        """Settle one part. Settling the last part closes the request."""
        part = request.parts.pop(client_order_id, None)
        if part is None:
            return
        self._on_settled(request, client_order_id, part, outcome, now)
        own = self._of_order.get(client_order_id)
        if own is not None:
            own.discard(request.request_id)
            if not own:
                del self._of_order[client_order_id]
        request.outcome = outcome
        if not request.parts and self._pending.pop(request.request_id, None) is not None:
            if request.doubt:
                outcome = f"resolved:{outcome}"
            if request.journaled:
                self._effects.write(CloseRequest(request.request_id, outcome, now.ns))

    def is_over(self, client_order_id: str, exchange_ns: int) -> bool:
        """Return whether no request can place the order from this time of the exchange's clock on."""
        placing = self.about(client_order_id, Part.PLACE)
        return all(one.doubt and self.has_expired(one, exchange_ns) for one in placing)

    def ask_again(self, client_order_id: str, now: Now, after_s: float | None = None, reason: str = "") -> None:
        """Schedule the next query after a query that did not end the doubt, for this reason."""
        doubt = self.doubts.get(client_order_id)
        if doubt is None:
            return
        doubt.asking, doubt.reason = False, reason
        pause_s = max(after_s or 0.0, self._backoff.delay_s(doubt.tries))
        if doubt.is_stuck:
            pause_s = max(pause_s, STUCK_S)
            for request in self.about(client_order_id):
                request.over = self.has_expired(request, now.exchange_ns)
        elif doubt.absent:
            pause_s = self._settings.absent_again_s
        else:
            doubt.tries += 1
            known = [one.end_ns for one in self.about(client_order_id)]
            ends = [end_ns + self._after_ns + 1 - now.exchange_ns for end_ns in known if end_ns is not None]
            left = [end for end in ends if end > 0]
            if left and after_s is None:
                pause_s = min(pause_s, max(min(left) / SECOND_NS, 0.01))
            elif ends and after_s is None:  # begun before the deadline, answered after it: the next query counts
                pause_s = min(pause_s, self._settings.query_s[0])
        doubt.due_mono_ns = now.mono_ns + in_ns(pause_s)

    def end_doubt(self, client_order_id: str) -> None:
        """Stop querying the order: nothing about it is in doubt."""
        self.doubts.pop(client_order_id, None)

    def due(self, now: Now) -> list[str]:
        """Return the orders to query now, those in doubt first: so many that at most `QUERIES_MAX` are under way."""
        if not self.doubts:
            return []
        found = [one for one, doubt in self.doubts.items() if not doubt.asking and doubt.due_mono_ns <= now.mono_ns]
        found.sort(key=lambda one: self.doubts[one].once is not None)
        return found[: self._room]

    @property
    def _room(self) -> int:
        return max(0, QUERIES_MAX - sum(doubt.asking for doubt in self.doubts.values()))

    @property
    def wake_ns(self) -> int | None:
        """The time of the next ask, by the monotonic clock; without room the next answer makes some."""
        if not self.doubts and not self._awaited:
            return None
        due = [doubt.due_mono_ns for doubt in self.doubts.values() if not doubt.asking] if self._room else []
        return min([*due, *(due_ns for due_ns, _ in self._awaited.values())], default=None)
