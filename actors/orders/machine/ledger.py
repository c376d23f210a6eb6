"""The orders of one account and their fills: applies reports, in any order. Pure.

Theory of operation. An order's totals are the sums of its fills, which are identified by trade id; nothing else changes
the totals. If a report states a total above the known fills, the order is `short`: its fills must be requested, and an
end that the exchange has already reported (`ending`) waits for these fills, so that COMPLETED, CANCELED and EXPIRED
come after the last fill. A fill whose first report has no fee, or a fee of zero, takes the fee of a later report (event
FEE). The first report that shows the order on the exchange creates its CREATED event: a fill that
overtakes the acknowledgement becomes CREATED, then FILLED. A terminal status never changes; late fills still count.

Where amendments only shrink an order, a report of a larger amount is an old report. Where an amount may grow or a price
may change (`Offer.amend`), the terms of a report count if it is not older than the report of the current terms. While
an amendment to a larger amount is under way, the fill of the whole old amount does not end the order.

Every change writes the order and its event to the effect buffer and puts its id into `changed`, which the machine
processes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow

from ....connectors.reports import FillReport, OrderReport
from ....connectors.spec import Amend
from ....journal.writes import PutFill, PutOrder
from ....model.errors import MeshError
from ....model.events import Side
from ....model.order import (
    NEXT,
    ZERO,
    AccountEvent,
    Charged,
    EventType,
    Fill,
    Order,
    OrderStatus,
    Step,
    advance,
)
from ....model.slotted import replaced
from .effect_buffer import EffectBuffer
from .effects import CLOCK_DOUBT_NS, Now

S = OrderStatus
EXACT = Context(prec=200, traps=[Inexact, InvalidOperation, Overflow])
TINY = Decimal("1e-60")  # anything above zero
ROUNDING = Decimal("0.01")  # largest relative and absolute difference of a quote amount from price x amount
ENDS = {
    S.FILLED: Step.LAST_FILL,
    S.CANCELED: Step.CANCELED,
    S.EXPIRED: Step.EXPIRED,
    S.REJECTED: Step.REJECT,  # after an acknowledgement
}
_EVENT_OF = {
    S.FILLED: EventType.COMPLETED,
    S.CANCELED: EventType.CANCELED,
    S.EXPIRED: EventType.EXPIRED,
    S.REJECTED: EventType.REJECTED,
    S.FAILED: EventType.FAILED,
    S.UNKNOWN: EventType.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class Ending:
    """An end reported by the exchange that waits for missing fills."""

    step: Step
    ts_event_ns: int
    code: str | None
    reason: str | None


Terms = tuple[Decimal | None, Decimal | None]  # amount and price
UNKNOWN_TERMS: Terms = (None, None)


@dataclass(slots=True)
class Held:
    """One order in memory."""

    order: Order
    fills: dict[str, Fill] = field(default_factory=dict)  # by trade id
    without_fee: frozenset[str] = frozenset()  # trade ids of the fills whose fee no report has stated
    total: Decimal = ZERO  # filled total stated by the exchange; if above order.filled, fills are missing
    quote_total: Decimal = ZERO
    ending: Ending | None = None
    asks: int = 0  # number of asks before it was placed or restored; answers to later asks must show it
    on_exchange_ns: int | None = None  # the exchange had the order by then, by its clock: the earliest report
    is_dated: bool = False  # the exchange stated that time; else it is estimated
    stated_ask: int = 0  # number of the last ask that stated it completely: no fill was missing
    open_ask: int = 0  # number of the last ask whose answer listed it as open
    suspects: dict[str, str] = field(default_factory=dict)  # trade ids of fills that cannot be true, and why
    amount_unstated: bool = False  # reported FILLED without an amount: must be queried
    terms_ns: int = 0  # time of the latest report of the terms, by the exchange's clock
    seen_ns: int = 0  # everything reported of it had happened by then, by the exchange's clock
    amending: Terms | None = None  # the terms in a request under way
    insist: bool = False  # repeat cancels that had no effect
    stray: bool = False  # the mesh ended it as never placed, but it is open on the exchange: must be cancelled
    error: MeshError | None = None  # the refusal in answer to the command

    @property
    def may_grow(self) -> bool:
        """Whether an amendment under way may make the amount larger."""
        if self.amending is None or self.order.amount is None:
            return False
        return self.amending[0] is None or self.amending[0] > self.order.amount

    @property
    def short(self) -> bool:
        """Whether fills are missing.

        For an order by quote amount both sums count, because nothing else states its size.
        """
        order = self.order
        if self.total > order.filled or self.suspects:
            return True
        return self.ending is not None and order.amount is None and self.quote_total > order.quote_filled


class Ledger:
    """See the module. Holds all open orders and the last `recent` done orders."""

    def __init__(
        self,
        exchange: str,
        account: str,
        effects: EffectBuffer,
        recent: int,
        amend: frozenset[Amend] = frozenset({Amend.SMALLER}),
    ) -> None:
        """`amend`: see `Offer`."""
        self._grows, self._moves = Amend.LARGER in amend, Amend.PRICE in amend
        self.exchange, self.account = exchange, account
        self._effects = effects
        self._recent = recent
        self._held: dict[str, Held] = {}
        self._open: dict[str, Held] = {}
        self._per_pair: dict[str, int] = {}
        self._done: deque[str] = deque()
        self._by_exchange_id: dict[tuple[str, str], str] = {}
        self.changed: dict[str, None] = {}  # ids in order, not processed yet
        self.forgotten_ns = 0  # latest creation time of the forgotten orders

    def __contains__(self, client_order_id: str) -> bool:
        return client_order_id in self._held

    def __len__(self) -> int:
        return len(self._held)

    def get(self, client_order_id: str) -> Held | None:
        return self._held.get(client_order_id)

    def by_exchange_id(self, pair: str, exchange_order_id: str) -> Held | None:
        found = self._by_exchange_id.get((pair, exchange_order_id))
        return None if found is None else self._held.get(found)

    def open(self) -> Iterator[Held]:
        """Iterate over the open orders."""
        return iter(list(self._open.values()))

    def all(self) -> Iterator[Held]:
        return iter(list(self._held.values()))

    @property
    def open_count(self) -> int:
        return len(self._open)

    def open_on(self, pair: str) -> int:
        """Return the number of open orders of a pair."""
        return self._per_pair.get(pair, 0)

    def restore(self, order: Order, fills: list[Fill]) -> Held:
        """Hold an order of the journal without changing it."""
        bare = frozenset(one.trade_id for one in fills if one.fee is None)
        by_id = {one.trade_id: one for one in fills}
        held = Held(order, by_id, bare, order.filled, order.quote_filled, asks=self._effects.asks)
        self._hold(held)
        return held

    def add(self, order: Order, step: str, now: Now) -> Held:
        """Hold a new order and write it."""
        held = Held(order, asks=self._effects.asks)
        self._effects.write(PutOrder(order, step, now.ns))
        self._hold(held)
        self.changed[order.client_order_id] = None
        return held

    def note(self, held: Held, step: str, now: Now, **changes: object) -> None:
        """Change fields of an order other than its status, and write the order."""
        held.order = replaced(held.order, updated_ns=now.ns, **changes)
        self._effects.write(PutOrder(held.order, step, now.ns))
        self.changed[held.order.client_order_id] = None

    def step(
        self,
        held: Held,
        step: Step,
        now: Now,
        *,
        code: str | None = None,
        reason: str | None = None,
        ts_event_ns: int | None = None,
        fill: Fill | None = None,
    ) -> None:
        """Advance an order by one step. Writes nothing if nothing changes."""
        before = held.order
        status = advance(before.status, step, before.filled)
        asked = before.cancel_requested
        if step is Step.CANCEL_SENT and not before.is_done:
            asked = True
        elif step is Step.CANCEL_REFUSED and not before.is_done:
            asked = held.insist  # the cancel will be repeated, also by a successor
        if status is before.status and asked == before.cancel_requested and fill is None:
            return
        ended = status is not before.status and status.is_terminal
        held.order = order = replaced(
            before,
            status=status,
            cancel_requested=asked,
            updated_ns=now.ns,
            code=code if ended else before.code,
            reason=reason if ended else before.reason,
        )
        self._effects.write(PutOrder(order, step.value, now.ns))
        self.changed[order.client_order_id] = None
        if fill is not None:
            self.emit(EventType.FILLED, held, now, ts_event_ns, fill=fill)
        if status is not before.status and status in _EVENT_OF:
            self.emit(_EVENT_OF[status], held, now, ts_event_ns, code=code, reason=reason)
        if ended:
            self._end(held)

    def emit(
        self,
        kind: EventType,
        held: Held,
        now: Now,
        ts_event_ns: int | None = None,
        *,
        code: str | None = None,
        reason: str | None = None,
        fill: Fill | None = None,
    ) -> None:
        """Emit an event with the order in its current state."""
        self._effects.event(
            AccountEvent(
                0,
                kind,
                self.exchange,
                self.account,
                now.ns,
                ts_event_ns,
                held.order,
                fill,
                held.order.pair,
                code,
                reason,
            )
        )

    def fits(self, held: Held, report: OrderReport) -> bool:
        """Return whether a report with this client id is about this order: other programs may reuse ids."""
        known = held.order.exchange_order_id
        return not (known and report.exchange_order_id and report.exchange_order_id != known)

    def apply(self, held: Held, report: OrderReport, now: Now) -> None:
        """Apply a report on an order. Reports may come late, twice and in any order."""
        known = held.order.exchange_order_id
        if report.status is S.REJECTED and known is None:
            if (held.order.status, Step.REJECT) in NEXT:
                if report.exchange_order_id and not held.order.is_done:  # acknowledged to a predecessor
                    held.order = replaced(held.order, exchange_order_id=report.exchange_order_id)
                    self._by_exchange_id[held.order.pair, report.exchange_order_id] = held.order.client_order_id
                code, reason = report.code, report.reason
                self.step(held, Step.REJECT, now, code=code, reason=reason, ts_event_ns=report.ts_event_ns)
            return
        if report.status is S.REJECTED and report.exchange_order_id != known:
            return  # the report is about another order, refused because it has the same id
        self._seen(held, report, now)
        order = held.order
        if not order.is_done and (changes := self._new_terms(held, report)):
            self.note(held, "AMENDED", now, **changes)
            self.emit(EventType.AMENDED, held, now, report.ts_event_ns)
        for fill in report.fills:
            self.fill(held, fill, now)
        if report.filled is not None:
            held.total = max(held.total, report.filled)
        if report.quote_filled is not None and (report.filled is not None or order.amount is None):
            held.quote_total = max(held.quote_total, report.quote_filled)
        if report.status is S.FILLED and report.filled is None and held.order.amount is None:
            held.amount_unstated = not held.order.is_done
        elif report.status in ENDS and not held.order.is_done:
            step = ENDS[report.status]
            if step is Step.LAST_FILL and held.order.amount is not None:  # even if the stated total is below
                held.total = max(held.total, held.order.amount if report.amount is None else report.amount)
            held.ending = Ending(step, report.ts_event_ns, report.code, report.reason)
        self.end_if_full(held, now)
        self.changed[order.client_order_id] = None

    def _new_terms(self, held: Held, report: OrderReport) -> dict[str, object]:
        """Return the amount and the price of a report that differ from the order's and are newer."""
        order, price = held.order, report.price
        amount = order.amount if report.amount is None and price is not None else report.amount
        if amount is None or order.amount is None:
            return {}
        if not self._grows and not self._moves:
            return {"amount": amount} if max(order.filled, TINY) <= amount < order.amount else {}
        is_expected = held.amending == (amount, order.price if price is None else price)
        if report.ts_event_ns < held.terms_ns or (report.ts_event_ns == held.terms_ns and not is_expected):
            return {}
        held.terms_ns = report.ts_event_ns
        changes: dict[str, object] = {}
        if amount != order.amount and amount >= max(order.filled, TINY):
            changes["amount"] = amount
        if price is not None and order.price is not None and price != order.price:
            changes["price"] = price
        return changes

    def end_amending(self, held: Held, now: Now) -> None:
        """Record that no amendment is under way: an order that is filled up to its amount has ended."""
        held.amending, order = None, held.order
        if not order.is_done and order.amount is not None and order.filled >= order.amount:
            self.step(held, Step.LAST_FILL, now)

    def fill(self, held: Held, fill: FillReport, now: Now, *, is_listed: bool = False) -> None:
        """Count a fill once. A later report of the fill completes a fee that the first report lacks.

        A fill that cannot be true is not counted: the machine requests the order's fills. `is_listed`: the fill is from
        that list, which decides about an odd price or quote amount.
        """
        held.seen_ns = max(held.seen_ns, fill.ts_event_ns)
        order = held.order
        if fill.trade_id in held.fills:
            self._complete(held, fill, now)
            return
        filled = EXACT.add(order.filled, fill.amount)
        if order.amount is not None and filled > order.amount and self._grows and not order.is_done:
            # The order's amount grew; the machine requests the order, then its missing fills
            held.total, held.amount_unstated = max(held.total, filled), True
            self.changed[order.client_order_id] = None
            return
        if (odd := impossible(order, fill, filled)) is not None or (not is_listed and (odd := unlikely(order, fill))):
            held.suspects[fill.trade_id] = f"fill {fill.trade_id}: {odd}"
            self.changed[order.client_order_id] = None
            return
        held.suspects.pop(fill.trade_id, None)
        fees = _fees_with(order, fill)
        held.order = replaced(
            order,
            filled=filled,
            quote_filled=EXACT.add(order.quote_filled, fill.quote_amount),
            fees=fees,
            updated_ns=now.ns,
        )
        own = as_fill(fill, held.order, now)
        held.fills[fill.trade_id] = own
        if own.fee is None:
            held.without_fee |= {fill.trade_id}
        self._effects.write(PutFill(own))
        last = order.amount is not None and filled == order.amount and not held.may_grow
        step = Step.LAST_FILL if last else Step.FILL
        self.step(held, step, now, ts_event_ns=fill.ts_event_ns, fill=own)
        self.end_if_full(held, now)

    def _complete(self, held: Held, fill: FillReport, now: Now) -> None:
        """Add the fee to a fill that was reported without one, or with a fee of zero."""
        own = held.fills[fill.trade_id]
        if not completes(fill, own):
            return
        before = {fee.asset for fee in own.fees}  # of zero, perhaps in another asset than the true fee
        own = replaced(own, fee=fill.fee, fee_asset=fill.fee_asset, more_fees=fill.more_fees)
        held.fills[fill.trade_id] = own
        held.without_fee -= {fill.trade_id}
        self._effects.write(PutFill(own))
        stated = {fee.asset for each in held.fills.values() for fee in each.fees}
        fees = _fees_with(held.order, fill)
        self.note(held, "FEE", now, fees={name: fees[name] for name in fees if name in stated or name not in before})
        self.emit(EventType.FEE, held, now, fill.ts_event_ns, fill=own)

    def end_if_full(self, held: Held, now: Now) -> None:
        """Apply a waiting end if no fill is missing."""
        ending = held.ending
        if ending is None or held.order.is_done:
            held.ending = None
            return
        if held.short:
            return
        if ending.step is Step.LAST_FILL and held.order.amount is None:
            held.order = replaced(held.order, amount=held.order.filled)
        held.ending = None
        step = ending.step
        if step is Step.REJECT and held.order.filled > 0:
            step = Step.EXPIRED  # an order with fills was not refused: the exchange ended its remaining amount
        self.step(held, step, now, code=ending.code, reason=ending.reason, ts_event_ns=ending.ts_event_ns)

    def _seen(self, held: Held, report: OrderReport, now: Now) -> None:
        order = held.order
        by_ns = report.ts_event_ns if report.is_dated else now.exchange_ns + CLOCK_DOUBT_NS
        held.seen_ns = max(held.seen_ns, by_ns)
        before_ns = held.on_exchange_ns
        if before_ns is None or (not report.is_dated, by_ns) < (not held.is_dated, before_ns):
            held.on_exchange_ns, held.is_dated = by_ns, report.is_dated
        list_id = order.list_id or report.list_id
        exchange_id = order.exchange_order_id or report.exchange_order_id or None
        first = order.exchange_order_id is None and exchange_id is not None
        if first or list_id != order.list_id:
            held.order = replaced(order, exchange_order_id=exchange_id, list_id=list_id, updated_ns=now.ns)
            if exchange_id is not None:
                self._by_exchange_id[order.pair, exchange_id] = order.client_order_id
            if not (first and order.status in (S.PENDING_NEW, S.UNKNOWN)):
                self._effects.write(PutOrder(held.order, Step.ACK.value, now.ns))
                self.changed[order.client_order_id] = None
        if order.status in (S.PENDING_NEW, S.UNKNOWN):
            self.step(held, Step.ACK, now, ts_event_ns=report.ts_event_ns)
        if first:
            if order.status in (S.FAILED, S.REJECTED):
                held.stray = report.status in (S.OPEN, S.PARTIALLY_FILLED)
                reason = (
                    "the order is on the exchange, although the exchange had refused it, or had not found it in time"
                )
                self.emit(EventType.EXTERNAL, held, now, report.ts_event_ns, code="late", reason=reason)
            else:
                self.emit(EventType.CREATED, held, now, report.ts_event_ns)

    def _hold(self, held: Held) -> None:
        order = held.order
        self._held[order.client_order_id] = held
        if order.exchange_order_id is not None:
            self._by_exchange_id[order.pair, order.exchange_order_id] = order.client_order_id
        if order.is_done:
            self._end(held)
        elif order.client_order_id not in self._open:
            self._open[order.client_order_id] = held
            self._per_pair[order.pair] = self._per_pair.get(order.pair, 0) + 1

    def _end(self, held: Held) -> None:
        if self._open.pop(held.order.client_order_id, None) is not None:
            self._per_pair[held.order.pair] -= 1
        elif held.order.client_order_id in self._done:
            return
        self._done.append(held.order.client_order_id)
        while len(self._done) > self._recent:
            old = self._held.pop(self._done.popleft())
            self.forgotten_ns = max(self.forgotten_ns, old.order.created_ns)
            if old.order.exchange_order_id is not None:
                self._by_exchange_id.pop((old.order.pair, old.order.exchange_order_id), None)


def impossible(order: Order, fill: FillReport, filled: Decimal) -> str | None:
    """Return why a fill cannot be one of an order; None if it can. `filled` is the order's total with the fill."""
    if fill.side is not None and fill.side is not order.side:
        return f"it is a {fill.side.value}, and the order is a {order.side.value}"
    if order.amount is not None and filled > order.amount:
        return f"{fill.amount:f} on {order.filled:f} of {order.amount:f}"
    return None


def unlikely(order: Order, fill: FillReport) -> str | None:
    """Return what is odd about a fill: its price is beyond the order's limit, or its quote amount is not price x
    amount."""
    worth = EXACT.multiply(fill.price, fill.amount)
    if abs(EXACT.subtract(fill.quote_amount, worth)) > EXACT.add(EXACT.multiply(worth, ROUNDING), ROUNDING):
        return f"{fill.amount:f} at {fill.price:f} for {fill.quote_amount:f}"
    if order.price is None:
        return None
    is_beyond = fill.price > order.price if order.side is Side.BUY else fill.price < order.price
    return f"at {fill.price:f}, beyond the order's price {order.price:f}" if is_beyond else None


def completes(fill: FillReport, own: Fill) -> bool:
    """Return whether a later report states the fee that the first report of the same fill did not."""
    if fill.fee is None or fill.fee_asset is None:
        return False
    return own.fee is None or (_is_zero(own) and not _is_zero(fill))


def _is_zero(fill: Charged) -> bool:
    return all(fee.amount == ZERO for fee in fill.fees)


def as_fill(fill: FillReport, order: Order, now: Now) -> Fill:
    """Return a reported fill as a fill of `order`."""
    return Fill(
        trade_id=fill.trade_id,
        client_order_id=order.client_order_id,
        exchange_order_id=order.exchange_order_id or fill.exchange_order_id,
        pair=order.pair,
        side=order.side,
        price=fill.price,
        amount=fill.amount,
        quote_amount=fill.quote_amount,
        fee=fill.fee,
        fee_asset=fill.fee_asset,
        is_maker=bool(fill.is_maker),
        ts_event_ns=fill.ts_event_ns,
        ts_recv_ns=now.ns,
        more_fees=fill.more_fees,
    )


def _fees_with(order: Order, fill: FillReport) -> dict[str, Decimal]:
    """Return the fees of an order by asset, together with a fill's; a fee below zero is a rebate."""
    fees = dict(order.fees)
    for asset, amount in fill.fees:
        fees[asset] = EXACT.add(fees.get(asset, ZERO), amount)
    return fees
