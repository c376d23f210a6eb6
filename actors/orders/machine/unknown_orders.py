"""Finds out whose a reported order is that is not in memory: an old one of ours, a lost one, or external. Pure.

Theory of operation. An id of our form is looked up in the journal first. If the journal does not know it, `origins`
decides. A lost order of this mesh is adopted: it becomes an order of the ledger by the exchange's report, with an
ADOPTED event, and its fills are requested like those of any other order. Its owner is that of an order of the same
maker which the journal knows; without one it has no owner (`cancel` says when it is cancelled then). Every other order
is external.

The order of an unknown fill is queried before the fill is recorded, because the fill does not state the client id. An
order that the journal has as external stays external until `adopt` takes it over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ....connectors.reports import FillReport, OrderReport
from ....model.errors import UnknownOrder
from ....model.ids import maker_of
from ....model.order import ADOPTED, ZERO, EventType, Order, OrderStatus, OrderType, TimeInForce
from .effects import Answer, Found, Now, Refuse
from .external import Externals, name_of, stated_order
from .ledger import Held
from .origins import Origins
from .state import AccountState, by_client_id, by_exchange_id

LOST = "the journal is older than the exchange: it did not know this order"
ASKED = "taken over by request: the journal did not know this order"


@dataclass(frozen=True, slots=True)
class Left:
    """An external order whose id has our form. `is_other`: another mesh's, as far as is known."""

    client_order_id: str
    is_other: bool


class UnknownOrders:
    """See the module. `relist(now)` requests the open orders; `walk(pair, since_ns, now)` the fills of a pair."""

    def __init__(
        self,
        state: AccountState,
        externals: Externals,
        relist: Callable[[Now], None],
        walk: Callable[[str, int, Now], None],
    ) -> None:
        self._state, self._externals = state, externals
        self._relist, self._walk = relist, walk
        self.origins = Origins(state.settings, state.effects, state.born)
        self._left: dict[tuple[str, str], Left] = {}  # by pair and the exchange's id
        self._recording: set[tuple[str, str]] = set()  # of `_left`: those whose record waits for a lookup
        self._owners: dict[str, str] = {}  # by maker
        self._unstated: dict[tuple[str, str], None] = {}  # orders of unknown fills that no query finds
        self._fills: dict[tuple[str, str], dict[str, FillReport]] = {}  # of orders that are queried, by trade id

    def report(self, pair: str, report: OrderReport, now: Now) -> None:
        """Apply a report on an order that is not in memory."""
        if self._state.is_ours(report.client_order_id):
            self._named_like_ours(pair, report, now)
        elif report.exchange_order_id:
            self.external(pair, report, now)

    def fill(self, pair: str, fill: FillReport, now: Now) -> bool:
        """Handle a fill of an order that is not in memory. Return False while the order is looked up or queried."""
        key = (pair, fill.exchange_order_id)
        if self._externals.get(*key) is not None:
            self._externals.fill(pair, fill, now)
            return True
        if self._externals.is_expected(*key):
            self._fills[key][fill.trade_id] = fill
            return False

        def then(found: Found, now: Now) -> None:
            held = self._state.ledger.by_exchange_id(pair, fill.exchange_order_id)
            if held is not None:
                self._state.ledger.fill(held, fill, now, is_listed=True)
                return
            if found.order is None and self._externals.get(*key) is None and key not in self._unstated:
                self._externals.expect(pair, fill, now)
                self._fills[key] = {fill.trade_id: fill}
            else:
                self._unstated.pop(key, None)
                if found.order is not None and self._externals.get(*key) is None:
                    self._externals.restore(found.order, found.fills)
                self._externals.fill(pair, fill, now)
            self._state.requests.ask_for(name_of(*key), now, once=True)

        self._state.look_up(by_exchange_id(pair, fill.exchange_order_id), then, now)
        return False

    def stated(self, order: Order, report: OrderReport, now: Now) -> None:
        """Apply the answer to a query about an external order."""
        key, named = (order.pair, order.exchange_order_id or ""), report.stated_id or report.client_order_id
        is_new = self._externals.expect_no_more(*key)
        if self._state.is_ours(named) and not self._is_recorded(*key):
            self._named_like_ours(order.pair, replace(report, client_order_id=named), now)
        elif is_new:
            self.external(order.pair, replace(report, client_order_id=named), now)
        else:
            self._externals.apply(order.pair, report, now)

    def unstated(self, order: Order) -> bool:
        """Record that the exchange does not state the order of an unknown fill: the fill will be recorded as external.

        Return False if the order is a recorded one.
        """
        key = (order.pair, order.exchange_order_id or "")
        if not self._externals.expect_no_more(*key):
            return False
        self._unstated[key] = None
        self._fills.pop(key, None)
        return True

    # External orders

    def external(self, pair: str, report: OrderReport, now: Now) -> None:
        """Record an external order, after a lookup in the journal if it is not in memory."""
        if self._externals.get(pair, report.exchange_order_id) is not None:
            self._externals.apply(pair, report, now)
            return

        def then(found: Found, now: Now) -> None:
            if found.order is not None and self._externals.get(pair, report.exchange_order_id) is None:
                self._externals.restore(found.order, found.fills)
            self._externals.apply(pair, report, now)
            self._recording.discard((pair, report.exchange_order_id))
            for fill in self._fills.pop((pair, report.exchange_order_id), {}).values():
                self._externals.fill(pair, fill, now)

        if not self._state.look_up(by_client_id(name_of(pair, report.exchange_order_id)), then, now):
            self._relist(now)

    def _leave(self, pair: str, report: OrderReport, now: Now, *, is_other: bool) -> None:
        """Leave an order with an id of our form external, and remember it for the status."""
        key = (pair, report.exchange_order_id)
        if len(self._left) < self._state.settings.max_external:
            self._left[key] = Left(report.client_order_id, is_other)
            if self._externals.get(*key) is None:
                self._recording.add(key)
        self.external(pair, report, now)

    def left(self) -> dict[str, Left]:
        """Return the open external orders whose ids have our form, by the names under which they are recorded."""
        orders = {key: self._externals.get(*key) for key in self._left}
        own = self._state.ledger
        self._left = {
            key: one
            for key, one in self._left.items()
            if key in self._recording
            or not (_is_over(orders[key]) or one.client_order_id in own)  # see `Commands.restore`
        }
        return {name_of(*key): one for key, one in self._left.items() if not _is_over(orders[key])}

    # Orders of our form

    def _named_like_ours(self, pair: str, report: OrderReport, now: Now) -> None:
        state, one = self._state, report.client_order_id

        def then(found: Found, now: Now) -> None:
            held = state.ledger.get(one)
            if held is not None and state.ledger.fits(held, report):
                self._apply(pair, held, report, now)
            elif not report.exchange_order_id:
                return
            elif held is not None or state.born(one) is None:  # another program uses such an id
                self.external(pair, report, now)
            elif self._is_recorded(pair, report.exchange_order_id):
                self._leave(pair, report, now, is_other=self.origins.is_other_mesh(one))
            elif not self.origins.is_ours(report, one, now):
                self._leave(pair, report, now, is_other=True)
            elif state.settings.unknown_orders == "external":
                self._leave(pair, report, now, is_other=False)
            else:
                self._find_record(pair, report, found.highest or "", now)

        if not state.look_up(by_client_id(one), then, now):
            self._relist(now)

    def _is_recorded(self, pair: str, exchange_order_id: str) -> bool:
        """Return whether the order is recorded as external by a report, not only by a fill."""
        order = self._externals.get(pair, exchange_order_id)
        return order is not None and not (order.status is OrderStatus.UNKNOWN and order.amount is None)

    def _find_record(self, pair: str, report: OrderReport, highest: str, now: Now) -> None:
        """Look whether the journal has the order as external, then for its owner; then adopt it."""

        def then(found: Found, now: Now) -> None:
            order = found.order
            if order is not None and order.exchange_order_id is not None and order.amount is not None:
                self._leave(pair, report, now, is_other=self.origins.is_other_mesh(report.client_order_id))
            else:
                self._find_owner(pair, report, highest, now)

        if not self._state.look_up(by_client_id(name_of(pair, report.exchange_order_id)), then, now):
            self._relist(now)

    def _find_owner(self, pair: str, report: OrderReport, highest: str, now: Now) -> None:
        """Adopt the order, with the owner of an order of the same maker. `highest`: the maker's last id in the
        journal."""
        maker = (maker_of(report.client_order_id) or ("", 0))[0]

        def then(found: Found, now: Now) -> None:
            owner = self._owners.get(maker) or (found.order.owner if found.order is not None else "")
            if owner:
                self._owners[maker] = owner
            self._adopt(pair, report, owner, now)

        if not highest or maker in self._owners:
            then(Found(), now)
        elif not self._state.look_up(by_client_id(highest), then, now):
            self._relist(now)

    def _adopt(self, pair: str, report: OrderReport, owner: str, now: Now) -> None:
        """Make a lost order an order of the ledger, by the exchange's report."""
        state, one = self._state, report.client_order_id
        held = state.ledger.get(one)
        if held is not None:  # another report was faster
            if state.ledger.fits(held, report):
                self._apply(pair, held, report, now)
            return
        since_ns = self.origins.since_ns(one, now)
        is_whole = report.side is not None and report.order_type is not None
        if not is_whole or (report.amount is None and report.quote_amount is None):
            self._fills.pop((pair, report.exchange_order_id), None)
            self._relist(now)  # the list states the order, if it is open; otherwise its fills lead to it
            self._walk(pair, since_ns, now)
            return
        lasts = None if report.order_type is OrderType.MARKET else TimeInForce.GTC
        in_force = report.time_in_force or lasts
        order = stated_order(state, one, pair, report, OrderStatus.OPEN, now, owner=owner, time_in_force=in_force)
        if self._externals.get(pair, report.exchange_order_id) is not None:
            self._externals.hand_over(pair, report.exchange_order_id, one, now)
        self._take_up(order, LOST, now, report.ts_event_ns)
        held = state.ledger.get(one)
        assert held is not None
        self._apply(pair, held, report, now)
        self._walk(pair, since_ns, now)

    def _apply(self, pair: str, held: Held, report: OrderReport, now: Now) -> None:
        """Apply a report to an own order, and the fills that led to it: with them an ended order ends at once."""
        self._state.ledger.apply(held, report, now)
        for fill in self._fills.pop((pair, report.exchange_order_id), {}).values():
            self._state.ledger.fill(held, fill, now, is_listed=True)

    def _take_up(self, order: Order, reason: str, now: Now, ts_event_ns: int | None = None) -> None:
        self._state.kept.keep(order.pair)
        held = self._state.ledger.add(replace(order, code=ADOPTED, reason=reason), "ADOPTED", now)
        self._state.ledger.emit(EventType.ADOPTED, held, now, ts_event_ns, code=ADOPTED, reason=reason)

    # By request

    def adoptable(self, names: Sequence[str] | None) -> dict[str, Order]:
        """Return the external orders that `adopt` takes over, as the own orders that they become, by their present
        names. Raises UnknownOrder: a name is not that of an open external order whose id has our form."""
        left = self.left()
        by_id = {one.client_order_id: name for name, one in left.items()}
        chosen = [name for name, one in left.items() if not one.is_other]
        if names is not None:
            unknown = next((one for one in names if one not in left and one not in by_id), None)
            if unknown is not None:
                raise UnknownOrder(unknown)
            chosen = list(dict.fromkeys(by_id.get(one, one) for one in names))
        found: dict[str, Order] = {}
        for name in chosen:
            order, own = self._externals.named(name), left[name].client_order_id
            if order is not None and own not in self._state.ledger:
                found[name] = replace(
                    order, client_order_id=own, owner=self._owner_of(own), external=False, reason=None
                )
        return found

    def _owner_of(self, client_order_id: str) -> str:
        """Return the owner of another order of the same maker; "" if there is none in memory."""
        maker = (maker_of(client_order_id) or ("", 0))[0]
        known = (held.order.owner for held in self._state.ledger.all() if held.order.client_order_id.startswith(maker))
        return self._owners.get(maker) or next((owner for owner in known if owner), "")

    def adopt(self, token: Any, names: Sequence[str] | None, now: Now) -> None:
        """Take over external orders whose ids have our form, by either id; None: all that are not another mesh's.
        Answer: [Order]."""
        state = self._state
        try:
            chosen = self.adoptable(names)
        except UnknownOrder as error:
            state.effects.do(Refuse(token, error))
            return
        taken: list[Order] = []
        for order in chosen.values():
            one = order.client_order_id
            self._externals.hand_over(order.pair, order.exchange_order_id or "", one, now)
            mine = replace(order, status=OrderStatus.OPEN, filled=ZERO, quote_filled=ZERO, fees={})
            self._take_up(mine, ASKED, now)
            held = state.ledger.get(one)
            assert held is not None
            held.total, held.quote_total = order.filled, order.quote_filled
            state.requests.ask_for(one, now, once=True)
            self._walk(order.pair, self.origins.since_ns(one, now), now)
            taken.append(held.order)
        state.effects.do(Answer(token, taken))


def _is_over(order: Order | None) -> bool:
    return order is None or order.is_done
