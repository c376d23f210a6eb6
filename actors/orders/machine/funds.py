"""Balances of one account, what orders in flight reserve, and what is available. Pure and exact.

Theory of operation. The exchange tells (free, locked) per asset as of a time of its clock. An order that we send takes
from `free` on the exchange, and we see that only with the first balance report that is as late as the order is there.
Until then it is reserved here: available = free - reservations, never below zero. A reservation ends

    when a balance report of its asset is at least as late as the exchange's first word on the order;
    at once, when the order turns out never to have taken anything: refused, absent, or ended without a fill.

So after a fill that no balance report has shown yet, the money counts as spent; and while it is in doubt whether an
order is there, `available` is rather too small than too large. Fees that the exchange takes in a third asset are seen
only in its next report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from ....model.errors import InsufficientBalance
from ....model.order import ZERO, Balance
from .ledger import EXACT


@dataclass(slots=True)
class Reservation:
    asset: str
    amount: Decimal
    on_exchange_ns: int | None = None  # the exchange's clock, when it had taken it at the latest; None: not known


@dataclass(slots=True)
class Stated:
    """What the exchange said of one asset."""

    free: Decimal
    locked: Decimal
    ts_event_ns: int


class Funds:
    """See the module."""

    def __init__(self) -> None:
        self._stated: dict[str, Stated] = {}
        self._reserved: dict[str, Reservation] = {}  # by client order id
        self.known = False  # whether the exchange ever told all balances in this incarnation
        self.as_of_ns: int | None = None  # of the last whole snapshot, by the exchange's clock

    def restore(self, balances: Mapping[str, tuple[Decimal, Decimal]]) -> None:
        """Show what the journal remembers until the exchange tells. Nothing may be spent of it (`known`)."""
        self._stated = {asset: Stated(free, locked, 0) for asset, (free, locked) in balances.items()}

    def reserve(self, client_order_id: str, asset: str, amount: Decimal) -> None:
        """Take `amount` of an asset out of what is available.

        Raises:
            InsufficientBalance: there is less; nothing was reserved.
        """
        available = self.available(asset)
        if amount > available:
            raise InsufficientBalance(asset, f"{amount:f}", f"{available:f}")
        self._reserved[client_order_id] = Reservation(asset, amount)

    def hold(self, client_order_id: str, asset: str, amount: Decimal) -> None:
        """Reserve without asking whether it is there: for an order that may be on the exchange already."""
        self._reserved[client_order_id] = Reservation(asset, amount)

    def placed(self, client_order_id: str, ts_event_ns: int) -> None:
        """The exchange has the order since then, at the latest."""
        held = self._reserved.get(client_order_id)
        if held is None:
            return
        if held.on_exchange_ns is None or ts_event_ns < held.on_exchange_ns:
            held.on_exchange_ns = ts_event_ns
        self._drop(held.asset)

    def release(self, client_order_id: str) -> None:
        """The order took nothing."""
        self._reserved.pop(client_order_id, None)

    def told(self, balances: Mapping[str, tuple[Decimal, Decimal]], ts_event_ns: int, *, whole: bool = False) -> bool:
        """Apply what the exchange states. Return whether an asset differs from a later statement (ask again then)."""
        doubtful = False
        for asset, (free, locked) in balances.items():
            held = self._stated.get(asset)
            if held is not None and held.ts_event_ns > ts_event_ns:
                doubtful = doubtful or (held.free, held.locked) != (free, locked)
                continue
            self._stated[asset] = Stated(free, locked, ts_event_ns)
            self._drop(asset)
        if whole:
            for asset, held in list(self._stated.items()):
                if asset in balances:
                    continue
                if held.ts_event_ns > ts_event_ns:
                    doubtful = doubtful or bool(held.free or held.locked)
                else:
                    self._stated[asset] = Stated(ZERO, ZERO, ts_event_ns)
                    self._drop(asset)
            self.known, self.as_of_ns = True, ts_event_ns
        return doubtful

    def reserved(self, asset: str) -> Decimal:
        total = ZERO
        for one in self._reserved.values():
            if one.asset == asset:
                total = EXACT.add(total, one.amount)
        return total

    def available(self, asset: str) -> Decimal:
        """What may be spent of an asset now. Never below zero."""
        held = self._stated.get(asset)
        return max(ZERO, EXACT.subtract(ZERO if held is None else held.free, self.reserved(asset)))

    def balance(self, asset: str) -> Balance:
        held = self._stated.get(asset) or Stated(ZERO, ZERO, 0)
        total = EXACT.add(held.free, held.locked)
        return Balance(asset, total, held.free, held.locked, self.available(asset))

    def balances(self) -> dict[str, Balance]:
        """Every asset that the account has, or had and has spent; by name."""
        return {asset: self.balance(asset) for asset in sorted(self._stated)}

    def snapshot(self) -> dict[str, tuple[Decimal, Decimal]]:
        """(free, locked) by asset, those with neither left out."""
        found = {asset: (held.free, held.locked) for asset, held in sorted(self._stated.items())}
        return {asset: pair for asset, pair in found.items() if pair != (ZERO, ZERO)}

    def _drop(self, asset: str) -> None:
        stated = self._stated.get(asset)
        if stated is None:
            return
        for one, held in list(self._reserved.items()):
            if held.asset == asset and held.on_exchange_ns is not None and held.on_exchange_ns <= stated.ts_event_ns:
                del self._reserved[one]
