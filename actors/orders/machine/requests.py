"""PendingRequests that may have changed something and are not settled: what is in doubt, and when doubt may end. Pure.

Theory of operation. A request is held from its intent until its outcome is known *for every order it names*: a replace
has two halves, a list several orders, each with a fate of its own (`Part`). An answer settles parts at once. No answer
puts the request in doubt, and a request that an earlier epoch left is in doubt from the start. Every order of a request
in doubt is asked for by its client id, again and again with growing pauses. What settles a part then:

    PLACE    any evidence that the order is or was on the exchange; or absence, said to two different asks, each begun
             later than not_after + processing + margin by the exchange's clock
    CANCEL   the order's end; or that it is open, said to an ask begun as late as that: the cancel never arrived
    AMEND    the new amount, or the order's end; or another amount, said to an ask begun as late as that

An ask counts as begun when it was made here, which is never later than when it was sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any

from ....connectors.order_codec import Kind
from ....journal.writes import CloseRequest
from ....model.time import SECOND_NS, in_ns
from ..settings import OrderSettings
from .effect_buffer import EffectBuffer
from .effects import Now


class Part(Enum):
    """What a request means for one order."""

    PLACE = "place"
    CANCEL = "cancel"
    AMEND = "amend"


@dataclass(slots=True)
class PendingRequest:
    """One request that is not settled. `parts`: client id -> what is still open of it."""

    request_id: str
    kind: Kind
    parts: dict[str, Part]
    not_after_ns: int
    earlier: bool = False  # an earlier epoch's: nobody here sent it
    doubt: bool = False  # nobody will answer any more, as far as we know
    token: Any = None
    amounts: dict[str, Decimal] = field(default_factory=dict)  # of amendments
    outcome: str = "accepted"  # with which it will be closed


@dataclass(slots=True)
class Doubt:
    """An order that is asked for until we know."""

    pause_s: float
    due_mono_ns: int
    once: int | None = None  # one answer that it is there, to an ask later than that number, ends it
    absent: int = 0  # answers "not there" that count
    asking: bool = False


class PendingRequests:
    """See the module."""

    def __init__(self, settings: OrderSettings, processing_s: float, effects: EffectBuffer) -> None:
        self._settings = settings
        self._after_ns = in_ns(processing_s + settings.margin_s)
        self._effects = effects
        self._pending: dict[str, PendingRequest] = {}
        self._of_order: dict[str, set[str]] = {}
        self.doubts: dict[str, Doubt] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def get(self, request_id: str) -> PendingRequest | None:
        return self._pending.get(request_id)

    def all(self) -> Iterator[PendingRequest]:
        return iter(list(self._pending.values()))

    def of(self, client_order_id: str, part: Part | None = None) -> list[PendingRequest]:
        """The unsettled requests that name an order, of one sort or of any."""
        found = (self._pending[one] for one in sorted(self._of_order.get(client_order_id, ())))
        return [one for one in found if part is None or one.parts[client_order_id] is part]

    @property
    def earlier(self) -> int:
        """How many requests of earlier epochs could still arrive, for all we know."""
        return sum(one.earlier for one in self._pending.values())

    @property
    def in_doubt(self) -> bool:
        return bool(self.doubts)

    def add(self, request: PendingRequest) -> None:
        self._pending[request.request_id] = request
        for one in request.parts:
            self._of_order.setdefault(one, set()).add(request.request_id)

    def doubt(self, request: PendingRequest, now: Now) -> None:
        """Nobody answered: from now on its orders are asked for."""
        request.doubt = True
        if not request.earlier:
            self._effects.write(CloseRequest(request.request_id, "unknown", now.ns))
        for one in request.parts:
            self.ask_for(one, now)

    def ask_for(self, client_order_id: str, now: Now, *, once: bool = False) -> None:
        """Ask for an order, now, and again until nothing about it is in doubt; `once`: at least until one answer."""
        doubt = self.doubts.get(client_order_id)
        if doubt is None:
            self.doubts[client_order_id] = Doubt(
                self._settings.query_s[0], now.mono_ns, self._effects.asks if once else None
            )
        else:
            doubt.once = self._effects.asks if once else doubt.once
            doubt.due_mono_ns = min(doubt.due_mono_ns, now.mono_ns)
            doubt.pause_s = self._settings.query_s[0]

    def over(self, request: PendingRequest, exchange_ns: int) -> bool:
        """Whether at this time of the exchange's clock the request could not arrive any more."""
        return exchange_ns > request.not_after_ns + self._after_ns

    def settle(self, request: PendingRequest, client_order_id: str, outcome: str, now: Now) -> None:
        """One part's outcome is known; with the last the request is closed."""
        if request.parts.pop(client_order_id, None) is None:
            return
        mine = self._of_order.get(client_order_id)
        if mine is not None:
            mine.discard(request.request_id)
            if not mine:
                del self._of_order[client_order_id]
        request.outcome = outcome
        if not request.parts and self._pending.pop(request.request_id, None) is not None:
            if request.doubt:
                outcome = f"resolved:{outcome}"
            self._effects.write(CloseRequest(request.request_id, outcome, now.ns))

    def absent(self, client_order_id: str, begun_exchange_ns: int, now: Now) -> bool:
        """The exchange said to an ask begun then that there is no such order. Return whether that proves it."""
        doubt = self.doubts.get(client_order_id)
        places = self.of(client_order_id, Part.PLACE)
        if doubt is None or not all(one.doubt and self.over(one, begun_exchange_ns) for one in places):
            return False
        doubt.absent += 1
        return doubt.absent >= 2

    def again(self, client_order_id: str, now: Now, after_s: float | None = None) -> None:
        """An ask came back without ending the doubt: say when the next is due."""
        doubt = self.doubts.get(client_order_id)
        if doubt is None:
            return
        doubt.asking = False
        pause_s = doubt.pause_s if after_s is None else max(after_s, doubt.pause_s)
        if doubt.absent:
            pause_s = self._settings.absent_again_s
        else:
            doubt.pause_s = min(doubt.pause_s * 2, self._settings.query_s[1])
            ends = [one.not_after_ns + self._after_ns + 1 - now.exchange_ns for one in self.of(client_order_id)]
            left = [end for end in ends if end > 0]
            if left and after_s is None:
                pause_s = min(pause_s, max(min(left) / SECOND_NS, 0.01))
            elif ends and after_s is None:  # begun before the end, answered after it: the next one counts
                pause_s = min(pause_s, self._settings.query_s[0])
        doubt.due_mono_ns = now.mono_ns + in_ns(pause_s)

    def sure(self, client_order_id: str) -> None:
        """Nothing about this order is in doubt."""
        self.doubts.pop(client_order_id, None)

    def due(self, now: Now) -> list[str]:
        return [one for one, doubt in self.doubts.items() if not doubt.asking and doubt.due_mono_ns <= now.mono_ns]

    @property
    def wake_ns(self) -> int | None:
        """When the next ask is due, by the monotonic clock."""
        return min((doubt.due_mono_ns for doubt in self.doubts.values() if not doubt.asking), default=None)
