"""The owners of orders: their leases, and what the end of a lease cancels. Pure.

An owner renews its lease while its processes live. When the lease ends, the owner is dead, and its open orders are
cancelled if it declared `on_death = "cancel"`. So are adopted orders without a known owner (`unknown_orders`): they may
be the dead owner's. After a start each owner has a while to renew its lease.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ....journal.records import Owner
from ....journal.writes import PutOwner
from ....model.order import Order
from ....model.time import in_ns
from .cancel import Cancelling, is_unowned
from .effects import Now
from .state import AccountState


@dataclass(slots=True)
class Lease:
    on_death: str  # "keep" or "cancel"
    until_mono_ns: int | None  # None: dead already


class Owners:
    """See the module."""

    def __init__(self, state: AccountState, cancelling: Cancelling) -> None:
        self._state, self._cancelling = state, cancelling
        self._leases: dict[str, Lease] = {}

    def __len__(self) -> int:
        return len(self._leases)

    @property
    def wake_ns(self) -> int | None:
        ends = [one.until_mono_ns for one in self._leases.values() if one.until_mono_ns is not None]
        return min(ends, default=None)

    def restore(self, owners: Mapping[str, Owner], now: Now) -> None:
        """Take over the owners of the journal."""
        grace_ns = now.mono_ns + in_ns(self._state.settings.owner_grace_s)
        for name, owner in owners.items():
            self._leases[name] = Lease(owner.on_death, grace_ns)

    def renew(self, owner: str, on_death: str, lease_s: float, now: Now) -> None:
        """Extend an owner's lease by `lease_s`."""
        held = self._leases.get(owner)
        if held is None or held.on_death != on_death:
            self._state.effects.write(PutOwner(owner, on_death, now.ns))
        self._leases[owner] = Lease(on_death, now.mono_ns + in_ns(lease_s))
        if len(self._leases) > self._state.settings.max_owners:
            self._forget_one()

    def tick(self, now: Now) -> None:
        """End the leases that are over."""
        for name, lease in self._leases.items():
            if lease.until_mono_ns is not None and lease.until_mono_ns <= now.mono_ns:
                lease.until_mono_ns = None
                if lease.on_death == "cancel":
                    self._cancelling.sweep(None, name, now, with_unowned=True)

    def settled(self, order: Order, now: Now) -> None:
        """React to a change of an open order: give an owner that counts as dead time to renew its lease."""
        grace_ns = now.mono_ns + in_ns(self._state.settings.owner_grace_s)
        if is_unowned(order):
            for lease in self._leases.values():
                if lease.until_mono_ns is None and lease.on_death == "cancel" and not order.cancel_requested:
                    lease.until_mono_ns = grace_ns
        elif (lease_of := self._leases.get(order.owner)) is not None and lease_of.until_mono_ns is None:
            lease_of.until_mono_ns = grace_ns

    def _forget_one(self) -> None:
        """Forget the oldest dead owner without open orders, because every start may bring new owner names."""
        alive = {held.order.owner for held in self._state.ledger.open()}
        gone = (name for name, lease in self._leases.items() if lease.until_mono_ns is None and name not in alive)
        if (name := next(gone, None)) is not None:
            del self._leases[name]
