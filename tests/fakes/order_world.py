"""A world around the order machine: a model exchange, a network, a user stream, a journal, and a shell that can die.

Nothing happens without the test. Effects wait in a queue until `perform`; requests and asks travel in steps (sent,
arrived, answered); reports wait in the stream. A test advances or loses each of them, or lets the manager die in
between; `settle` ends all faults and lets time pass until nothing is under way.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from tests.fakes.memory_journal import MemoryJournal
from tests.fakes.order_exchange import OFFER, FakeCodec, OrderExchange, pair, sign
from venuemesh.actors.orders.machine.effects import (
    Answer,
    Ask,
    Commit,
    Effect,
    Found,
    Halt,
    Lookup,
    Now,
    Refuse,
    Send,
    Top,
)
from venuemesh.actors.orders.machine.machine import OrderMachine
from venuemesh.actors.orders.machine.state import NONCE_MARK, Born, never
from venuemesh.actors.orders.settings import OrderSettings
from venuemesh.connectors.order_codec import CANCELS, Draft, Reply, Signed
from venuemesh.connectors.spec import Amend, Offer
from venuemesh.model.errors import Fenced, JournalUnavailable, MeshError, OutcomeUnknown, RetryLater
from venuemesh.model.events import Side
from venuemesh.model.ids import maker_of
from venuemesh.model.order import EventType, NewOrder, OrderStatus, OrderType, TimeInForce
from venuemesh.model.time import SECOND_NS

BALANCES_S = 3  # in this time at rest, balances that cannot be compared with an order are requested again
EPOCH_S = 1_700_000_000
PAIRS = ("BTC-USDT", "ETH-USDT")
BALANCES = {"BTC": Decimal(20), "ETH": Decimal(20), "USDT": Decimal(3000)}


@dataclass
class Travelling:
    """A request or an ask on its way. `back`: the manager that waits for the answer; None if it is dead."""

    id: Any
    what: Signed | Draft
    manager: OrderMachine | None
    answer: Reply | MeshError | None = None
    arrived: bool = False
    told: bool = False  # the manager already got an answer for it (a timeout)


@dataclass
class Paused:
    """A manager that was stopped, with the effects that it had not performed."""

    epoch: int
    queue: deque[Effect] = field(default_factory=deque)


class World:
    """See the module."""

    def __init__(
        self,
        seed: int = 0,
        *,
        born: Born = never,
        nonces: bool = False,
        acknowledges: bool = False,
        lookup_s: float | None = None,
        history_s: float | None = None,
        by_time: bool = False,
        batch: int = 0,
        amend: frozenset[Amend] = OFFER.amend,
        like: Offer | None = None,
        forgets_unfilled: bool = False,
        purges_unfilled: bool = False,
        **settings: Any,
    ) -> None:
        if like is not None:  # what differs between exchanges in how the truth about orders is found
            nonces, by_time, amend = like.nonces, like.fills_by_time, like.amend
            lookup_s, history_s, purges_unfilled = like.lookup_s, like.history_s, like.purges_unfilled
        more = {"batch_place": batch, "batch_cancel": batch, "amend": amend, "purges_unfilled": purges_unfilled}
        self.offer = replace(
            OFFER, nonces=nonces, lookup_s=lookup_s, history_s=history_s, fills_by_time=by_time, **more
        )
        self.born, self.nonces = born, nonces
        self.last_nonce = 0  # of this account's managers; a successor begins above the journal's mark
        instruments = [pair(name) for name in PAIRS]
        self.exchange = OrderExchange(instruments, BALANCES, (EPOCH_S + 1000 - 3) * SECOND_NS)  # its clock is behind
        self.exchange.acknowledges, self.exchange.by_time = acknowledges, by_time
        self.exchange.forgets_unfilled = forgets_unfilled or purges_unfilled
        if like is not None:
            self.offer = replace(self.offer, appears_s=like.appears_s, asks_balances=like.asks_balances)
            self.exchange.appears_ns = int(like.appears_s * SECOND_NS)
        if lookup_s is not None:
            self.exchange.lookup_ns = int(lookup_s * SECOND_NS)
        self.instruments = instruments
        self.settings = OrderSettings("acme", "main", **settings)
        self.journal = MemoryJournal()
        self.random = random.Random(seed)
        self.mono_ns = 1000 * SECOND_NS
        self.queue: deque[Effect] = deque()
        self.requests: list[Travelling] = []
        self.asks: list[Travelling] = []
        self.answers: dict[Any, list[Any]] = {}
        self.paused: list[Paused] = []
        self.journal_fault: str | None = None  # "before" or "after" a commit took effect
        self.stream_up = True
        self.has_tops = True  # a manager sees books when it boots
        self.halted: MeshError | None = None
        self.external = False
        self._ids = 0
        self.machine = self._manager()
        self.epoch = 0
        self.start()

    # Clocks and ids

    @property
    def now(self) -> Now:
        return Now(EPOCH_S * SECOND_NS + self.mono_ns, self.mono_ns, self.exchange.now_ns)

    def advance(self, seconds: float) -> None:
        self.mono_ns += int(seconds * SECOND_NS)
        self.exchange.now_ns += int(seconds * SECOND_NS)
        self.tick()

    def new_id(self, prefix: str = "r") -> str:
        self._ids += 1
        return f"{prefix}{self._ids}"

    def nonce(self) -> int:
        self.last_nonce += 1
        return self.last_nonce

    def token(self) -> str:
        return self.new_id("t")

    # The manager

    def _manager(self) -> OrderMachine:
        def signer(draft: Draft, request_id: str, now: Now) -> Signed:
            return sign(draft, request_id, now.exchange_ns, nonce=self.nonce() if self.nonces else None)

        codec = FakeCodec(self.offer)
        return OrderMachine(self.settings, codec, signer, self.new_id, self.instruments, self.born)  # type: ignore[arg-type]

    def start(self) -> None:
        """Boot a manager from the journal."""
        self.epoch = self.journal.take()
        self.last_nonce = int(self.journal.marks.get(NONCE_MARK, "0"))  # a clock that went back gives no better one
        self.machine = self._manager()
        if self.has_tops:
            self.give_tops()
        self.do(self.machine.boot(self.journal.load(), self.now))
        if self.stream_up:
            self.do(self.machine.stream("up", self.now))

    def give_tops(self) -> None:
        """Let the manager see the books."""
        self.machine.tops({one: Top(Decimal(99), Decimal(100), self.mono_ns) for one in PAIRS})

    def crash(self) -> None:
        """Kill the manager with its unperformed effects; requests on the wire continue."""
        self.queue.clear()
        for one in self.requests:
            one.manager = None
        self.asks.clear()
        self.journal_fault = None
        self.start()

    def pause(self) -> None:
        """Pause the manager, and let a successor take over; the paused manager may continue later."""
        self.paused.append(Paused(self.epoch, deque(self.queue)))
        self.crash()

    def resume(self, paused: Paused) -> None:
        """Let a paused manager continue until the journal fences it."""
        self.paused.remove(paused)
        for effect in paused.queue:
            if isinstance(effect, Commit):
                try:
                    self.journal.commit(paused.epoch, effect.batch)
                except Fenced:
                    return
            elif isinstance(effect, Send):
                self.requests.append(Travelling(effect.request.request_id, effect.request, None))

    def do(self, effects: Sequence[Effect]) -> None:
        """Queue effects; perform those at once that may overtake others."""
        self.queue.extend(effects)

    def perform(self, count: int = 1_000_000) -> None:
        """Perform this many effects of the queue."""
        while self.queue and count > 0 and self.halted is None:
            count -= 1
            self._perform(self.queue.popleft())

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, Commit):
            if self.journal_fault is not None:
                if self.journal_fault == "after":
                    self.journal.commit(self.epoch, effect.batch)
                left = [effect, *self.queue]
                self.queue.clear()
                self.do(self.machine.journal_failed(left, JournalUnavailable(1.0, "disk"), self.now))
                return
            self.journal.commit(self.epoch, effect.batch)
        elif isinstance(effect, Send):
            request = effect.request
            if effect.journaled:
                assert self.journal.requests[request.request_id].outcome is None, "sent what is settled"
            else:
                assert request.draft.kind in CANCELS, "only a cancel is sent without the journal"
                assert request.request_id not in self.journal.requests
            self.requests.append(Travelling(request.request_id, request, self.machine))
        elif isinstance(effect, Ask):
            self.asks.append(Travelling(effect.ask_id, effect.draft, self.machine))
        elif isinstance(effect, Lookup):
            self.do(self.machine.looked_up(effect.key, self._find(effect), self.now))
        elif isinstance(effect, Answer):
            self.answers.setdefault(effect.token, []).append(effect.value)
        elif isinstance(effect, Refuse):
            self.answers.setdefault(effect.token, []).append(effect.error)
        elif isinstance(effect, Halt):
            self.halted = effect.error

    def _find(self, lookup: Lookup) -> Found:
        if lookup.client_order_id is not None:
            found = self.journal.orders.get(lookup.client_order_id)
        else:
            found = next(
                (
                    one
                    for one in self.journal.orders.values()
                    if (one.pair, one.exchange_order_id) == (lookup.pair, lookup.exchange_order_id)
                ),
                None,
            )
        if found is None:
            name = lookup.client_order_id
            maker = None if name is None else maker_of(name)
            ids = (*self.journal.orders, *self.journal.tombstones)
            highest = None if maker is None else max((one for one in ids if one.startswith(maker[0])), default="")
            return Found(tombstone=name in self.journal.tombstones, highest=highest)
        return Found(found, self.journal.fills_of(found.client_order_id))

    def tick(self) -> None:
        self.do(self.machine.tick(self.now))

    def journal_back(self) -> None:
        self.journal_fault = None
        self.do(self.machine.journal_back(self.now))

    def answer(self, token: str) -> Any:
        """Return the single answer that a command got."""
        (found,) = self.answers[token]
        return found

    # The wire

    def arrive(self, one: Travelling) -> None:
        """Let a request or an ask reach the exchange."""
        if one.arrived:
            return
        one.arrived = True
        if isinstance(one.what, Signed):
            one.answer = self.exchange.execute(one.what)
        else:
            if self.nonces:  # reads are signed in their turn, and again where their nonce was overtaken
                while not self.exchange.takes(self.nonce()):
                    pass
            one.answer = self.exchange.read(one.what)

    def deliver(self, one: Travelling, error: MeshError | None = None) -> None:
        """Let the answer, or an error in its place, reach the manager."""
        if isinstance(one.what, Signed):
            result = error or one.answer
            assert result is not None
            if error is None or isinstance(error, RetryLater):
                self.requests.remove(one)
            if one.manager is self.machine and not (one.told and error is not None):
                one.told = True
                self.do(self.machine.answered(one.id, result, self.now))
            return
        self.asks.remove(one)
        if one.manager is self.machine:
            result = error or one.answer
            assert result is not None
            self.do(self.machine.asked(one.id, result, self.now))

    def go(self, *, requests: bool = True, asks: bool = True) -> None:
        """Deliver everything on its way and its answers, in order, until nothing moves."""
        for _ in range(1000):
            self.perform()
            moving = (self.requests if requests else []) + (self.asks if asks else [])
            if not moving:
                return
            for one in list(moving):
                self.arrive(one)
                self.deliver(one)
        raise AssertionError("it never comes to rest")

    def report(self, index: int = 0, *, keep: bool = False) -> None:
        """Let one report of the stream reach the manager; with `keep` it will come again."""
        if index < len(self.exchange.stream):
            report = self.exchange.stream[index] if keep else self.exchange.stream.pop(index)
            self.do(self.machine.report(report, self.now))

    def reports(self) -> None:
        while self.exchange.stream:
            self.report()
        self.perform()

    def lose_stream(self) -> None:
        self.exchange.stream.clear()
        self.stream_up = False
        self.do(self.machine.stream("down", self.now))

    def regain_stream(self) -> None:
        self.stream_up = True
        self.exchange.stream.clear()
        self.do(self.machine.stream("up", self.now))

    # The end

    def settle(self) -> None:
        """End all faults and let everything come to rest."""
        for paused in list(self.paused):
            self.resume(paused)
        self.exchange.lazy = False
        self.exchange.catch_up()
        if self.journal_fault is not None or self.machine.status()["journal"] is not None:
            self.journal_back()
        if not self.stream_up:
            self.regain_stream()
        at_rest_s = 0
        for _ in range(60):
            self.go()
            self.reports()
            self.go()
            self.advance(1.0)
            self.perform()
            moving = self.requests or self.asks or self.exchange.stream
            unsettled = self.machine.status()["unsettled"]
            at_rest = self.machine.reconciled and not self.machine.in_doubt and not unsettled and not moving
            at_rest_s = at_rest_s + 1 if at_rest else 0
            if at_rest_s > BALANCES_S:
                break

    def check(self) -> None:
        """Check that the journal and the machine agree with the exchange, order by order and fill by fill."""
        assert self.halted is None, self.halted
        truth = {one.client_id: one for one in self.exchange.orders.values() if one.client_id.startswith("vm")}
        ours = {one.client_order_id: one for one in self.journal.orders.values() if not one.external}
        assert set(truth) <= set(ours), "an order that the journal does not know"
        for one, order in ours.items():
            held = self.machine.order(one)
            if held is not None:
                assert held == order, "memory and journal differ"
            real = truth.get(one)
            if real is None:
                assert order.status.value in ("FAILED", "REJECTED"), f"{order} was never there"
                assert not self.journal.fills_of(one)
                continue
            is_forgotten = self.exchange.forgets_unfilled and not real.open and not real.filled
            # nothing states how it ended
            forgotten = ("FAILED", "CANCELED" if self.offer.purges_unfilled else "EXPIRED") if is_forgotten else ()
            assert (
                order.status is real.status
                or {order.status.value, real.status.value} <= {"OPEN", "PARTIALLY_FILLED"}
                or order.status.value in forgotten
            ), f"{order} is {real}"
            assert (order.filled, order.quote_filled) == (real.filled, real.quote_filled)
            unheard = order.exchange_order_id is None and order.status.value in ("REJECTED", *forgotten)
            assert unheard or order.exchange_order_id == real.exchange_id
            if not unheard and (order.quote_amount is None or order.is_done) and order.code != "not_there":
                assert order.amount == real.amount
            mine = sorted((one.trade_id, one.price, one.amount, one.fee) for one in self.journal.fills_of(one))
            assert mine == sorted((one.trade_id, one.price, one.amount, one.fee) for one in real.fills)
        assert {one.client_order_id for one in self.machine.orders()} == {
            one.client_id for one in truth.values() if one.open
        }
        for order in self.machine.externals():
            real = self.exchange.orders[order.exchange_order_id or ""]
            assert not real.client_id.startswith("vm"), "an order of ours is called external"
            lost = (OrderStatus.EXPIRED,) if order.code == "not_there" and not real.open else ()
            assert order.status in (real.status, OrderStatus.UNKNOWN, *lost), f"{order} is {real}"
            assert not lost or order.filled == real.filled
        for asset, free in self.exchange.free.items():
            balance = self.machine.balance(asset)
            assert (balance.free, balance.locked) == (free, self.exchange.locked[asset])
            assert balance.available == free, f"{asset}: {balance} of {free}"
        assert [event.number for event in self.journal.events] == list(range(1, len(self.journal.events) + 1))
        told = [
            (e.type is EventType.FEE, e.fill.pair, e.fill.trade_id, e.fill.exchange_order_id)
            for e in self.journal.events
            if e.fill is not None
        ]
        assert len(told) == len(set(told)), "a fill was reported twice"
        assert all(count == 1 for count in self.exchange.reached.values()), "an intent came twice"
        assert not self.journal.unsettled(), "a request is unresolved"
        assert self.machine.reconciled
        for token, values in self.answers.items():
            assert len(values) == 1, f"{token} was answered {values}"


def limit(
    client_order_id: str,
    side: Side = Side.BUY,
    amount: str = "1.0",
    price: str = "100",
    pair: str = "BTC-USDT",
    **more: Any,
) -> NewOrder:
    return NewOrder(
        client_order_id, pair, side, OrderType.LIMIT, Decimal(amount), Decimal(price), TimeInForce.GTC, **more
    )


def market(client_order_id: str, side: Side = Side.BUY, amount: str | None = "1.0", **more: Any) -> NewOrder:
    size = None if amount is None else Decimal(amount)
    return NewOrder(client_order_id, "BTC-USDT", side, OrderType.MARKET, size, **more)


TIMEOUT = OutcomeUnknown("place", "no answer in time")
