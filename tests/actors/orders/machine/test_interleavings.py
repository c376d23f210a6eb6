"""Any order of answers, reports, faults, deaths and reconciliations ends with the exchange's truth."""

from __future__ import annotations

import os
from dataclasses import replace
from decimal import Decimal

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.fakes.order_world import PAIRS, TIMEOUT, World
from venuemesh.connectors.bybit import spec as bybit
from venuemesh.connectors.coinbase import spec as coinbase
from venuemesh.connectors.htx import spec as htx
from venuemesh.connectors.kraken import spec as kraken
from venuemesh.connectors.okx import spec as okx
from venuemesh.connectors.spec import Amend, Offer
from venuemesh.model.errors import RetryLater
from venuemesh.model.events import Side
from venuemesh.model.order import NewOrder, OrderStatus, OrderType, TimeInForce

EXAMPLES = int(os.environ.get("VENUEMESH_INTERLEAVINGS", "0"))  # 0: what fits into the suite, always the same

amounts = st.sampled_from([Decimal("0.5"), Decimal(1), Decimal(2)])
sides = st.sampled_from(list(Side))
pairs = st.sampled_from(PAIRS)
kinds = st.sampled_from(["limit", "limit", "limit", "market", "quote", "ioc", "fok"])
prices = st.sampled_from([None, None, Decimal(99), Decimal(102)])
few = st.integers(0, 3)
fates = st.sampled_from(["queued", "sent", "arrived", "answered", "late", "lost", "lost"])


class Interleavings(RuleBasedStateMachine):
    """The possible steps, in any order. `teardown` ends all faults and compares."""

    like: Offer | None = None  # the exchange of the model; None: answers may or may not state the status
    forgets_unfilled = False  # whether also the exchange's lists forget ended orders that have no fill

    @initialize(
        seed=st.integers(0, 3),
        acknowledges=st.booleans(),
        batch=st.sampled_from([0, 2]),
        amend=st.sampled_from([frozenset({Amend.SMALLER}), frozenset(Amend)]),
    )
    def begin(self, seed: int, acknowledges: bool, batch: int, amend: frozenset[Amend]) -> None:
        acknowledges = acknowledges or self.like is not None
        forgets = self.forgets_unfilled
        self.world = World(
            seed, acknowledges=acknowledges, batch=batch, like=self.like, amend=amend, forgets_unfilled=forgets
        )
        self.placed = 0
        self.commands: list[NewOrder] = []
        self.world.go()

    # Commands

    def _then(self, fate: str) -> None:
        """Advance the requests that a command has just caused. "late": a timeout first, and perhaps a later
        execution."""
        world = self.world
        if fate == "queued":
            return
        before = list(world.requests)
        world.perform()
        for one in [one for one in world.requests if one not in before]:
            if fate in ("arrived", "answered", "lost"):
                world.arrive(one)
            if fate == "answered":
                world.deliver(one)
            elif fate in ("late", "lost"):
                world.deliver(one, TIMEOUT)
        world.perform()

    def _order(self, kind: str, side: Side, amount: Decimal, pair: str) -> NewOrder:
        self.placed += 1
        one = f"vm{self.placed}"
        if kind == "market":
            return NewOrder(one, pair, side, OrderType.MARKET, amount)
        if kind == "quote":
            return NewOrder(one, pair, side, OrderType.MARKET, None, quote_amount=amount * 100)
        tif = {"ioc": TimeInForce.IOC, "fok": TimeInForce.FOK}.get(kind, TimeInForce.GTC)
        price = Decimal(100) if side is Side.BUY else Decimal(101)
        return NewOrder(one, pair, side, OrderType.LIMIT, amount * 4 if kind == "ioc" else amount, price, tif)

    @rule(kind=kinds, side=sides, amount=amounts, pair=pairs, fate=fates)
    def place(self, kind: str, side: Side, amount: Decimal, pair: str, fate: str) -> None:
        order = self._order(kind, side, amount, pair)
        self.commands.append(order)
        world = self.world
        world.do(world.machine.place(world.token(), [order], world.now.ns + 60 * 10**9, world.now))
        self._then(fate)

    @rule(side=sides, amount=amounts, fate=fates)
    def place_many(self, side: Side, amount: Decimal, fate: str) -> None:
        orders = [self._order("limit", side, amount, pair) for pair in PAIRS]
        self.commands += orders
        world = self.world
        world.do(world.machine.place(world.token(), orders, world.now.ns + 60 * 10**9, world.now))
        self._then(fate)

    @precondition(lambda self: self.commands)
    @rule(index=few)
    def place_again(self, index: int) -> None:
        """Send a command again, as the facade does, to the current manager."""
        world, order = self.world, self.commands[-1 - index % len(self.commands)]
        world.do(world.machine.place(world.token(), [order], world.now.ns + 60 * 10**9, world.now))

    @precondition(lambda self: self.placed)
    @rule(index=few, fate=fates)
    def cancel(self, index: int, fate: str) -> None:
        world = self.world
        world.do(world.machine.cancel(world.token(), f"vm{max(1, self.placed - index)}", world.now))
        self._then(fate)

    @rule(timeout_s=st.sampled_from([1.0, 30.0]), fate=fates)
    def cancel_all(self, timeout_s: float, fate: str) -> None:
        world = self.world
        world.do(world.machine.cancel_all(world.token(), world.now, timeout_s=timeout_s))
        self._then(fate)

    @precondition(lambda self: self.placed)
    @rule(index=few, amount=st.sampled_from([None, *map(Decimal, ("0.4", "0.7", "3"))]), price=prices, fate=fates)
    def change(self, index: int, amount: Decimal | None, price: Decimal | None, fate: str) -> None:
        world = self.world
        one = f"vm{max(1, self.placed - index)}"
        world.do(world.machine.amend(world.token(), one, amount, world.now, price))
        self._then(fate)

    @precondition(lambda self: self.placed)
    @rule(index=few, side=sides, amount=amounts, fate=fates)
    def replace(self, index: int, side: Side, amount: Decimal, fate: str) -> None:
        world = self.world
        old = f"vm{max(1, self.placed - index)}"
        held = world.machine.order(old)
        new = self._order("limit", held.side if held else side, amount, held.pair if held else PAIRS[0])
        self.commands.append(new)
        world.do(world.machine.replace(world.token(), old, new, world.now.ns + 60 * 10**9, world.now))
        self._then(fate)

    @rule(never=st.integers(0, 9), index=few)
    def get(self, never: int, index: int) -> None:
        world = self.world
        if never == 9:
            self.placed += 1  # an id that was handed out, and whose command is lost
        world.do(world.machine.get(world.token(), f"vm{max(1, self.placed - index)}", world.now))

    # The shell and the wire

    @rule(count=st.sampled_from([1, 2, 3, 5, 1000, 1000]))
    def perform(self, count: int) -> None:
        self.world.perform(count)

    @precondition(lambda self: self.world.requests)
    @rule(index=few)
    def arrive(self, index: int) -> None:
        self.world.arrive(self.world.requests[index % len(self.world.requests)])

    @precondition(lambda self: self.world.requests)
    @rule(index=few)
    def answer(self, index: int) -> None:
        one = self.world.requests[index % len(self.world.requests)]
        self.world.arrive(one)
        self.world.deliver(one)

    @precondition(lambda self: self.world.requests)
    @rule(index=few)
    def time_out(self, index: int) -> None:
        """Let a request time out: it may have been executed, or may be executed later."""
        self.world.deliver(self.world.requests[index % len(self.world.requests)], TIMEOUT)

    @precondition(lambda self: any(not one.arrived for one in self.world.requests))
    @rule()
    def not_served(self) -> None:
        one = next(one for one in self.world.requests if not one.arrived)
        if not one.told:
            self.world.deliver(one, RetryLater(0.5, "busy"))

    @precondition(lambda self: self.world.asks)
    @rule(index=few, answer=st.booleans())
    def ask(self, index: int, answer: bool) -> None:
        one = self.world.asks[index % len(self.world.asks)]
        self.world.arrive(one)
        if answer:
            self.world.deliver(one)

    @precondition(lambda self: self.world.asks)
    @rule(index=few)
    def ask_fails(self, index: int) -> None:
        self.world.deliver(self.world.asks[index % len(self.world.asks)], RetryLater(1.0, "busy"))

    @rule(rounds=st.integers(1, 6))
    def only_questions(self, rounds: int) -> None:
        """Answer all asks at once, while requests are still on their way."""
        for _ in range(rounds):
            self.world.go(requests=False)
            self.world.advance(0.5)

    @rule()
    def everything(self) -> None:
        """Let everything come to rest."""
        self.world.go()
        self.world.reports()

    @rule(index=few, keep=st.booleans())
    def report(self, index: int, keep: bool) -> None:
        self.world.report(index, keep=keep)

    @rule(seconds=st.sampled_from([0.01, 0.3, 1.0, 4.0, 9.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    # The exchange

    def _open(self) -> list[object]:
        return [one for one in self.world.exchange.orders.values() if one.open]

    @rule(index=few, amount=amounts)
    def fill(self, index: int, amount: Decimal) -> None:
        if found := self._open():
            self.world.exchange.fill(found[index % len(found)], amount)  # type: ignore[arg-type]

    @rule(index=few)
    def exchange_ends_it(self, index: int) -> None:
        if found := self._open():
            self.world.exchange.end(found[index % len(found)], OrderStatus.EXPIRED)  # type: ignore[arg-type]

    @rule(side=sides, amount=amounts, pair=pairs, really=few)
    def somebody_else(self, side: Side, amount: Decimal, pair: str, really: int) -> None:
        if really:
            return
        self.world.external = True
        one = f"web{len(self.world.exchange.orders)}"
        self.world.exchange.place(NewOrder(one, pair, side, OrderType.LIMIT, amount, Decimal(100)))

    @rule(on=st.booleans())
    def refuse_new(self, on: bool) -> None:
        self.world.exchange.refuse_new = on

    @precondition(lambda self: self.world.exchange.acknowledges)
    @rule(on=st.booleans())
    def cancels_are_late(self, on: bool) -> None:
        """The exchange acknowledges cancels now, and executes them later."""
        self.world.exchange.lazy = on
        if not on:
            self.world.exchange.catch_up()

    @rule(really=few)
    def dead_man_fires(self, really: int) -> None:
        """The exchange cancels all orders of the account, those of others, too."""
        for order in [] if really else self._open():
            self.world.exchange.end(order, OrderStatus.CANCELED)  # type: ignore[arg-type]

    @rule(on=st.booleans())
    def answers_to_batches_are_partial(self, on: bool) -> None:
        self.world.exchange.omits = on

    @precondition(lambda self: self.like is not None and self.like.late_reject)
    @rule(index=few, really=few)
    def exchange_rejects_it(self, index: int, really: int) -> None:
        found = [one for one in self._open() if not one.filled]  # type: ignore[attr-defined]
        if found and not really:
            self.world.exchange.reject(found[index % len(found)], "post", "it would take")  # type: ignore[arg-type]

    # Faults

    @rule()
    def crash(self) -> None:
        self.world.crash()

    @rule()
    def stop_process(self) -> None:
        self.world.pause()

    @precondition(lambda self: self.world.paused)
    @rule()
    def continue_process(self) -> None:
        self.world.resume(self.world.paused[0])

    @precondition(lambda self: self.world.stream_up)
    @rule()
    def stream_lost(self) -> None:
        self.world.lose_stream()

    @precondition(lambda self: not self.world.stream_up)
    @rule()
    def stream_back(self) -> None:
        self.world.regain_stream()

    @precondition(lambda self: self.world.journal_fault is None)
    @rule(how=st.sampled_from(["before", "after"]))
    def journal_fails(self, how: str) -> None:
        self.world.journal_fault = how

    @precondition(lambda self: self.world.journal_fault is not None)
    @rule()
    def journal_back(self) -> None:
        self.world.journal_back()

    # What holds always

    @invariant()
    def never_more_available_than_there_is(self) -> None:
        world = getattr(self, "world", None)
        if world is None or world.external or not world.machine.serving:
            return
        for asset, free in world.exchange.free.items():
            assert world.machine.balance(asset).available <= free

    def teardown(self) -> None:
        if getattr(self, "world", None) is None:
            return
        self.world.settle()
        self.world.check()


Interleavings.TestCase.settings = settings(
    max_examples=EXAMPLES or 140,
    stateful_step_count=60,
    deadline=None,
    derandomize=not EXAMPLES,
    database=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
    phases=[Phase.generate] if EXAMPLES else list(Phase),
)
TestInterleavings = Interleavings.TestCase


SOON_FORGOTTEN = {"lookup_s": 8.0, "history_s": 3600.0}  # the exchanges' hours and days as seconds and an hour


class LikeKraken(Interleavings):
    """Only a later nonce ends requests; fills come by time; queries do not find ended orders for long."""

    like = replace(kraken.OFFER, **SOON_FORGOTTEN)


class LikeOkx(Interleavings):
    """An acknowledged order is not found at once, and may be rejected late; ended unfilled orders are forgotten."""

    like = replace(okx.OFFER, **SOON_FORGOTTEN)
    forgets_unfilled = True


class LikeBybit(Interleavings):
    """Orders are created after their acknowledgement, and found later still; ended unfilled ones are forgotten."""

    like = replace(bybit.OFFER, **SOON_FORGOTTEN)
    forgets_unfilled = True


class LikeCoinbase(Interleavings):
    """No query finds an order that has ended, and no list one that ended without a fill."""

    like = coinbase.OFFER


class LikeHtx(Interleavings):
    """Queries do not find a new order at once; fees come later; ended unfilled orders are forgotten."""

    like = replace(htx.OFFER, **SOON_FORGOTTEN)
    forgets_unfilled = True


LikeKraken.TestCase.settings = settings(Interleavings.TestCase.settings, max_examples=EXAMPLES or 90)
LikeOkx.TestCase.settings = settings(Interleavings.TestCase.settings, max_examples=EXAMPLES or 70)
LikeBybit.TestCase.settings = settings(Interleavings.TestCase.settings, max_examples=EXAMPLES or 30)
LikeCoinbase.TestCase.settings = settings(Interleavings.TestCase.settings, max_examples=EXAMPLES or 50)
LikeHtx.TestCase.settings = settings(Interleavings.TestCase.settings, max_examples=EXAMPLES or 30)
TestInterleavingsLikeKraken = LikeKraken.TestCase
TestInterleavingsLikeOkx = LikeOkx.TestCase
TestInterleavingsLikeBybit = LikeBybit.TestCase
TestInterleavingsLikeCoinbase = LikeCoinbase.TestCase
TestInterleavingsLikeHtx = LikeHtx.TestCase
