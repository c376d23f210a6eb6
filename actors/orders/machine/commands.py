"""Decides when commands run, and which order they are about. Pure.

A bounded number of commands waits until the machine serves; a command to place an order is refused when it expires
before that. An order that is not in memory is looked up in the journal first: an order of an earlier epoch must not be
placed again, and a query about an old order still gets an answer. An unused id of our form gets a tombstone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ....connectors.order_codec import At, Kind
from ....journal.writes import PutTombstone
from ....model.address import orders_address
from ....model.errors import InboxFull, MeshError, UnknownInstrument, UnknownOrder
from ....model.order import ADOPTED, ZERO, NewOrder, Order, OrderStatus
from ....model.time import in_ns
from .effects import Answer, Found, Now, Refuse
from .ledger import Held
from .place import Placing
from .reconcile import ALL, Reconcile
from .requests import Part, PendingRequest
from .state import AccountState, by_client_id, by_exchange_id


@dataclass(slots=True)
class Command:
    """A command that waits until the machine serves."""

    token: Any
    expires_ns: int | None
    run: Callable[[Now], None]


class Commands:
    """See the module."""

    def __init__(self, state: AccountState, placing: Placing, reconcile: Reconcile) -> None:
        self._state, self._placing, self._reconcile = state, placing, reconcile
        self._waiting: list[Command] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def serve(self, now: Now) -> None:
        """Run waiting commands if the machine serves; otherwise refuse those that have expired."""
        if self._reconcile.serving:
            commands, self._waiting = self._waiting, []
        else:
            commands = [one for one in self._waiting if one.expires_ns is not None and one.expires_ns < now.ns]
            for one in commands:
                self._waiting.remove(one)
        for command in commands:
            command.run(now)

    def new(
        self,
        token: Any,
        orders: Sequence[NewOrder],
        expires_ns: int,
        kind: str | None,
        now: Now,
        refusal: MeshError | None = None,
    ) -> None:
        """Place orders. With a `refusal` unknown orders end as FAILED for that reason."""
        if not orders:
            self._state.effects.do(Answer(token, []))
            return

        def go(now: Now) -> None:
            self._placing.place(token, orders, expires_ns, now, kind, refusal)

        self._with_ids(token, [one.client_order_id for one in orders], expires_ns, go, now)

    def replace(
        self, token: Any, client_order_id: str, new_id: str, run: Callable[[Held, Now], None], now: Now
    ) -> None:
        """Run a command that cancels one order and places another, after a lookup of both in the journal."""

        def go(now: Now) -> None:
            self.about(token, client_order_id, run, now)

        self._with_ids(token, [new_id], None, go, now)

    def _with_ids(
        self, token: Any, ids: Sequence[str], expires_ns: int | None, run_with: Callable[[Now], None], now: Now
    ) -> None:
        """Run a command with new orders, after a lookup of the ids that the journal may have."""
        if (error := self._state.effects.refusal()) is not None:
            self._state.effects.do(Refuse(token, error))
            return
        unseen = {one for one in ids if self._is_unseen(one, now)}

        def go(now: Now) -> None:
            if (error := self._state.effects.refusal()) is not None:
                self._state.effects.do(Refuse(token, error))
            else:
                run_with(now)

        def then(client_order_id: str) -> Callable[[Found, Now], None]:
            def found_it(found: Found, now: Now) -> None:
                if found.tombstone or (found.order is not None and found.order.external):
                    self._placing.bury(client_order_id)
                unseen.discard(client_order_id)
                if not unseen:
                    go(now)

            return found_it

        def run(now: Now) -> None:
            if not unseen:
                go(now)
                return
            for one in sorted(unseen):
                if not self._state.look_up(by_client_id(one), then(one), now):
                    self._state.effects.do(Refuse(token, self._full()))
                    unseen.add(ALL)  # never complete: the command was answered
                    return

        self.when_serving(token, expires_ns, run, now)

    def _is_unseen(self, client_order_id: str, now: Now) -> bool:
        if client_order_id in self._state.ledger or self._placing.is_buried(client_order_id):
            return False
        return self._state.may_be_journaled(client_order_id, now)

    def about(
        self,
        token: Any,
        client_order_id: str | None,
        run: Callable[[Held, Now], None],
        now: Now,
        pair: str | None = None,
        exchange_order_id: str | None = None,
        *,
        is_cancel: bool = False,
    ) -> None:
        """Run a command about one order; look up the order in the journal if it is not in memory.

        While the journal is down a cancel is run if the order is in memory, as all open orders are.
        """
        state = self._state
        if (error := self._refusal(is_cancel)) is not None:
            state.effects.do(Refuse(token, error))
            return

        def find() -> Held | None:
            if client_order_id is not None:
                return state.ledger.get(client_order_id)
            return state.ledger.by_exchange_id(pair or "", exchange_order_id or "")

        def then(found: Found, now: Now) -> None:
            held = find()
            if held is not None:
                self._run(token, held, run, now, is_cancel)
            else:
                self._unknown(token, client_order_id or "", found, now)

        def go(now: Now) -> None:
            held = find()
            if held is not None:
                self._run(token, held, run, now, is_cancel)
            elif (error := state.effects.refusal()) is not None:
                state.effects.do(Refuse(token, error))
            elif client_order_id is not None:
                self._look_up(token, client_order_id, then, now)
            elif not state.look_up(by_exchange_id(pair or "", exchange_order_id or ""), then, now):
                state.effects.do(Refuse(token, self._full()))

        self.when_serving(token, None, go, now)

    def _refusal(self, is_cancel: bool) -> MeshError | None:
        return self._state.effects.halted if is_cancel else self._state.effects.refusal()

    def _run(self, token: Any, held: Held, run: Callable[[Held, Now], None], now: Now, is_cancel: bool) -> None:
        """Run the command, unless the journal went down while it waited; a cancel needs no journal."""
        if (error := self._refusal(is_cancel)) is not None:
            self._state.effects.do(Refuse(token, error))
        else:
            run(held, now)

    def _look_up(self, token: Any, client_order_id: str, then: Callable[[Found, Now], None], now: Now) -> None:
        if not self._state.look_up(by_client_id(client_order_id), then, now):
            self._state.effects.do(Refuse(token, self._full()))

    def _unknown(self, token: Any, client_order_id: str, found: Found, now: Now) -> None:
        if self._state.is_ours(client_order_id) and not self._placing.is_buried(client_order_id):
            if self._state.effects.down is not None and not found.tombstone:
                self._state.effects.do(Refuse(token, self._state.effects.refusal() or self._full()))
                return
            self._placing.bury(client_order_id)
            if not found.tombstone:
                self._state.effects.write(PutTombstone(client_order_id, now.ns))
        self._state.effects.do(Refuse(token, UnknownOrder(client_order_id)))

    def when_serving(self, token: Any, expires_ns: int | None, run: Callable[[Now], None], now: Now) -> None:
        if self._reconcile.serving:
            run(now)
        elif len(self._waiting) >= self._state.settings.max_waiting:
            self._state.effects.do(Refuse(token, self._full()))
        else:
            self._waiting.append(Command(token, expires_ns, run))

    def _full(self) -> InboxFull:
        settings = self._state.settings
        return InboxFull(orders_address(settings.exchange, settings.account), settings.max_waiting)

    def get(self, token: Any, client_order_id: str, now: Now) -> None:
        """Answer with the Order. An unused id of our form gets a tombstone: UnknownOrder from then on."""
        held = self._state.ledger.get(client_order_id)
        if held is not None:
            self._state.effects.do(Answer(token, held.order))
        elif self._placing.is_buried(client_order_id):
            self._state.effects.do(Refuse(token, UnknownOrder(client_order_id)))
        else:

            def then(found: Found, now: Now) -> None:
                held = self._state.ledger.get(client_order_id)
                if held is not None:
                    self._state.effects.do(Answer(token, held.order))
                else:
                    self._unknown(token, client_order_id, found, now)

            self._look_up(token, client_order_id, then, now)

    def restore(self, token: Any, states: Sequence[Order], now: Now) -> None:
        """Take over open orders of a saved tracking state that are not in the journal. Answer: [ids of these orders].

        Their fills are requested again: a saved state has totals only.
        """
        state = self._state
        own = {one.client_order_id: one for one in states if not one.external and not one.is_done}
        unlisted = next((order.pair for order in own.values() if order.pair not in state.guards.instruments), None)
        if unlisted is not None:  # an order on this pair could never be queried
            reason = "the exchange does not list it"
            state.effects.do(Refuse(token, UnknownInstrument(state.settings.exchange, unlisted, reason)))
            return
        left = {one for one in own if state.is_ours(one)}
        taken: list[str] = []

        def done(client_order_id: str) -> None:
            left.discard(client_order_id)
            if not left:
                state.effects.do(Answer(token, taken))

        def then(client_order_id: str) -> Callable[[Found, Now], None]:
            def found_it(found: Found, now: Now) -> None:
                if self._restore_adopted(own[client_order_id], now):
                    taken.append(client_order_id)
                elif client_order_id not in state.ledger and not found.tombstone and state.effects.down is None:
                    self._take_up(own[client_order_id], now)
                    taken.append(client_order_id)
                done(client_order_id)

            return found_it

        if not left:
            state.effects.do(Answer(token, taken))
        for one in sorted(left):
            if self._restore_adopted(own[one], now):
                taken.append(one)
            if one in state.ledger or not state.look_up(by_client_id(one), then(one), now):
                done(one)

    def _restore_adopted(self, order: Order, now: Now) -> bool:
        """Give an order that was adopted the owner of its saved state. Return whether it was adopted."""
        held = self._state.ledger.get(order.client_order_id)
        if held is None or held.order.is_done or held.order.code != ADOPTED or self._state.effects.down is not None:
            return False
        owner = order.owner or held.order.owner
        self._state.ledger.note(held, "RESTORED", now, owner=owner, code=None, reason=None)
        return True

    def _take_up(self, order: Order, now: Now) -> None:
        state, one = self._state, order.client_order_id
        settings = state.settings
        known = order.exchange_order_id is not None
        bare = replace(
            order,
            exchange=settings.exchange,
            account=settings.account,
            status=OrderStatus.OPEN if known else OrderStatus.UNKNOWN,
            filled=ZERO,
            quote_filled=ZERO,
            fees={},
        )
        state.kept.keep(order.pair)
        held = state.ledger.add(bare, "RESTORED", now)
        held.total = order.filled
        if not known:
            ends = At(now.exchange_ns + in_ns(state.codec.offer.max_validity_s))
            state.requests.add(
                PendingRequest(f"restored:{one}", Kind.PLACE, {one: Part.PLACE}, ends, earlier=True, doubt=True)
            )
        state.requests.ask_for(one, now, once=known)
