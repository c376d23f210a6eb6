"""Balances of one account, the reservations of orders in flight, and the available amounts. Pure and exact.

Theory of operation. The exchange reports (free, locked) per asset as of a time of its clock. An order that we send
reduces `free` on the exchange, which shows only in a balance report made after the order got there. Until then the
amount is reserved here: available = free - reservations, never below zero. A reservation ends

    when a balance report of its asset is later than the time by which the exchange had the order, if the exchange
        stated that time, or the time of the balances;
    when balances were requested some time after the order was known to be on the exchange, by our monotonic clock: no
        estimate of the exchange's clock decides where neither has a time;
    when both have the same time, if the user stream had reported the order before it stated the balances, and it
        states them in the order of events, or nothing else of the asset is reserved: several orders can have one time,
        and the balances after the first of them do not include the others;
    at once, when the order provably took nothing: refused, absent, or ended without a fill.

A reservation whose order the exchange has is *owed* balances that include it. They are requested if none come.

So the amount of a fill counts as spent before a balance report includes the fill; and while an order is in doubt,
`available` is too small rather than too large. A fee in a third asset is only seen in the next balance report.

An amendment that may take more reserves the difference in the same way, under a separate name (`state`): until balances
certainly include the new terms, or at once if the amendment changed nothing. If neither the answer to it nor balances
have a time, that takes two requests for balances, about 1.6 s. The time of a later report in the stream would save the
second one only where our estimate of the exchange's clock is less than the report's age behind; a clock in whole
seconds leaves it 0.1 s and more behind. An earlier second request would cost the rate limit of the key.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from ....model.errors import InsufficientBalance
from ....model.order import ZERO, Balance
from ....model.time import SECOND_NS
from .ledger import EXACT

SHOWN_NS = SECOND_NS  # assumed: balances that are requested so long after an order was known include it


@dataclass(slots=True)
class Reservation:
    """Times are of the exchange's clock."""

    asset: str
    amount: Decimal
    amended: str = ""  # the order whose amendment it is for
    on_exchange_ns: int | None = None  # the exchange had the order by then; None: unknown
    is_dated: bool = False  # the exchange stated that time; else it is estimated
    streamed_ns: int = 0  # of the last report of the order in the user stream
    included_ns: int = 0  # of the last balances that the stream stated after this report

    def is_in(self, stated: Stated, known_ns: int) -> bool:
        """Return whether these balances certainly include the order, which is known since `known_ns`, monotonic."""
        if self.on_exchange_ns is None:
            return False
        if stated.asked_ns is not None and known_ns + SHOWN_NS <= stated.asked_ns:
            return True
        is_later = self.on_exchange_ns < stated.ts_event_ns and (self.is_dated or stated.asked_ns is None)
        return is_later or self.on_exchange_ns <= self.included_ns


@dataclass(slots=True)
class Stated:
    """The exchange's last report of one asset."""

    free: Decimal
    locked: Decimal
    ts_event_ns: int
    asked_ns: int | None = None  # when the balances were requested, monotonic; None: the stream stated them


class Funds:
    """See the module."""

    def __init__(self) -> None:
        self._stated: dict[str, Stated] = {}
        self._reserved: dict[str, Reservation] = {}  # by client order id, or the name of an amendment
        self._by_asset: dict[str, dict[str, Reservation]] = {}
        self._totals: dict[str, Decimal] = {}  # of the reservations of each asset
        self._amendments: dict[str, set[str]] = {}  # the reservations for amendments, by order
        self._owed: dict[str, int] = {}  # since when the exchange is known to have the order, monotonic, oldest first
        self.known = False  # whether the exchange reported all balances to this incarnation
        self.as_of_ns: int | None = None  # of the last whole snapshot, by the exchange's clock

    def restore(self, balances: Mapping[str, tuple[Decimal, Decimal]]) -> None:
        """Show the journal's balances until the exchange reports its own. They may not be spent (see `known`)."""
        self._stated = {asset: Stated(free, locked, 0) for asset, (free, locked) in balances.items()}

    def reserve(self, client_order_id: str, asset: str, amount: Decimal) -> None:
        """Reserve `amount` of an asset.

        Raises:
            InsufficientBalance: less is available. Nothing was reserved.
        """
        available = self.available(asset)
        if amount > available:
            raise InsufficientBalance(asset, f"{amount:f}", f"{available:f}")
        self.hold(client_order_id, asset, amount)

    def hold(self, name: str, asset: str, amount: Decimal, amended: str = "") -> None:
        """Reserve without a check: for the order `name`, which may be on the exchange already, or for an amendment of
        the order `amended`."""
        self.release(name)
        held = self._reserved[name] = Reservation(asset, amount, amended)
        self._by_asset.setdefault(asset, {})[name] = held
        if amended:
            self._amendments.setdefault(amended, set()).add(name)
        self._totals[asset] = EXACT.add(self.reserved(asset), amount)

    def has(self, name: str) -> bool:
        """Return whether a reservation of this name stands."""
        return name in self._reserved

    def streamed(self, client_order_id: str, ts_event_ns: int) -> None:
        """Record that the user stream reports an order: balances that it states from now on at this time or a later one
        include the report."""
        for name in (client_order_id, *self._amendments.get(client_order_id, ())):
            held = self._reserved.get(name)
            if held is not None:
                held.streamed_ns = max(held.streamed_ns, ts_event_ns)

    def balances_streamed(self, assets: Iterable[str], ts_event_ns: int, in_order: bool) -> None:
        """Record that the user stream states balances of these assets; `apply` follows. `in_order`: the stream states
        them after the report of the order that changed them, and before the report of any later one."""
        for asset in assets:
            reserved = self._by_asset.get(asset, {})
            if in_order or len(reserved) == 1:
                for held in reserved.values():
                    if held.streamed_ns <= ts_event_ns:
                        held.included_ns = held.streamed_ns

    @property
    def owed_since_ns(self) -> int | None:
        """Since when the oldest reservation is owed balances that include its order; monotonic; None: none is."""
        return next(iter(self._owed.values()), None)

    def placed(self, name: str, by_ns: int, mono_ns: int, is_dated: bool = True) -> None:
        """Record that the exchange had the order by `by_ns`, of its clock. `is_dated`: it stated that time itself."""
        held = self._reserved.get(name)
        if held is None:
            return
        before_ns = held.on_exchange_ns
        if before_ns is None or (not is_dated, by_ns) < (not held.is_dated, before_ns):
            held.on_exchange_ns, held.is_dated = by_ns, is_dated
        self._owed.setdefault(name, mono_ns)
        self._drop(held.asset)

    def release(self, name: str) -> None:
        """End the reservation of an order that took nothing."""
        held = self._reserved.pop(name, None)
        if held is None:
            return
        self._owed.pop(name, None)
        if held.amended:
            amendments = self._amendments[held.amended]
            amendments.discard(name)
            if not amendments:
                del self._amendments[held.amended]
        others = self._by_asset[held.asset]
        del others[name]
        if held.amount.is_finite():
            self._totals[held.asset] = EXACT.subtract(self._totals[held.asset], held.amount)
        else:
            self._totals[held.asset] = self._sum(held.asset)

    def apply(
        self,
        balances: Mapping[str, tuple[Decimal, Decimal]],
        ts_event_ns: int,
        *,
        whole: bool = False,
        unread: Collection[str] = (),
        asked_ns: int | None = None,
    ) -> bool:
        """Apply a balance report. Return whether it contradicts a later report; then the balances must be requested
        again.

        With `whole`, an asset that the report has neither in `balances` nor in `unread` is zero. `asked_ns`: when they
        were requested, monotonic; None: the stream stated them.
        """
        doubtful = False
        for asset, (free, locked) in balances.items():
            held = self._stated.get(asset)
            if held is not None and held.ts_event_ns > ts_event_ns:
                doubtful = doubtful or (held.free, held.locked) != (free, locked)
                continue
            self._stated[asset] = Stated(free, locked, ts_event_ns, asked_ns)
            self._drop(asset)
        if whole:
            for asset in self._stated.keys() | {one.asset for one in self._reserved.values()}:
                if asset in balances or asset in unread:
                    continue
                held = self._stated.get(asset)
                if held is not None and held.ts_event_ns > ts_event_ns:
                    doubtful = doubtful or bool(held.free or held.locked)
                else:
                    self._stated[asset] = Stated(ZERO, ZERO, ts_event_ns, asked_ns)
                    self._drop(asset)
            self.known, self.as_of_ns = True, ts_event_ns
        return doubtful

    def unsized(self, asset: str) -> list[str]:
        """Return the reservations of everything of an asset: the amount is unknown."""
        if self.reserved(asset).is_finite():
            return []
        return [name for name, held in self._by_asset[asset].items() if not held.amount.is_finite()]

    def size(self, name: str, amount: Decimal) -> None:
        """Give a reservation of everything its amount."""
        held = self._reserved[name]
        held.amount = amount
        self._totals[held.asset] = self._sum(held.asset)

    def _sum(self, asset: str) -> Decimal:
        return functools.reduce(EXACT.add, (one.amount for one in self._by_asset[asset].values()), ZERO)

    def reserved(self, asset: str) -> Decimal:
        """Return the sum of the reservations of an asset."""
        return self._totals.get(asset, ZERO)

    def available(self, asset: str) -> Decimal:
        """Return the amount of an asset that may be spent now; never below zero."""
        held = self._stated.get(asset)
        return max(ZERO, EXACT.subtract(ZERO if held is None else held.free, self.reserved(asset)))

    def balance(self, asset: str) -> Balance:
        held = self._stated.get(asset) or Stated(ZERO, ZERO, 0)
        total = EXACT.add(held.free, held.locked)
        return Balance(asset, total, held.free, held.locked, self.available(asset))

    def balances(self) -> dict[str, Balance]:
        """Return the balance of every asset that the account has or had, by name."""
        return {asset: self.balance(asset) for asset in sorted(self._stated)}

    def snapshot(self) -> dict[str, tuple[Decimal, Decimal]]:
        """Return (free, locked) by asset, without empty assets."""
        found = {asset: (held.free, held.locked) for asset, held in sorted(self._stated.items())}
        return {asset: pair for asset, pair in found.items() if pair != (ZERO, ZERO)}

    def _drop(self, asset: str) -> None:
        """End the reservations that the stated balances include."""
        stated = self._stated.get(asset)
        if stated is None:
            return
        for name, held in list(self._by_asset.get(asset, {}).items()):
            if name in self._owed and held.is_in(stated, self._owed[name]):
                self.release(name)
