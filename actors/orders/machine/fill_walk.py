"""Walks over the fills of a pair, page by page, until each fill above the last reconciled one is applied. Pure.

A walk begins at the pair's mark, the last reconciled trade id, which is in the journal. Without a mark it begins when
the oldest order of the walk was created. Where an answer has all fills from a time on (`Offer.fills_by_time`), a walk
has one page and no mark, and the next walk begins a minute before this one.
"""

from __future__ import annotations

from dataclasses import dataclass

from ....connectors.order_codec import Draft, Reply
from ....journal.writes import PutMark
from ....model.time import DAY_NS, MINUTE_NS
from .effects import Now
from .external import Externals
from .fates import CLOCK_ERROR_NS
from .pages import page_of
from .questions import in_order
from .state import AccountState
from .unknown_orders import UnknownOrders

MARK = "fills:"
HISTORY_S = 5.0  # pause between two looks at fills whose orders are queried, because the journal does not know them
FILLS_SPAN_NS = DAY_NS - 2 * MINUTE_NS  # some exchanges return only one day of fills from the given time on


@dataclass(frozen=True, slots=True)
class Pause:
    """Time until the next page is due. `in_background`: the walk is through history that the journal lacks."""

    seconds: float
    in_background: bool = False


class FillWalks:
    """The walks of an account; see the module."""

    def __init__(self, state: AccountState, externals: Externals, unknown: UnknownOrders) -> None:
        self._state, self._externals, self._unknown = state, externals, unknown
        self._marks: dict[str, str] = {}
        self._dirty: set[str] = set()  # pairs whose fills must be walked
        self._since_ns: dict[str, int] = {}  # start of a walk without a mark: creation of the oldest order

    @property
    def pairs(self) -> list[str]:
        """The pairs that the next round must walk."""
        return sorted(self._dirty)

    def start(self, marks: dict[str, str]) -> None:
        """Continue from the marks of the journal."""
        self._marks = {name[len(MARK) :]: text for name, text in marks.items() if name.startswith(MARK)}
        for held in self._state.ledger.open():
            self.traded(held.order.pair, held.order.created_ns)

    def traded(self, pair: str, since_ns: int) -> None:
        """Record that we have or had orders on this pair: its fills must be requested."""
        self._dirty.add(pair)
        self._since_ns[pair] = min(since_ns, self._since_ns.get(pair, since_ns))

    def unlisted(self, pair: str) -> None:
        """Leave the fills of a pair that the exchange does not know any longer to a later round, if any."""
        if not self._state.ledger.open_on(pair):
            self._dirty.discard(pair)

    def draft(self, pair: str) -> Draft | None:
        """Return the request for the next page; None: there is no instrument of the pair."""
        codec, instrument = self._state.codec, self._state.guards.instruments.get(pair)
        if instrument is None:
            return None
        mark = self._marks.get(pair)
        if mark is not None:
            return codec.fills_after(instrument, mark)
        return codec.fills(instrument, max(0, self._since_ns.get(pair, 0) - CLOCK_ERROR_NS))

    def page(self, pair: str, reply: Reply, begun: Now, now: Now) -> Pause | None:
        """Apply a page of a pair's fills. Return when the next page is due; None: the walk is complete."""
        state, by_time = self._state, self._state.codec.offer.fills_by_time
        full = reply.rows >= state.codec.offer.fills_page and not by_time
        last = by_time or (pair in self._marks and not full)
        known: str | None = None  # all fills up to this trade id are applied
        newest: str | None = None  # two own orders may share this trade id
        complete = True
        for fill in in_order(reply.fills, by_time):
            if complete and page_of(fill) != newest:
                known, newest = newest, page_of(fill)
            held = state.ledger.by_exchange_id(pair, fill.exchange_order_id)
            if held is not None:
                state.ledger.fill(held, fill, now, is_listed=True)
            elif any(one.order.exchange_order_id is None and one.order.pair == pair for one in state.ledger.open()):
                # The fill may belong to an order in doubt: wait until that order is settled
                self._mark(pair, known)
                return Pause(state.settings.retry_s)
            elif not self._externals.has_fill(pair, fill):
                complete = self._unknown.fill(pair, fill, now) and complete
        if complete and (not full or known is None):  # the next page may begin with another fill of this trade
            known = newest
        self._mark(pair, known)
        if not complete:  # an order is looked up in the journal, or queried: walk again afterwards
            if self._externals.expected:
                return Pause(HISTORY_S, in_background=True)
            return Pause(state.settings.retry_s)
        if by_time:
            self._since_ns[pair] = max(begun.ns - CLOCK_ERROR_NS, self._since_ns.get(pair, 0))
        elif not reply.fills and pair not in self._marks:
            since_ns = self._since_ns.get(pair, now.ns)
            last = since_ns + FILLS_SPAN_NS > now.ns
            if not last:
                self._since_ns[pair] = since_ns + FILLS_SPAN_NS
        if not last:  # a page with only unreadable rows must not be requested again at once
            return Pause(state.settings.retry_s if reply.left_out and not reply.fills else 0.0)
        if not state.ledger.open_on(pair):
            self._dirty.discard(pair)
            if not by_time:  # without a start, a question raised now would walk from the oldest fill
                self._since_ns.pop(pair, None)
        return None

    def _mark(self, pair: str, trade_id: str | None) -> None:
        by_time = self._state.codec.offer.fills_by_time
        if trade_id is not None and self._marks.get(pair) != trade_id and not by_time:
            self._marks[pair] = trade_id
            self._state.effects.write(PutMark(MARK + pair, trade_id))
