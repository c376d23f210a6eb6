"""Decides which questions to ask the exchange, when, and what the answers mean. Pure.

Theory of operation. A round requests all open orders, the balances, and, per pair on which we had open orders since the
last walk, all fills above the last reconciled one (`fill_walk`). A round runs at the start, when the stream comes up or
reports a gap, and periodically: often while an order is in doubt or the stream is down, rarely otherwise. A round finds
everything that was missed:

    our order, listed             its report is applied; if its total exceeds our fills, they are requested
    our order, not listed         queried by its id, if it was placed before the ask. Its absence from the list proves
                                  nothing: its request may have been under way, and its answer may be older than the
                                  list
    an unknown order              `unknown_orders` finds out whose it is

Each question is a slot. A slot is open until an ask that began after the question was raised is answered. A failed ask
is repeated after a pause. When all slots are closed, the round is complete.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ....connectors.order_codec import Draft, Refusal, Reply
from ....connectors.reading import left_out_text
from ....connectors.reports import OrderReport
from ....journal.writes import PutBalances
from ....model.errors import DataError, MeshError, Rejected, RetryLater
from ....model.order import OrderStatus
from ....model.time import in_ns
from .answers import Answers
from .effects import CLOCK_DOUBT_NS, Ask, Now, Purpose
from .external import Externals
from .fates import Fates
from .fill_walk import FillWalks
from .late_fees import LateFees
from .ledger import Held
from .questions import Asked, Slot
from .requests import STUCK_S
from .rounds import BalanceAsks, GapRounds
from .state import AccountState
from .unknown_orders import UnknownOrders

S = OrderStatus
ALL = ""
CHANGED = "changed"  # balances after a change of an order; the question has no slot


class Reconcile:
    """See the module."""

    def __init__(self, state: AccountState, answers: Answers, externals: Externals) -> None:
        self._state, self._answers, self._externals = state, answers, externals
        self._fates = Fates(state, answers, externals, self._search, self.report)
        self._fees = LateFees(state, self._search)
        relist = partial(self.raise_question, Purpose.OPEN_ORDERS, ALL)
        self.unknown = UnknownOrders(state, externals, relist, self._walk)
        self._walks = FillWalks(state, externals, self.unknown)
        self._asked: dict[int, Asked] = {}
        self._slots: dict[tuple[Purpose, str], Slot] = {}
        self._next_ns = 0
        self._gaps = GapRounds(state.settings.reconcile_s[0])
        self._balances = BalanceAsks(state.settings.balances_s)
        self.stream_up = False
        self.started = False
        self.has_orders = self.has_balances = False
        self._is_listed = False  # the exchange stated the open orders once
        self.round_over_ns: int | None = None  # wall clock, when the last round ended

    # State

    @property
    def serving(self) -> bool:
        """Whether the open orders and balances are known, by which commands are judged."""
        return self.started and self.has_orders and self.has_balances

    @property
    def reconciled(self) -> bool:
        """Whether the round after the last start or gap is complete and no earlier request can still arrive."""
        is_over = self.round_over_ns is not None and not self.waits_for_gaps
        return self.serving and is_over and self._is_complete and not self._state.requests.earlier

    @property
    def _is_complete(self) -> bool:
        """Whether no question is open, apart from those about single orders that the exchange does not answer, and
        about ended orders that the journal does not know."""
        return all(slot.is_stuck or slot.in_background for slot in self._slots.values())

    @property
    def waits_for_gaps(self) -> bool:
        """Whether reports were lost, and the round for them has not begun, because another one began shortly before."""
        return self._gaps.due_ns is not None

    @property
    def wake_ns(self) -> int:
        due = [slot.due_mono_ns for slot in self._slots.values() if slot.ask_id is None]
        due += self._fees.due_ns
        doubts = self._state.requests.wake_ns
        due += [at for at in (doubts, self._balances.wake_ns, self._gaps.due_ns) if at is not None]
        return min([*due, self._next_ns])

    @property
    def in_doubt(self) -> bool:
        return self._state.requests.in_doubt or any(
            key[0] is Purpose.ORDER_FILLS and not slot.is_stuck for key, slot in self._slots.items()
        )

    def unsettled(self) -> dict[str, str]:
        """Return the orders that the exchange does not let us settle now, and why, by client id."""
        fills = {key: slot.reason for (_, key), slot in self._slots.items() if slot.is_stuck}
        return fills | self._state.requests.stuck()

    # Asks

    def start(self, marks: dict[str, str], now: Now) -> None:
        self._walks.start(marks)
        self.started = True
        self.round(now)

    def traded(self, pair: str, since_ns: int) -> None:
        """Record that we have or had orders on this pair: its fills must be requested."""
        self._walks.traded(pair, since_ns)

    def _walk(self, pair: str, since_ns: int, now: Now) -> None:
        """Request the fills of a pair, from this time on if the pair has no mark."""
        self.traded(pair, since_ns)
        self.raise_question(Purpose.PAIR_FILLS, pair, now)

    def round(self, now: Now) -> None:
        """Begin a round: raise all questions."""
        self.raise_question(Purpose.OPEN_ORDERS, ALL, now)
        self.raise_question(Purpose.ACCOUNT, ALL, now)
        for pair in self._walks.pairs:
            self.raise_question(Purpose.PAIR_FILLS, pair, now)
        self._next_ns = now.mono_ns + in_ns(self._state.settings.reconcile_s[1])
        self._gaps.due_ns = None

    def raise_question(self, purpose: Purpose, key: str, now: Now) -> None:
        """Raise a question. Only an ask that begins after this call can answer it."""
        slot = self._slots.get((purpose, key))
        if slot is None:
            self._slots[purpose, key] = Slot(now.mono_ns)
        elif slot.ask_id is not None:
            slot.again = True

    def changed(self, held: Held, now: Now) -> None:
        """React to a change of an order: request its missing fills and fees, and the balances if the stream does not
        state them."""
        if self._state.codec.offer.asks_balances:
            self.balances_changed(now)
        self._fees.changed(held, now)
        key = (Purpose.ORDER_FILLS, held.order.client_order_id)
        if held.short and key not in self._slots:
            self._slots[key] = Slot(now.mono_ns)
        elif not held.short and key in self._slots and self._slots[key].ask_id is None:
            del self._slots[key]

    def balances_changed(self, now: Now) -> None:
        """Request the balances soon; no command waits for the answer."""
        if self.started:
            self._balances.changed(now.mono_ns)

    def stream(self, what: str, now: Now) -> None:
        """Apply the state of the user stream: "up", "down" or "gap"."""
        self.stream_up = what != "down"
        self._fates.followed_from(self._state.effects.asks if self.stream_up else None)
        if what == "down":
            self._soon(now)
        elif not self.started:
            return
        elif what == "up":
            self.round(now)
        else:
            self._gaps.lost(now.mono_ns)
            if self._gaps.take(now.mono_ns):
                self.round(now)

    def tick(self, now: Now) -> None:
        """Send the asks that are due."""
        if not self.started:
            return
        if self._gaps.take(now.mono_ns):
            self.round(now)
        if self._next_ns <= now.mono_ns:
            self.round(now)
        if self.in_doubt or not self.stream_up:
            self._soon(now)
        for (purpose, key), slot in list(self._slots.items()):
            if slot.ask_id is None and slot.due_mono_ns <= now.mono_ns:
                draft = self._draft(purpose, key)
                if draft is None:
                    del self._slots[purpose, key]
                else:
                    slot.again = False
                    slot.ask_id = self._ask(purpose, key, draft, now, urgent=purpose is Purpose.ORDER_FILLS)
        if self._balances.take(self._state.funds.owed_since_ns, now.mono_ns):
            self._ask(Purpose.ACCOUNT, CHANGED, self._state.codec.account(), now, urgent=False)
        self._fees.tick(now)
        self._state.requests.ask_overdue(now)
        for one in self._state.requests.due(now):
            self._query(one, now)

    def _query(self, one: str, now: Now) -> None:
        state = self._state
        held = state.ledger.get(one)
        order = held.order if held is not None else self._externals.named(one)
        if order is None:
            state.requests.end_doubt(one)
        elif (instrument := state.guards.instruments.get(order.pair)) is None:
            state.requests.ask_again(
                one, now, reason=f"the exchange does not list {order.pair}, and the journal has no instrument of it"
            )
        else:
            state.requests.doubts[one].asking = True
            self._ask(Purpose.QUERY, one, state.codec.query(one, instrument, order.exchange_order_id), now, urgent=True)

    def _search(self, purpose: Purpose, one: str, draft: Draft, now: Now) -> None:
        self._ask(purpose, one, draft, now, urgent=False)

    def _soon(self, now: Now) -> None:
        self._next_ns = min(self._next_ns, now.mono_ns + in_ns(self._state.settings.reconcile_s[0]))

    def _ask(self, purpose: Purpose, key: Any, draft: Draft, now: Now, *, urgent: bool) -> int:
        self._state.effects.asks += 1
        ask_id = self._state.effects.asks
        self._asked[ask_id] = Asked(ask_id, purpose, key, now)
        self._state.effects.do(Ask(ask_id, purpose, draft, urgent))
        return ask_id

    def _draft(self, purpose: Purpose, key: str) -> Draft | None:
        codec = self._state.codec
        if purpose is Purpose.OPEN_ORDERS:
            return codec.open_orders()
        if purpose is Purpose.ACCOUNT:
            return codec.account()
        if purpose is Purpose.PAIR_FILLS:
            return self._walks.draft(key)
        held = self._state.ledger.get(key)
        if held is None or not held.short or held.order.exchange_order_id is None:
            return None
        instrument = self._state.guards.instruments.get(held.order.pair)
        if instrument is None:
            return None
        return codec.fills(instrument, None, held.order.exchange_order_id)

    # Answers

    def asked(self, ask_id: int, result: Reply | MeshError, now: Now) -> None:
        """Apply the answer to an ask, or schedule the ask again after an error."""
        asked = self._asked.pop(ask_id, None)
        if asked is None:
            return
        if isinstance(result, Reply):
            self._state.requests.supersede(ask_id, now)
        if asked.purpose is Purpose.QUERY:
            self._queried(asked, result, now)
            return
        if asked.purpose in (Purpose.HISTORY, Purpose.SEARCH_FILLS):
            self._fates.searched(asked, result, now)
            return
        if asked.purpose is Purpose.FEES:
            self._fees.asked(asked.key, result, now)
            return
        slot = self._slots.get((asked.purpose, asked.key))
        if slot is not None:
            slot.ask_id = None
        if asked.key == CHANGED:
            after_s = result.after_s if isinstance(result, RetryLater) else 0.0
            self._balances.answered(isinstance(result, Reply), after_s, now.mono_ns)
        if not isinstance(result, Reply):
            if slot is not None:
                self._unanswered(asked, slot, result, now)
            return
        closed = True
        if asked.purpose is Purpose.OPEN_ORDERS:
            self._open_orders(result, ask_id, asked.begun, now)
        elif asked.purpose is Purpose.ACCOUNT:
            self._account(result, asked.begun, now)
        elif asked.purpose is Purpose.ORDER_FILLS:
            closed = self._order_fills(asked.key, result, now)
        else:
            closed = self._walked(asked.key, result, asked.begun, now, slot)
        if slot is None:
            return
        if closed and not slot.again:
            self._slots.pop((asked.purpose, asked.key), None)
        elif slot.again:
            slot.due_mono_ns = now.mono_ns
        self._note_end(now)

    def _note_end(self, now: Now) -> None:
        if self._is_complete:
            self.round_over_ns = now.ns

    def _unanswered(self, asked: Asked, slot: Slot, error: MeshError, now: Now) -> None:
        """Ask again later; fills of a pair that the exchange no longer knows are asked in the next round."""
        key, pause_s = (asked.purpose, asked.key), self._state.settings.retry_s
        if isinstance(error, RetryLater) and error.after_s is not None:
            pause_s = max(pause_s, error.after_s)
        if asked.purpose is Purpose.PAIR_FILLS and self._state.knows_no_pair(error):
            del self._slots[key]
            self._walks.unlisted(asked.key)
            self._note_end(now)
            return
        if asked.purpose is Purpose.ORDER_FILLS and isinstance(error, Rejected | DataError):
            slot.failed(f"its missing fills cannot be requested: {error}")
            pause_s = max(pause_s, STUCK_S) if slot.is_stuck else pause_s
            self._note_end(now)
        slot.due_mono_ns = now.mono_ns + in_ns(pause_s)

    def _open_orders(self, reply: Reply, ask_id: int, begun: Now, now: Now) -> None:
        state = self._state
        listed: set[tuple[str, str]] = set()
        for report in reply.orders:
            instrument = state.guards.by_symbol.get(report.symbol)
            if instrument is not None:
                listed.add((instrument.name, report.exchange_order_id))
            self.report(report, now)
            if instrument is not None:
                self._fates.stated(instrument.name, report, ask_id, is_open=True)
        self._fates.listed(ask_id, reply.left_out)
        for held in state.ledger.open():
            order = held.order
            if held.asks < ask_id and (order.pair, order.exchange_order_id or "") not in listed:
                state.requests.ask_for(order.client_order_id, now, once=True)
        for order in self._externals.gone(listed, ask_id):
            state.requests.ask_for(order.client_order_id, now, once=True)
        if not reply.left_out:
            self.unknown.origins.listed(begun)
        self._is_listed = True
        self.looked_up()

    def looked_up(self) -> None:
        """Serve once the orders of a list are known: those that the journal did not know are adopted by then."""
        if self._is_listed and not self._state.looks_up:
            self.has_orders = True

    def _account(self, reply: Reply, begun: Now, now: Now) -> None:
        if reply.account is None:
            return
        stated = reply.account.balances
        # The answer is not older than the ask, even if it states an earlier time or none
        as_of_ns = max(stated.ts_event_ns, begun.exchange_ns - CLOCK_DOUBT_NS)
        funds, asked_ns = self._state.funds, begun.mono_ns
        if funds.apply(stated.balances, as_of_ns, whole=stated.whole, unread=stated.unread, asked_ns=asked_ns):
            self._soon(now)
        self._state.effects.write(PutBalances(funds.snapshot(), now.ns))
        self.has_balances = True

    def _order_fills(self, one: str, reply: Reply, now: Now) -> bool:
        held = self._state.ledger.get(one)
        if held is None:
            return True
        for fill in reply.fills:
            if fill.exchange_order_id in ("", held.order.exchange_order_id):
                self._state.ledger.fill(held, fill, now, is_listed=True)
        offer = self._state.codec.offer
        if reply.rows < offer.fills_page or offer.fills_by_time:  # the list is complete: it has no such fill
            listed = {fill.trade_id for fill in reply.fills}
            held.suspects = {one: why for one, why in held.suspects.items() if one in listed}
            self._state.ledger.end_if_full(held, now)
        if reply.rows >= offer.fills_page and not offer.fills_by_time:
            self.raise_question(Purpose.PAIR_FILLS, held.order.pair, now)  # a walk finds the other fills
        if held.short:
            slot = self._slots.get((Purpose.ORDER_FILLS, one))
            if slot is not None:
                odd = left_out_text(reply.left_out)
                stated = f"{held.total:f} is filled, and the exchange lists fills of {held.order.filled:f}"
                also = [f"fills of order {odd}"] if odd else []
                slot.failed("; ".join([stated, *also, *held.suspects.values()]))
                pause_s = STUCK_S if slot.is_stuck else self._state.settings.retry_s
                slot.due_mono_ns = now.mono_ns + in_ns(pause_s)
            return False
        return True

    def _walked(self, pair: str, reply: Reply, begun: Now, now: Now, slot: Slot | None) -> bool:
        """Apply a page of a pair's fills. Return whether the walk is complete."""
        pause = self._walks.page(pair, reply, begun, now)
        if pause is not None and slot is not None:
            slot.in_background = slot.in_background or pause.in_background
            slot.due_mono_ns = now.mono_ns + in_ns(pause.seconds)
        return pause is None

    def _queried(self, asked: Asked, result: Reply | MeshError, now: Now) -> None:
        state, one = self._state, asked.key
        held = state.ledger.get(one)
        absent = isinstance(result, Reply) and result.absent
        if isinstance(result, Rejected):
            absent = state.codec.refusal(str(result.code), str(result.reason)) is Refusal.NOT_THERE
        after_s = result.after_s if isinstance(result, RetryLater) else None
        reason = str(result) if isinstance(result, Rejected | DataError) else ""
        if held is None:
            self._queried_external(asked, result, absent, now)
            return
        if absent:
            self._fates.absent(held, asked.begun, now)
        elif isinstance(result, Reply) and result.orders:
            for report in result.orders:
                self.report(report, now)
                self._fates.stated(held.order.pair, report, asked.ask_id)
            self._fates.shown(held, asked, now)
            state.requests.ask_again(one, now)
        elif state.knows_no_pair(result):
            self._fates.no_pair(held, asked.begun, reason, now)
        else:
            state.requests.ask_again(one, now, after_s, reason)
        state.ledger.changed[one] = None

    def _queried_external(self, asked: Asked, result: Reply | MeshError, absent: bool, now: Now) -> None:
        state, one = self._state, asked.key
        order = self._externals.named(one)
        if order is None:
            state.requests.end_doubt(one)
        elif isinstance(result, Reply) and result.orders:
            state.requests.end_doubt(one)
            for report in result.orders:
                self.unknown.stated(order, report, now)
        elif (absent or isinstance(result, Reply | Rejected | DataError)) and self.unknown.unstated(order):
            state.requests.end_doubt(one)
        elif absent:
            self._fates.external_absent(order, asked.begun, now)
        else:
            reason = str(result) if isinstance(result, Rejected | DataError) else ""
            state.requests.ask_again(one, now, result.after_s if isinstance(result, RetryLater) else None, reason)

    # Reports of orders, from any source

    def report(self, report: OrderReport, now: Now, streamed: bool = False) -> None:
        """Apply a report to its order; find out whether an unknown order is ours or external.

        `streamed`: it is from the user stream.
        """
        state = self._state
        instrument = state.guards.by_symbol.get(report.symbol)
        if instrument is None:
            return  # the exchange does not list the pair: we cannot have orders on it
        held = state.ledger.get(report.client_order_id)
        if held is None and report.exchange_order_id:
            held = state.ledger.by_exchange_id(instrument.name, report.exchange_order_id)
        if held is not None and held.order.pair == instrument.name and state.ledger.fits(held, report):
            if streamed and report.is_dated:
                state.funds.streamed(held.order.client_order_id, report.ts_event_ns)
            state.ledger.apply(held, report, now)
            if report.status is not None:
                ended = held.order.is_done or held.ending is not None
                state.requests.reported(held.order.client_order_id, ended=ended)
            return
        if held is None:
            self.unknown.report(instrument.name, report, now)
        elif report.exchange_order_id:  # another program uses the id of one of our orders
            self.unknown.external(instrument.name, report, now)
