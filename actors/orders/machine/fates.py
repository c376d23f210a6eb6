"""Decides what a query about one order proves: that the order is absent, or the outcome of a request. Pure.

Theory of operation. Two queries that do not find an order prove its absence, if they began after the last moment at
which a request could place it (`requests`), after an acknowledged order must have appeared (`Offer.appears_s`), and
while the exchange remembers orders (`Offer.lookup_s`).

Outside that memory a query that finds nothing proves nothing: some exchanges forget orders that were executed. Then the
machine searches: first it requests all orders of the pair, open or not, that were placed since our order, then all
fills of the pair since then. The search finds nothing if no listed order has our client order id, and every fill
belongs to another order that is known. Two such searches prove the absence. A fill of an unknown order may be ours, and
so may an unreadable row, unless the row has the id of another order: the order stays in doubt, and the machine searches
again later. Beyond the reach of
the lists (`Offer.history_s`) the absence is never proven of an order that the exchange did not acknowledge.

An acknowledged order that no query finds is not open. Only its own fills matter then: fills of unknown orders are not
its fills, and beyond the reach of the lists the machine requests the fills of this order alone. When two searches bring
no new fill, the order ends as EXPIRED, or as FILLED if its fills add up.

An exchange may purge every order that ends without a fill (`Offer.purges_unfilled`). There an acknowledged order
without fills ends as CANCELED. The absence of an order that was not acknowledged proves only that the order is not open
and has no fills.

An external order that no query finds has ended, or the exchange has forgotten it. Its fills state how it ended.

A refusal because the exchange no longer knows the pair states nothing about an order. If the list of all open orders
does not have it either, the order is not open. It ends as EXPIRED if it was followed all the time: the stream was up
without a gap since an answer stated the order with all its fills. Otherwise its last fills may be missing: it becomes
UNKNOWN, and the status of the account names it as unsettled.

The exchange may execute an acknowledged cancel late. While the order is still open, its cancel stays in doubt until the
exchange can no longer be working on the cancel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ....connectors.order_codec import Draft, Reply
from ....connectors.reading import LeftOut
from ....connectors.reports import OrderReport
from ....model.errors import MeshError, Rejected, RetryLater
from ....model.order import Order, OrderStatus, Step
from ....model.time import MINUTE_NS, in_ns
from .answers import Answers
from .effects import Now, Purpose
from .external import Externals
from .ledger import Held
from .pages import page_of
from .questions import Asked
from .requests import Part
from .state import AccountState

S = OrderStatus
CLOCK_ERROR_NS = MINUTE_NS  # largest assumed error of the wall clock
SURE = 0.9  # share of the exchange's memory in which the absence counts: the clocks of both sides differ
GONE = "the exchange no longer has the order"
PURGED = "the exchange has no record of the order, so it ended without a fill"
NEVER = "the order never reached the exchange"
NO_TRACE = "it is not open and has no fill: it never reached the exchange, or the exchange ended it without a fill"
BEYOND = "the exchange does not find it, and lists no orders of that time, which could prove that it was never placed"
LATE = "the exchange acknowledged the cancel, and the order is still open; it is queried until its fate is known"


@dataclass(slots=True)
class Search:
    """A search of the exchange's lists for one order. `others`: the exchange's ids of other orders."""

    others: set[str] = field(default_factory=set)
    page: str = ""  # key of the last fill seen


class Fates:
    """See the module. `ask(purpose, client order id, draft, now)` makes an ask; `report` applies an order's report."""

    def __init__(
        self,
        state: AccountState,
        answers: Answers,
        externals: Externals,
        ask: Callable[[Purpose, str, Draft, Now], None],
        report: Callable[[OrderReport, Now], None],
    ) -> None:
        self._state, self._answers, self._externals = state, answers, externals
        self._ask, self._report = ask, report
        self._searches: dict[str, Search] = {}
        self._followed_ask: int | None = None  # number of asks when the stream came up; None: it is down
        self._open_ask = 0  # number of the last answered request of the open orders
        self._unread: tuple[LeftOut, ...] = ()  # unreadable rows of that answer

    # Absence

    def absent(self, held: Held, begun: Now, now: Now) -> None:
        """Apply an answer that the exchange has no such order."""
        state, one = self._state, held.order.client_order_id
        if held.order.is_done:
            state.requests.end_doubt(one)
        elif not self._may_count(held, begun):
            state.requests.ask_again(one, now)
        elif self._is_remembered(held, now):
            self._count(held, now)
        elif not self._search(held, now):
            state.requests.ask_again(one, now, reason=BEYOND)

    def _has_appeared(self, order: Order, on_exchange_ns: int | None, begun: Now) -> bool:
        """Return whether a query begun then finds an order that was acknowledged at `on_exchange_ns` (None: earlier
        than its last change)."""
        appears_ns = in_ns(self._state.codec.offer.appears_s)
        if on_exchange_ns is not None:
            return begun.exchange_ns >= on_exchange_ns + appears_ns
        return begun.ns >= order.updated_ns + appears_ns

    def _may_count(self, held: Held, begun: Now) -> bool:
        """Return whether a query begun then would have found an order that was, or may be, on the exchange."""
        if held.order.exchange_order_id is not None:
            return self._has_appeared(held.order, held.on_exchange_ns, begun)
        return self._state.requests.is_over(held.order.client_order_id, begun.exchange_ns)

    def _is_remembered(self, held: Held, now: Now) -> bool:
        memory_s = self._state.codec.offer.lookup_s
        return memory_s is None or now.ns <= held.order.created_ns + in_ns(memory_s * SURE)

    def _count(self, held: Held, now: Now, code: str = "not_there", reason: str = GONE) -> None:
        """Count one proof of absence. The second one ends the order."""
        state, one = self._state, held.order.client_order_id
        doubt = state.requests.doubts.get(one)
        if doubt is None:
            return
        doubt.absent += 1
        purges = state.codec.offer.purges_unfilled
        if doubt.absent < 2:
            state.requests.ask_again(one, now)
        elif held.order.exchange_order_id is not None:  # the order was on the exchange, and no answer shows it now
            step = Step.EXPIRED
            if purges and not held.order.filled and code == "not_there":
                step, reason = Step.CANCELED, PURGED
            state.ledger.step(held, step, now, code=code, reason=reason)
            state.requests.ask_again(one, now)
        else:
            state.ledger.step(held, Step.ABSENT, now, code="absent", reason=NO_TRACE if purges else NEVER)
            for request in state.requests.about(one):
                state.requests.settle(request, one, "absent", now)
            state.requests.end_doubt(one)

    # Orders of a pair that the exchange no longer knows

    def followed_from(self, asks: int | None) -> None:
        """Record the number of asks made when the stream came up, or that it is down (None)."""
        self._followed_ask = asks

    def stated(self, pair: str, report: OrderReport, ask_id: int, *, is_open: bool = False) -> None:
        """Record that the answer to an ask stated an order."""
        held = self._state.ledger.by_exchange_id(pair, report.exchange_order_id)
        if held is not None:
            held.stated_ask = held.stated_ask if held.short else ask_id
            held.open_ask = ask_id if is_open else held.open_ask

    def listed(self, ask_id: int, unread: tuple[LeftOut, ...]) -> None:
        """Record an answer that listed all open orders; `unread` are its unreadable rows."""
        self._open_ask, self._unread = ask_id, unread

    def no_pair(self, held: Held, begun: Now, refusal: str, now: Now) -> None:
        """Apply the refusal of a query because the exchange does not know the pair."""
        state, order, one = self._state, held.order, held.order.client_order_id
        if order.is_done:
            state.requests.end_doubt(one)
            return
        if order.status is S.PENDING_CANCEL and not state.requests.about(one, Part.CANCEL):
            self._answers.still_there(held, "no_pair", refusal, now, final=True)
        reason = f"the exchange no longer knows {order.pair} ({refusal})"
        if order.exchange_order_id is None or not self._may_count(held, begun) or not self._is_closed(held):
            state.requests.ask_again(one, now, reason=reason)
        elif self._followed_ask is not None and held.stated_ask > self._followed_ask and not held.short:
            self._count(held, now, "no_pair", f"{reason} and lists no such open order")
        else:
            reason += "; the order is not open, and fills that were not reported before cannot be requested"
            state.ledger.step(held, Step.LOST, now, code="no_pair", reason=reason)
            state.requests.ask_again(one, now, reason=reason)

    def _is_closed(self, held: Held) -> bool:
        """Return whether the last list of all open orders proves that an acknowledged order is not open."""
        is_missing = self._open_ask > max(held.open_ask, held.asks)
        return is_missing and not any(self._may_be(held.order, Search(), row) for row in self._unread)

    # External orders

    def external_absent(self, order: Order, begun: Now, now: Now) -> None:
        """Apply an answer that the exchange has no such external order: it has ended, and its fills state how."""
        instrument = self._state.guards.instruments.get(order.pair)
        if order.is_done or instrument is None:
            self._state.requests.end_doubt(order.client_order_id)
            return
        if not self._has_appeared(order, None, begun):
            self._state.requests.ask_again(order.client_order_id, now)
            return
        draft = self._state.codec.fills(instrument, None, order.exchange_order_id)
        self._ask(Purpose.SEARCH_FILLS, order.client_order_id, draft, now)

    def _external_filled(self, order: Order, result: Reply | MeshError, now: Now) -> None:
        one = order.client_order_id
        if order.is_done:
            self._state.requests.end_doubt(one)
        elif isinstance(result, Reply) and not any(
            row.name in (None, order.exchange_order_id) for row in result.left_out
        ):
            own = [fill for fill in result.fills if fill.exchange_order_id in ("", order.exchange_order_id)]
            self._externals.lost(order, own, now)
            self._state.requests.end_doubt(one)
        else:
            self._end(one, now, result.after_s if isinstance(result, RetryLater) else None)

    # Searches

    def _search(self, held: Held, now: Now) -> bool:
        """Begin a search of the lists. Return False if they do not go back far enough."""
        order, codec = held.order, self._state.codec
        instrument = self._state.guards.instruments.get(order.pair)
        start_ns, reach_s = self._start_ns(held), codec.offer.history_s
        is_listed = reach_s is None or now.ns <= start_ns + in_ns(reach_s)
        if instrument is None or not (is_listed or order.exchange_order_id):
            return False
        self._searches[order.client_order_id] = Search()
        if is_listed:
            self._ask(Purpose.HISTORY, order.client_order_id, codec.orders(instrument, start_ns), now)
        else:
            draft = codec.fills(instrument, None, order.exchange_order_id)
            self._ask(Purpose.SEARCH_FILLS, order.client_order_id, draft, now)
        return True

    def _start_ns(self, held: Held) -> int:
        return max(0, held.order.created_ns - CLOCK_ERROR_NS)

    def searched(self, asked: Asked, result: Reply | MeshError, now: Now) -> None:
        """Apply the answer to an ask of a search."""
        one, state = asked.key, self._state
        if (order := self._externals.named(one)) is not None:
            self._external_filled(order, result, now)
            return
        held, search = state.ledger.get(one), self._searches.get(one)
        if held is None or search is None or held.order.is_done or one not in state.requests.doubts:
            self._end(one, now)
        elif not isinstance(result, Reply):
            self._end(one, now, result.after_s if isinstance(result, RetryLater) else None)
        elif any(self._may_be(held.order, search, row) for row in result.left_out):
            self._end(one, now)
        elif asked.purpose is Purpose.HISTORY:
            self._listed(held, search, result, asked, now)
        else:
            self._filled(held, search, result, now)
        state.ledger.changed[one] = None

    def _may_be(self, order: Order, search: Search, row: LeftOut) -> bool:
        """Return whether an unreadable row may be about this order."""
        if row.client_id is not None:
            return row.client_id == order.client_order_id
        if row.name is None:
            return True
        if order.exchange_order_id is not None:
            return row.name == order.exchange_order_id
        return not self._is_anothers(order.pair, row.name, search)

    def _end(self, one: str, now: Now, after_s: float | None = None) -> None:
        self._searches.pop(one, None)
        self._state.requests.ask_again(one, now, after_s)

    def _listed(self, held: Held, search: Search, reply: Reply, asked: Asked, now: Now) -> None:
        order = held.order
        instrument = self._state.guards.instrument(order.pair)
        for report in reply.orders:
            own = report.client_order_id == order.client_order_id
            if own or report.exchange_order_id == order.exchange_order_id:
                self._report(report, now)
                self.shown(held, asked, now)
                self._end(order.client_order_id, now)
                return
            search.others.add(report.exchange_order_id)
        search.others.update(row.name for row in reply.left_out if row.name is not None)
        draft = self._state.codec.fills(instrument, self._start_ns(held))
        self._ask(Purpose.SEARCH_FILLS, order.client_order_id, draft, now)

    def _filled(self, held: Held, search: Search, reply: Reply, now: Now) -> None:
        state, order = self._state, held.order
        found = False
        for fill in reply.fills:
            exchange_id = fill.exchange_order_id
            if exchange_id and exchange_id == order.exchange_order_id:
                found = found or fill.trade_id not in held.fills
                state.ledger.fill(held, fill, now, is_listed=True)
            elif order.exchange_order_id is None and not self._is_anothers(order.pair, exchange_id, search):
                found = True
        if found:
            self._end(order.client_order_id, now)
            return
        offer, last = state.codec.offer, page_of(reply.fills[-1]) if reply.fills else ""
        if reply.rows >= offer.fills_page and not offer.fills_by_time and last not in ("", search.page):
            search.page = last
            draft = state.codec.fills_after(state.guards.instrument(order.pair), last)
            self._ask(Purpose.SEARCH_FILLS, order.client_order_id, draft, now)
            return
        self._searches.pop(order.client_order_id, None)
        self._count(held, now)

    def _is_anothers(self, pair: str, exchange_id: str, search: Search) -> bool:
        """Whether a fill belongs to an order that is known not to be the one searched for."""
        return bool(exchange_id) and (
            exchange_id in search.others
            or self._state.ledger.by_exchange_id(pair, exchange_id) is not None
            or self._externals.get(pair, exchange_id) is not None
        )

    # Requests

    def shown(self, held: Held, asked: Asked, now: Now) -> None:
        """Settle the requests whose outcome is proven by this answer, which shows the order."""
        state, order = self._state, held.order
        if order.is_done or held.ending is not None:
            return
        one = order.client_order_id
        doubt = state.requests.doubts.get(one)
        for request in state.requests.about(one):
            acknowledged = one in request.acknowledged
            if not (request.doubt or acknowledged) or not state.requests.has_expired(request, asked.begun.exchange_ns):
                continue
            part = request.parts[one]
            if part is Part.CANCEL:
                state.requests.settle(request, one, "absent", now)
                done = "the exchange acknowledged the cancel and did not execute it"
                reason = done if acknowledged else "the cancel never reached the exchange"
                self._answers.still_there(held, "not_executed", reason, now, final=False)
            elif part is Part.AMEND:
                state.requests.settle(request, one, "absent", now)
                state.ledger.changed[one] = None
                if (
                    not request.earlier
                ):  # the terms of an earlier epoch's request are not known; it may have been executed
                    error = Rejected("not_executed", "the change never reached the exchange")
                    self._answers.amend_failed(request, held, error, now)
        if doubt is not None and doubt.once is not None and asked.ask_id > doubt.once:
            doubt.once = None
            self._asked_once(held, now)

    def _asked_once(self, held: Held, now: Now) -> None:
        """Apply the answer to an order's single query: the order is open."""
        state, one = self._state, held.order.client_order_id
        cancels = state.requests.about(one, Part.CANCEL)
        for request in cancels:
            if one in request.acknowledged and not request.doubt:
                self._answers.late_cancel(request, held, LATE, now)
        if held.order.status is S.PENDING_CANCEL and not cancels:
            reason = "the exchange refused the cancel; the order is open"
            self._answers.still_there(held, "not_there", reason, now, final=False)
