"""Counts the orders of an account against the exchange's limits per account. Pure.

The exchange counts in windows of fixed length. We keep to `amount` in *every* period of that length, so we never exceed
the limit, wherever the exchange's windows begin. Some exchanges lower their count when an order fills; this count does
not, which wastes some orders and avoids bans.

A successor does not know how many orders its predecessor placed: it starts closed, and opens with the exchange's count.
Later counts of the exchange can only raise ours, because other programs may trade on the same account.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from ...connectors.spec import Limit
from ...model.time import in_ns

SLOTS = 100  # parts of a window; orders leave the count one part at a time


class OrderWindow:
    """One limit: at most `amount` orders in any `per_s` seconds. Times are of the monotonic clock, ns."""

    def __init__(self, limit: Limit) -> None:
        self.amount = limit.amount
        self._slot_ns = max(1, in_ns(limit.per_s) // SLOTS)
        self._slots: deque[tuple[int, int]] = deque()  # (number of the slot, orders in it)
        self._used = 0

    def used(self, now_ns: int) -> int:
        """Return the number of orders that count now."""
        oldest = now_ns // self._slot_ns - SLOTS
        while self._slots and self._slots[0][0] < oldest:
            self._used -= self._slots.popleft()[1]
        return self._used

    def wait_ns(self, orders: int, now_ns: int, most: int | None = None) -> int | None:
        """Return how long until `orders` more may be placed; 0: now; None: never. `most` stands in for the amount."""
        most = self.amount if most is None else most
        if orders > most:
            return None
        excess = self.used(now_ns) + orders - most
        for slot, count in self._slots:
            if excess <= 0:
                break
            excess -= count
            until_ns = (slot + SLOTS + 1) * self._slot_ns - now_ns
        return 0 if self._used + orders <= most else until_ns

    def add(self, orders: int, now_ns: int) -> None:
        """Count orders that are placed now."""
        slot = now_ns // self._slot_ns
        self._used += orders
        if self._slots and self._slots[-1][0] == slot:
            orders += self._slots.pop()[1]
        self._slots.append((slot, orders))

    def observe(self, count: int, now_ns: int) -> None:
        """Apply the exchange's count: orders above our count were placed by other programs."""
        foreign = count - self.used(now_ns)
        if foreign > 0:
            self.add(foreign, now_ns)


class OrderWindows:
    """All order limits of an account. Closed until `open` states the exchange's counts; open if there are no limits."""

    def __init__(self, limits: Mapping[str, Limit]) -> None:
        self.windows = {name: OrderWindow(limit) for name, limit in limits.items()}
        self._open = not limits

    def open(self, counts: Mapping[str, int], now_ns: int) -> None:
        """Start from the exchange's counts. A limit without a count counts as used up."""
        for name, window in self.windows.items():
            window.observe(counts.get(name, window.amount), now_ns)
        self._open = True

    def observe(self, counts: Mapping[str, int], now_ns: int) -> None:
        for name, count in counts.items():
            if name in self.windows:
                self.windows[name].observe(count, now_ns)

    def wait_ns(self, orders: int, now_ns: int) -> int | None:
        """Return how long until `orders` may be placed; 0: now; None: never, or closed."""
        if not self._open:
            return None
        waits = [window.wait_ns(orders, now_ns) for window in self.windows.values()]
        known = [wait for wait in waits if wait is not None]
        return max(known, default=0) if len(known) == len(waits) else None

    def add(self, orders: int, now_ns: int) -> None:
        for window in self.windows.values():
            window.add(orders, now_ns)
