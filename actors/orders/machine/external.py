"""External orders: placed outside the mesh. The mesh records and reports them, but does not manage them. Pure.

Their totals are the exchange's. Memory holds a bounded number of external orders; the journal has all.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import replace
from typing import Any

from ....connectors.reports import FillReport, OrderReport
from ....journal.writes import MoveFills, PutFill, PutOrder
from ....model.events import Side
from ....model.order import ADOPTED, ZERO, AccountEvent, EventType, Fill, Order, OrderStatus, OrderType, TimeInForce
from .effects import Now
from .ledger import as_fill
from .state import AccountState


def name_of(pair: str, exchange_order_id: str) -> str:
    """Return the client id that records an external order, because its own id may repeat or look like ours."""
    return f"external:{pair}:{exchange_order_id}"


def stated_order(
    state: AccountState,
    client_order_id: str,
    pair: str,
    report: OrderReport,
    status: OrderStatus,
    now: Now,
    **others: Any,
) -> Order:
    """Return the order of which nothing but the exchange's report is known; `others` are further fields, or other
    values."""
    fields: dict[str, Any] = {
        "side": report.side or Side.BUY,
        "order_type": report.order_type or OrderType.LIMIT,
        "amount": report.amount,
        "price": report.price,
        "time_in_force": report.time_in_force or TimeInForce.GTC,
        "quote_amount": report.quote_amount,
        "stop_price": report.stop_price,
        "exchange_order_id": report.exchange_order_id,
        "list_id": report.list_id,
    }
    return Order(
        exchange=state.settings.exchange,
        account=state.settings.account,
        client_order_id=client_order_id,
        pair=pair,
        status=status,
        created_ns=now.ns,
        updated_ns=now.ns,
        **(fields | others),
    )


class Externals:
    """See the module."""

    def __init__(self, state: AccountState) -> None:
        self._state = state
        self._orders: dict[tuple[str, str], Order] = {}  # by pair and the exchange's id, oldest first
        # By (pair, trade id, the exchange's order id) of a reported fill: whether its fee was stated
        self._fills: dict[tuple[str, str, str], bool] = {}
        self._known: dict[tuple[str, str], int] = {}  # asks made before the order was first seen
        self._expected: dict[tuple[str, str], Order] = {}  # orders of unknown fills, while they are queried; no records

    def all(self) -> list[Order]:
        return list(self._orders.values())

    def get(self, pair: str, exchange_order_id: str) -> Order | None:
        return self._orders.get((pair, exchange_order_id))

    def named(self, client_order_id: str) -> Order | None:
        """Return the external order recorded under this client id."""
        mark, _, rest = client_order_id.partition(":")
        pair, _, exchange_order_id = rest.rpartition(":")
        key = (pair, exchange_order_id)
        return (self._orders.get(key) or self._expected.get(key)) if mark == "external" else None

    def expect(self, pair: str, fill: FillReport, now: Now) -> None:
        """Let the order of an unknown fill be queried by the name of an external order, without a record of it."""
        self._expected[pair, fill.exchange_order_id] = self._of_fill(pair, fill, now)

    def is_expected(self, pair: str, exchange_order_id: str) -> bool:
        return (pair, exchange_order_id) in self._expected

    @property
    def expected(self) -> int:
        """The number of orders that are expected."""
        return len(self._expected)

    def expect_no_more(self, pair: str, exchange_order_id: str) -> bool:
        """End `expect`. Return whether the order was expected."""
        return self._expected.pop((pair, exchange_order_id), None) is not None

    def gone(self, listed: Set[tuple[str, str]], ask_id: int) -> list[Order]:
        """Return the open external orders that are missing in the answer to this ask."""
        return [
            order
            for key, order in self._orders.items()
            if key not in listed and not order.is_done and self._known.get(key, 0) < ask_id
        ]

    def lost(self, order: Order, fills: Iterable[FillReport], now: Now) -> None:
        """End an external order that the exchange no longer finds; its fills state how it ended."""
        key, own = (order.pair, order.exchange_order_id or ""), list(fills)
        for one in own:
            self.fill(order.pair, one, now)
        filled = max(order.filled, sum((one.amount for one in own), ZERO))
        worth = max(order.quote_filled, sum((one.quote_amount for one in own), ZERO))
        is_full = filled > 0 if order.amount is None else filled >= order.amount
        unfilled = OrderStatus.CANCELED if self._state.codec.offer.purges_unfilled else OrderStatus.EXPIRED
        status = OrderStatus.FILLED if is_full else OrderStatus.EXPIRED if filled else unfilled
        after = replace(order, status=status, filled=filled, quote_filled=worth, updated_ns=now.ns, code="not_there")
        self._orders[key] = after
        self._state.effects.write(PutOrder(after, "EXTERNAL", now.ns))
        self._emit(after, None, now.exchange_ns, now)

    def hand_over(self, pair: str, exchange_order_id: str, client_order_id: str, now: Now) -> None:
        """End the record of an external order that becomes an own order; its recorded fills become that order's."""
        key = (pair, exchange_order_id)
        order = self._orders.pop(key)
        self._known.pop(key, None)
        reason = f"it is order {client_order_id} of this mesh"
        ended = replace(
            order, status=OrderStatus.EXPIRED, exchange_order_id=None, updated_ns=now.ns, code=ADOPTED, reason=reason
        )
        self._state.effects.write(PutOrder(ended, "EXTERNAL", now.ns))
        self._state.effects.write(MoveFills(pair, exchange_order_id, client_order_id))

    def has_fill(self, pair: str, fill: FillReport) -> bool:
        """Return whether a fill is recorded, with its fee if the report states it."""
        return self._has((pair, fill.trade_id, fill.exchange_order_id), fill)

    def _has(self, key: tuple[str, str, str], fill: FillReport) -> bool:
        has_fee = self._fills.get(key)
        return has_fee is not None and (has_fee or fill.fee is None)

    def restore(self, order: Order, fills: Iterable[Fill]) -> None:
        """Hold an external order of the journal, with its reported fills."""
        if order.exchange_order_id is None or not order.external:
            return
        self._orders[order.pair, order.exchange_order_id] = order
        self._known[order.pair, order.exchange_order_id] = self._state.effects.asks
        for one in fills:
            self._fills[one.pair, one.trade_id, order.exchange_order_id] = one.fee is not None

    def apply(self, pair: str, report: OrderReport, now: Now) -> None:
        """Apply the exchange's report; emit an event if the order changed."""
        state = self._state
        key = (pair, report.exchange_order_id)
        held = self._orders.get(key)
        status = report.status or (held.status if held is not None else OrderStatus.OPEN)
        if held is not None and held.is_done and status is not OrderStatus.FILLED:
            status = held.status  # the first end stays, also one that the order's absence proved
        before = held or self._new(pair, report, status, now)
        after = replace(
            before,
            status=status,
            filled=max(before.filled, report.filled or before.filled),
            quote_filled=max(before.quote_filled, report.quote_filled or before.quote_filled),
            amount=report.amount if report.amount is not None else before.amount,
            list_id=before.list_id or report.list_id,
        )
        fills = [one for one in report.fills if not self._has((pair, one.trade_id, report.exchange_order_id), one)]
        if held is not None and after == before and not fills:
            return
        after = replace(after, updated_ns=now.ns)
        self._orders[key] = after
        self._known.setdefault(key, state.effects.asks)
        state.effects.write(PutOrder(after, "EXTERNAL", now.ns))
        if not fills:
            self._emit(after, None, report.ts_event_ns, now)
        for one in fills:
            self._emit_fill(pair, after, one, now)
        while len(self._orders) > state.settings.max_external:
            old = next(iter(self._orders))
            del self._orders[old]
            self._known.pop(old, None)

    def fill(self, pair: str, fill: FillReport, now: Now) -> None:
        """Record a fill of an order that is neither in memory nor in the journal."""
        if self.has_fill(pair, fill):
            return
        order = self._orders.get((pair, fill.exchange_order_id))
        if order is None:
            order = self._of_fill(pair, fill, now)
            self._orders[pair, fill.exchange_order_id] = order
            self._known[pair, fill.exchange_order_id] = self._state.effects.asks
            self._state.effects.write(PutOrder(order, "EXTERNAL", now.ns))
        self._emit_fill(pair, order, fill, now)

    def _emit_fill(self, pair: str, order: Order, fill: FillReport, now: Now) -> None:
        key = (pair, fill.trade_id, order.exchange_order_id or fill.exchange_order_id)
        kind = EventType.FEE if key in self._fills else EventType.EXTERNAL
        self._fills[key] = fill.fee is not None
        if len(self._fills) > 10 * self._state.settings.max_external:
            del self._fills[next(iter(self._fills))]
        own = as_fill(fill, order, now)
        self._state.effects.write(PutFill(own))
        self._emit(order, own, fill.ts_event_ns, now, kind)

    def _emit(
        self,
        order: Order,
        fill: Fill | None,
        ts_event_ns: int,
        now: Now,
        kind: EventType = EventType.EXTERNAL,
    ) -> None:
        self._state.effects.event(
            AccountEvent(
                0,
                kind,
                order.exchange,
                order.account,
                now.ns,
                ts_event_ns,
                order,
                fill,
                order.pair,
            )
        )

    def _of_fill(self, pair: str, fill: FillReport, now: Now) -> Order:
        report = OrderReport("", "", fill.exchange_order_id, None, fill.ts_event_ns, side=fill.side)
        return self._new(pair, report, OrderStatus.UNKNOWN, now)

    def _new(self, pair: str, report: OrderReport, status: OrderStatus, now: Now) -> Order:
        self._state.kept.keep(pair)
        reason = f"client id {report.client_order_id}" if report.client_order_id else None
        name = name_of(pair, report.exchange_order_id)
        return stated_order(self._state, name, pair, report, status, now, external=True, reason=reason)
