"""The machine of one account: decides about its orders, fills, balances and requests. Pure.

Theory of operation. Inputs are methods; each returns its effects in order (effects.py has the contract with the
shell). Time is an argument, `Now`; ids and signatures come from functions that are arguments, too. Only the journal
survives a process: `boot` rebuilds everything from the journal.

    place ──judge, reserve──> PutOrder PENDING_NEW + PutRequest ──commit──> Send ──answer──> OPEN | REJECTED | ...
                                                                                └─none────> UNKNOWN: queried by id
    ledger.py applies every report, from the stream, an answer or a query, in any order

Start. `boot` takes the open orders and unresolved requests from the journal. An order whose placement was not answered
becomes UNKNOWN and is queried. Commands wait (a bounded number, until they expire) until the exchange has stated the
open orders and the balances once: `serving`. The machine is `reconciled` when its round of asks is complete and no
request of an earlier epoch can still arrive: each such request is settled by evidence, or by two queries that do not
find its order after its end (`requests`) plus the exchange's processing time plus a margin. cancel_all includes orders
in doubt and waits for them.

Journal down. The shell passes failed commits to `journal_failed`. Their requests are never sent: a new order ends as
FAILED (its command is refused with JournalUnavailable). New commands that need an intent are refused at once. Cancels
need none (docs/adr/0013): they are sent without the journal, and answered with `journaled` False. Reports are still
applied; their writes, events and answers wait, in order, for `journal_back`, which begins a round. A newer epoch or a
broken assumption leads to Halt: nothing is performed after Halt.

Parts: state.py (shared state), ledger.py (orders and fills), requests.py (doubt and proof), funds.py (reservations),
guards.py (refusals), owners.py (leases), known_ids.py (ids that cannot be in the journal), commands.py, place.py,
cancel.py, change.py (commands), answers.py (outcomes), reconcile.py (questions), fill_walk.py (the fills of a pair),
unknown_orders.py and origins.py (whose an order is that is not in memory), external.py (orders of others),
effect_buffer.py (writes and effects of one input, and the backlog while the journal is down).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

from ....connectors.order_codec import CANCELS, Ends, Reply, TradingCodec
from ....connectors.reports import BalanceChange, BalanceReport, ListReport, OrderReport, StreamEnded, StreamReport
from ....journal.records import Loaded
from ....journal.writes import PutPause
from ....model.errors import Fenced, JournalUnavailable, MeshError
from ....model.instrument import Instrument
from ....model.order import ADOPTED, AccountEvent, Balance, EventType, NewOrder, Order, OrderStatus, Step
from ....model.time import SECOND_NS, in_ns
from ..settings import OrderSettings
from .answers import Answers
from .cancel import Cancelling
from .change import Changing
from .commands import Commands
from .effects import Answer, Effect, Found, Now, Purpose, Refuse, Top
from .external import Externals
from .ledger import Held
from .owners import Owners
from .place import Placing
from .reconcile import ALL, Reconcile
from .requests import Part
from .state import AccountState, Born, Sign, never

S = OrderStatus


class OrderMachine:
    """See the module. Every method that takes `now` is an input and returns effects."""

    def __init__(
        self,
        settings: OrderSettings,
        codec: TradingCodec,
        sign: Sign,
        new_id: Callable[[], str],
        instruments: Iterable[Instrument],
        born: Born = never,
    ) -> None:
        """`sign(draft, request_id, now)` returns the exact bytes; `born(id)` the time at which an id was made, or
        None."""
        self.settings = settings
        self._state = AccountState(settings, codec, sign, new_id, instruments, born)
        self._externals = Externals(self._state)
        self._placing = Placing(self._state)
        self._cancelling = Cancelling(self._state)
        self._changing = Changing(self._state, self._placing)
        self._answers = Answers(self._state, self._cancelling, self._changing)
        self._reconcile = Reconcile(self._state, self._answers, self._externals)
        self._commands = Commands(self._state, self._placing, self._reconcile)
        self._owners = Owners(self._state, self._cancelling)

    # State that the shell answers from

    @property
    def serving(self) -> bool:
        """Whether commands run now; otherwise they wait."""
        return self._reconcile.serving

    @property
    def reconciled(self) -> bool:
        return self._reconcile.reconciled

    @property
    def in_doubt(self) -> bool:
        return self._reconcile.in_doubt

    @property
    def wake_ns(self) -> int:
        """The latest time of the next `tick`, by the monotonic clock."""
        due = (self._reconcile.wake_ns, self._cancelling.wake_ns, self._owners.wake_ns)
        return min(one for one in due if one is not None)

    def order(self, client_order_id: str) -> Order | None:
        held = self._state.ledger.get(client_order_id)
        return None if held is None else held.order

    def orders(self, *, open: bool = True, pair: str | None = None, owner: str | None = None) -> list[Order]:
        """Return the open orders, oldest first; with `open` False also the recently completed orders in memory."""
        held = self._state.ledger.open() if open else self._state.ledger.all()
        return [one.order for one in held if pair in (None, one.order.pair) and owner in (None, one.order.owner)]

    @property
    def instruments(self) -> list[Instrument]:
        """The instruments that the exchange lists or that orders have."""
        return list(self._state.guards.instruments.values())

    def externals(self) -> list[Order]:
        return self._externals.all()

    def balances(self) -> dict[str, Balance]:
        return self._state.funds.balances()

    def balance(self, asset: str) -> Balance:
        return self._state.funds.balance(asset)

    @property
    def pauses(self) -> dict[str, str]:
        return dict(self._state.guards.pauses)

    def status(self) -> dict[str, Any]:
        """Return plain values for status pages."""
        state, left = self._state, self._reconcile.unknown.left()
        return {
            "serving": self.serving,
            "reconciled": self.reconciled,
            "stream_up": self._reconcile.stream_up,
            "waits_for_gaps": self._reconcile.waits_for_gaps,
            "open_orders": state.ledger.open_count,
            "unresolved_requests": len(state.requests),
            "earlier_requests": state.requests.earlier,
            "in_doubt": sorted(state.requests.doubts),
            "unsettled": self._reconcile.unsettled(),
            "external_orders": len(self._externals.all()),
            "adopted": [held.order.client_order_id for held in state.ledger.open() if held.order.code == ADOPTED],
            "of_other_meshes": [name for name, one in left.items() if one.is_other],
            "looked_for": self._externals.expected,
            "adoptable": [name for name, one in left.items() if not one.is_other],
            "waiting_commands": len(self._commands),
            "backlog": state.effects.backlog,
            "unjournaled_cancels": state.unjournaled,
            "journal": None if state.effects.down is None else str(state.effects.down),
            "owners": len(self._owners),
            "pauses": self.pauses,
            "reconciled_ns": self._reconcile.round_over_ns,
        }

    # Start and time

    def boot(self, loaded: Loaded, now: Now) -> list[Effect]:
        """Take over the account as the journal has it, under the epoch of `loaded`."""
        state = self._state
        state.effects.name(str(loaded.epoch))
        state.born_after_ns = now.ns
        state.kept.restore(loaded.marks, [order.pair for order in loaded.orders if not order.is_done])
        state.funds.restore(loaded.balances)
        state.guards.pauses.update({scope: pause.reason for scope, pause in loaded.pauses.items()})
        self._owners.restore(loaded.owners, now)
        self._reconcile.unknown.origins.boot(loaded.marks, loaded.balances_ns, now)
        fills: dict[str, list[Any]] = {}
        for fill in loaded.fills:
            fills.setdefault(fill.client_order_id, []).append(fill)
        for order in loaded.orders:
            if order.external:
                self._externals.restore(order, fills.get(order.client_order_id, []))
            else:
                state.restore_order(order, fills.get(order.client_order_id, []), now)
        for request in loaded.requests:
            state.restore_request(request, loaded.marks, now)
        for held in state.ledger.open():
            order = held.order
            if order.status is S.PENDING_NEW or (
                order.status is S.UNKNOWN and not state.requests.about(order.client_order_id)
            ):
                state.ledger.step(held, Step.NO_REPLY, now, reason="the manager that placed it ended before an answer")
                state.requests.ask_for(order.client_order_id, now)
            elif order.status is S.PENDING_CANCEL:
                state.requests.ask_for(order.client_order_id, now, once=True)
            state.ledger.changed[order.client_order_id] = None
        for held in state.ledger.all():
            if held.without_fee:
                state.ledger.changed[held.order.client_order_id] = None
        self._reconcile.start(loaded.marks, now)
        return self._end(now)

    def tick(self, now: Now) -> list[Effect]:
        """Apply the time: send due asks, end late commands, cancel orders of dead owners."""
        self._owners.tick(now)
        self._cancelling.tick(now)
        return self._end(now)

    # Commands. The Answer or Refuse of a command has its `token`.

    def place(self, token: Any, orders: Sequence[NewOrder], expires_ns: int, now: Now) -> list[Effect]:
        """Place orders, one request each. Answer: [Order]; Refuse if a single order is refused here."""
        self._commands.new(token, orders, expires_ns, None, now)
        return self._end(now)

    def refuse(
        self, token: Any, orders: Sequence[NewOrder], expires_ns: int, error: MeshError, now: Now
    ) -> list[Effect]:
        """End orders that the shell cannot send as FAILED, so that their ids have an outcome; refuse with `error`."""
        self._commands.new(token, orders, expires_ns, None, now, error)
        return self._end(now)

    def place_list(self, token: Any, kind: str, orders: Sequence[NewOrder], expires_ns: int, now: Now) -> list[Effect]:
        """Place an order list ("OCO", ...) by one request. Answer: [Order]."""
        self._commands.new(token, orders, expires_ns, kind, now)
        return self._end(now)

    def cancel(
        self,
        token: Any,
        client_order_id: str | None,
        now: Now,
        *,
        pair: str | None = None,
        exchange_order_id: str | None = None,
    ) -> list[Effect]:
        """Cancel one order by our id, or by the exchange's within a pair. Answer: CancelResult."""

        def run(held: Held, now: Now) -> None:
            self._cancelling.cancel(token, held, now)

        self._commands.about(token, client_order_id, run, now, pair, exchange_order_id, is_cancel=True)
        return self._end(now)

    def cancel_all(
        self, token: Any, now: Now, *, pair: str | None = None, owner: str | None = None, timeout_s: float = 30.0
    ) -> list[Effect]:
        """Cancel every open order, and orders in doubt as soon as the exchange shows them. Answer: [CancelResult]."""
        if (error := self._state.effects.halted) is not None:
            self._state.effects.do(Refuse(token, error))
        else:
            until_ns = now.mono_ns + in_ns(timeout_s)

            def run(now: Now) -> None:
                left_s = max(0, until_ns - now.mono_ns) / SECOND_NS
                self._cancelling.cancel_all(token, pair, owner, left_s, now)

            self._commands.when_serving(token, None, run, now)
        return self._end(now)

    def amend(
        self, token: Any, client_order_id: str, amount: Decimal | None, now: Now, price: Decimal | None = None
    ) -> list[Effect]:
        """Change amount, price or both of an open order; None leaves a value unchanged. Answer: Order."""

        def run(held: Held, now: Now) -> None:
            self._changing.amend(token, held, amount, price, now)

        self._commands.about(token, client_order_id, run, now)
        return self._end(now)

    def replace(self, token: Any, client_order_id: str, order: NewOrder, expires_ns: int, now: Now) -> list[Effect]:
        """Cancel an order and place another in one request. Answer: [old Order, new Order]."""

        def run(held: Held, now: Now) -> None:
            self._changing.replace(token, held, order, expires_ns, now)

        self._commands.replace(token, client_order_id, order.client_order_id, run, now)
        return self._end(now)

    def get(self, token: Any, client_order_id: str, now: Now) -> list[Effect]:
        """Answer with the Order. An unused id of our form gets a tombstone: UnknownOrder from then on."""
        self._commands.get(token, client_order_id, now)
        return self._end(now)

    def restore(self, token: Any, states: Sequence[Order], now: Now) -> list[Effect]:
        """Take over orders of a saved tracking state that are not in the journal. Answer: [ids of these orders]."""
        self._commands.restore(token, states, now)
        return self._end(now)

    def adoptable(self, names: Sequence[str] | None) -> list[Order]:
        """Return the orders that `adopt` takes over, as they will be. Raises UnknownOrder."""
        return list(self._reconcile.unknown.adoptable(names).values())

    def adopt(self, token: Any, names: Sequence[str] | None, now: Now) -> list[Effect]:
        """Take over external orders whose ids have our form, by either id; None: all that are not another mesh's.
        Answer: [Order]."""
        if (error := self._state.effects.refusal()) is not None:
            self._state.effects.do(Refuse(token, error))
        else:
            self._commands.when_serving(token, None, lambda now: self._reconcile.unknown.adopt(token, names, now), now)
        return self._end(now)

    def pause(self, scope: str, reason: str, now: Now, token: Any = None) -> list[Effect]:
        """Refuse new orders in `scope`: "mesh", the exchange, "account" or a pair. Cancels still work."""
        self._state.guards.pauses[scope] = reason
        return self._paused(EventType.PAUSED, scope, reason, now, token)

    def resume(self, scope: str, now: Now, token: Any = None) -> list[Effect]:
        if self._state.guards.pauses.pop(scope, None) is None:
            if token is not None:
                self._state.effects.do(Answer(token, scope))
            return self._end(now)
        return self._paused(EventType.RESUMED, scope, None, now, token)

    def lease(self, owner: str, on_death: str, lease_s: float, now: Now, token: Any = None) -> list[Effect]:
        """Extend an owner's lease by `lease_s`. `on_death`: "keep" or "cancel" its orders when the lease ends."""
        self._owners.renew(owner, on_death, lease_s, now)
        if token is not None:
            self._state.effects.do(Answer(token, owner))
        return self._end(now)

    # Answers and reports

    def answered(self, request_id: str, result: Reply | MeshError, now: Now) -> list[Effect]:
        """Apply the answer to a `Send`, or the error in place of it."""
        request = self._state.requests.get(request_id)
        if request is not None:
            self._answers.answered(request, result, now)
        elif isinstance(result, Reply):
            for report in result.orders:
                self._reconcile.report(report, now)
        return self._end(now)

    def written(self, request_id: str, ends: Ends) -> None:
        """Record that a request was written, and its end: never later than that of its intent."""
        request = self._state.requests.get(request_id)
        if request is not None:
            request.ends = ends

    def asked(self, ask_id: int, result: Reply | MeshError, now: Now) -> list[Effect]:
        """Apply the answer to an `Ask`, or the error in place of it."""
        self._reconcile.asked(ask_id, result, now)
        return self._end(now)

    def looked_up(self, key: str, found: Found, now: Now) -> list[Effect]:
        """Apply the answer to a `Lookup`."""
        self._state.looked_up(key, found, now)
        self._reconcile.looked_up()
        return self._end(now)

    def report(self, report: StreamReport, now: Now) -> list[Effect]:
        """Apply one report of the user stream."""
        if isinstance(report, OrderReport):
            self._reconcile.report(report, now, streamed=True)
        elif isinstance(report, BalanceReport) and not report.ts_event_ns:
            self._reconcile.balances_changed(now)  # they may be older than balances that are known
        elif isinstance(report, BalanceReport):
            funds = self._state.funds
            funds.balances_streamed(report.balances, report.ts_event_ns, self._state.codec.offer.streams_in_order)
            if funds.apply(report.balances, report.ts_event_ns, whole=report.whole, unread=report.unread):
                self._reconcile.raise_question(Purpose.ACCOUNT, ALL, now)
        elif isinstance(report, BalanceChange):
            self._reconcile.raise_question(Purpose.ACCOUNT, ALL, now)
        elif isinstance(report, ListReport):
            self._listed(report, now)
        elif isinstance(report, StreamEnded):
            self._reconcile.stream("down", now)
        return self._end(now)

    def stream(self, what: str, now: Now) -> list[Effect]:
        """Apply the state of the user stream: "up" (it reports everything from now on), "down", or "gap" (reports were
        lost)."""
        self._reconcile.stream(what, now)
        return self._end(now)

    def tops(self, tops: dict[str, Top]) -> None:
        """Set best prices of books, for the price band and the reservations of market orders."""
        self._state.guards.tops.update(tops)

    def exceeds_band(self, order: NewOrder, top: Top) -> bool:
        """Return whether the price band would refuse the order by this top."""
        return self._state.guards.exceeds_band(order, top)

    def rules(self, instruments: Sequence[Instrument], now: Now) -> list[Effect]:
        """Apply the exchange's current instruments and rules."""
        for pair in self._state.guards.rules(instruments, self._state.ledger.open_on):
            self._emit(EventType.RULES, now, pair=pair)
        return self._end(now)

    # The journal

    def journal_failed(self, effects: Sequence[Effect], error: MeshError, now: Now) -> list[Effect]:
        """Handle a failed commit. `effects`: the commit and all effects behind it that were not performed, in order."""
        buffer = self._state.effects
        if isinstance(error, Fenced):
            buffer.halt(error)
            return self._end(now)
        cancels: list[str] = []
        for one in buffer.failed(effects, error):
            request = self._state.requests.get(one.request.request_id)
            if request is None:
                continue
            refusal = JournalUnavailable(
                getattr(error, "after_s", None) or 1.0, "the journal did not accept the intent; nothing was sent"
            )
            for order_id, part in list(request.parts.items()):
                if request.kind in CANCELS:
                    self._answers.withdrawn(request, order_id, now)
                    cancels.append(order_id)
                    continue
                if part is Part.PLACE:
                    self._placing.not_sent(order_id, refusal)
                elif part is Part.CANCEL:
                    self._cancelling.not_sent(order_id, refusal)
                self._answers.not_sent(request, order_id, part, refusal, now)
        self._cancelling.again(cancels, now)
        return self._end(now)

    def journal_back(self, now: Now) -> list[Effect]:
        """The journal is back: return the backlog in order, then the effects collected in the meantime.

        A round asks the exchange what became of everything.
        """
        effects = self._state.effects.back()
        if self._reconcile.started:
            self._reconcile.round(now)
        for held in self._state.ledger.open():
            if held.order.cancel_requested or held.insist:
                self._state.ledger.changed[held.order.client_order_id] = None
        return effects + self._end(now)

    # Inside

    def _end(self, now: Now) -> list[Effect]:
        """Process the changed orders and return the effects of this input."""
        state = self._state
        if state.effects.halted is not None:
            return state.effects.take()
        if self._commands:
            self._commands.serve(now)
        while state.ledger.changed:
            one = next(iter(state.ledger.changed))
            del state.ledger.changed[one]
            held = state.ledger.get(one)
            if held is not None:
                self._settle(held, now)
        self._reconcile.tick(now)
        return state.effects.take()

    def _settle(self, held: Held, now: Now) -> None:
        """React to a change of an order."""
        state, order = self._state, held.order
        one = order.client_order_id
        there = order.exchange_order_id is not None
        ended = order.is_done or held.ending is not None
        if held.on_exchange_ns is not None:
            state.funds.placed(one, held.on_exchange_ns, now.mono_ns, held.is_dated)
        if order.is_done and not order.filled and (order.list_id is None or held.on_exchange_ns is None):
            state.funds.release(one)  # in an order list other orders may have spent the reservation
        doubt = False
        for request in state.requests.about(one):
            part = request.parts[one]
            if not (request.doubt or one in request.acknowledged):
                continue
            if part is Part.PLACE and (there or order.is_done):
                state.requests.settle(request, one, "found", now)
            elif part is not Part.PLACE and (ended or request.is_amended(order)):
                state.requests.settle(request, one, "done" if request.doubt else "accepted", now)
                if part is Part.AMEND:
                    self._changing.concluded(request, held, now)
            elif request.doubt:
                doubt = True
        if held.amending is not None and not state.requests.about(one, Part.AMEND):
            state.ledger.end_amending(held, now)
        held_doubt = state.requests.doubts.get(one)
        if held_doubt is not None and not doubt and (ended or held_doubt.once is None):
            state.requests.end_doubt(one)
        if order.status is S.UNKNOWN and one not in state.requests.doubts:
            state.requests.ask_for(one, now)
        if not order.is_done:
            self._reconcile.traded(order.pair, order.created_ns)
        if held.amount_unstated:
            held.amount_unstated = False
            state.requests.ask_for(one, now, once=True)
        self._reconcile.changed(held, now)
        self._placing.settled(held)
        self._cancelling.settled(held, now)
        if not order.is_done:
            self._owners.settled(order, now)

    def _listed(self, report: ListReport, now: Now) -> None:
        for client_order_id, _ in report.orders:
            held = self._state.ledger.get(client_order_id)
            if held is not None and held.order.list_id is None and not held.order.is_done:
                self._state.ledger.note(held, "LISTED", now, list_id=report.list_id)

    def _paused(self, kind: EventType, scope: str, reason: str | None, now: Now, token: Any) -> list[Effect]:
        self._state.effects.write(PutPause(scope, reason, now.ns))
        self._emit(
            kind, now, pair=scope if scope in self._state.guards.instruments else None, reason=reason, code=scope
        )
        if token is not None:
            self._state.effects.do(Answer(token, scope))
        return self._end(now)

    def _emit(
        self, kind: EventType, now: Now, *, pair: str | None = None, reason: str | None = None, code: str | None = None
    ) -> None:
        self._state.effects.event(
            AccountEvent(
                0, kind, self.settings.exchange, self.settings.account, now.ns, pair=pair, reason=reason, code=code
            )
        )
