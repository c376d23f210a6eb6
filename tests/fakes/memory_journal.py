"""A journal in memory that keeps the contract of writes and refuses forbidden writes."""

from __future__ import annotations

from dataclasses import replace

from venuemesh.journal.records import JournaledRequest, Loaded, Owner, Pause
from venuemesh.journal.writes import (
    Batch,
    CloseRequest,
    MoveFills,
    PutBalances,
    PutEvent,
    PutFill,
    PutMark,
    PutOrder,
    PutOwner,
    PutPause,
    PutRequest,
    PutTombstone,
)
from venuemesh.model.errors import Fenced
from venuemesh.model.order import AccountEvent, Fill, Order, OrderStatus

LATE = {(OrderStatus.CANCELED, OrderStatus.FILLED), (OrderStatus.EXPIRED, OrderStatus.FILLED)}


class MemoryJournal:
    """One account. `commit` is durable at once; a forbidden write raises AssertionError."""

    def __init__(self) -> None:
        self.epoch = 0
        self.orders: dict[str, Order] = {}
        self.fills: dict[tuple[str, str, str], Fill] = {}
        self.requests: dict[str, JournaledRequest] = {}
        self.events: list[AccountEvent] = []
        self.batches: dict[str, list[int]] = {}
        self.tombstones: set[str] = set()
        self.marks: dict[str, str] = {}
        self.pauses: dict[str, Pause] = {}
        self.owners: dict[str, Owner] = {}
        self.balances: dict[str, tuple[object, object]] = {}
        self.balances_ns: int | None = None

    def take(self) -> int:
        self.epoch += 1
        return self.epoch

    def commit(self, epoch: int, batch: Batch) -> list[int]:
        if epoch != self.epoch:
            raise Fenced("orders/acme/main", (epoch, 0), (self.epoch, 0))
        if batch.id in self.batches:
            return self.batches[batch.id]
        numbers: list[int] = []
        for write in batch.writes:
            if isinstance(write, PutOrder):
                self._order(write.order, write.step)
            elif isinstance(write, PutFill):
                held_fill = self.fills.setdefault(_key(write.fill), write.fill)
                if not held_fill.fee and write.fill.fee is not None:
                    fee = {"fee": write.fill.fee, "fee_asset": write.fill.fee_asset}
                    self.fills[_key(write.fill)] = replace(held_fill, **fee)
            elif isinstance(write, MoveFills):
                for key, fill in self.fills.items():
                    if (fill.pair, fill.exchange_order_id) == (write.pair, write.exchange_order_id):
                        self.fills[key] = replace(fill, client_order_id=write.client_order_id)
            elif isinstance(write, PutRequest):
                assert write.request_id not in self.requests, "an intent is written once"
                self.requests[write.request_id] = JournaledRequest(
                    write.request_id,
                    write.kind,
                    write.client_order_ids,
                    write.text,
                    write.digest,
                    write.not_after_ns,
                    write.created_ns,
                    epoch,
                    None,
                    None,
                )
            elif isinstance(write, CloseRequest):
                held = self.requests.get(write.request_id)
                if held is not None:
                    assert held.outcome in (None, "unknown"), f"{held} is closed twice"
                    self.requests[write.request_id] = replace(held, outcome=write.outcome, closed_ns=write.ts_ns)
            elif isinstance(write, PutEvent):
                numbers.append(len(self.events) + 1)
                self.events.append(replace(write.event, number=numbers[-1]))
            elif isinstance(write, PutTombstone):
                assert write.client_order_id not in self.orders
                self.tombstones.add(write.client_order_id)
            elif isinstance(write, PutMark):
                if write.text is None:
                    self.marks.pop(write.name, None)
                else:
                    self.marks[write.name] = write.text
            elif isinstance(write, PutPause):
                self.pauses.pop(write.scope, None)
                if write.reason is not None:
                    self.pauses[write.scope] = Pause(write.reason, write.ts_ns)
            elif isinstance(write, PutOwner):
                self.owners[write.owner] = Owner(write.on_death, write.ts_ns)
            elif isinstance(write, PutBalances):
                self.balances, self.balances_ns = dict(write.balances), write.ts_ns
        self.batches[batch.id] = numbers
        return numbers

    def _order(self, order: Order, step: str) -> None:
        held = self.orders.get(order.client_order_id)
        if held is not None and held.is_done and held.status is not order.status:
            assert (held.status, order.status) in LATE, f"{held.client_order_id}: {held.status} to {order.status}"
        if held is not None:
            assert order.filled >= held.filled
        if step == "ADOPTED":  # a query named the id before the exchange stated the order
            self.tombstones.discard(order.client_order_id)
        assert order.client_order_id not in self.tombstones, "an order under a tombstone"
        if order.amount is not None:
            assert order.filled <= order.amount, f"{order} is filled beyond its amount"
        self.orders[order.client_order_id] = order

    def load(self) -> Loaded:
        requests = [one for one in self.requests.values() if one.outcome in (None, "unknown")]
        named = {one for request in requests for one in request.client_order_ids}
        named |= {one.client_order_id for one in self.fills.values() if one.fee is None}
        orders = [one for one in self.orders.values() if not one.is_done or one.client_order_id in named]
        ids = {one.client_order_id for one in orders}
        return Loaded(
            "acme",
            "main",
            self.epoch,
            len(self.events) + 1,
            1,
            orders,
            [one for one in self.fills.values() if one.client_order_id in ids],
            requests,
            {},
            dict(self.pauses),
            dict(self.owners),
            dict(self.marks),
            dict(self.balances),  # type: ignore[arg-type]
            self.balances_ns,
        )

    def fills_of(self, client_order_id: str) -> tuple[Fill, ...]:
        return tuple(one for one in self.fills.values() if one.client_order_id == client_order_id)

    def unsettled(self) -> list[JournaledRequest]:
        return [one for one in self.requests.values() if one.outcome in (None, "unknown")]


def _key(fill: Fill) -> tuple[str, str, str]:
    return fill.pair, fill.trade_id, fill.exchange_order_id
