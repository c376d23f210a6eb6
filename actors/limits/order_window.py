"""How many orders an account may still place: the exchange's own limits per account, counted here. Pure.

The exchange counts in windows of fixed length. What was placed within any stretch as long as a window is at least what
it counts in one, so `amount` in every such stretch never passes its limit, wherever its windows begin. Orders that it
takes off again (Binance does, for those that fill) are not taken off here: rather too few than a ban.

A successor knows nothing of what its predecessor placed: it starts closed, and opens with what the exchange says.
What the exchange states later only ever adds: orders of others on the same account.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from ...connectors.spec import Limit
from ...model.time import in_ns

SLOTS = 100  # a window is counted in parts: what is older than a whole window leaves part by part


class OrderWindow:
    """One limit: at most `amount` orders in any `per_s` seconds. Times are of the monotonic clock, ns."""

    def __init__(self, limit: Limit) -> None:
        self.amount = limit.amount
        self._slot_ns = max(1, in_ns(limit.per_s) // SLOTS)
        self._slots: deque[tuple[int, int]] = deque()  # (number of the slot, orders in it)
        self._used = 0

    def used(self, now_ns: int) -> int:
        """Orders that may count now."""
        oldest = now_ns // self._slot_ns - SLOTS
        while self._slots and self._slots[0][0] < oldest:
            self._used -= self._slots.popleft()[1]
        return self._used

    def wait_ns(self, orders: int, now_ns: int) -> int | None:
        """How long until `orders` more may be placed: 0 for now, None for never."""
        if orders > self.amount:
            return None
        over = self.used(now_ns) + orders - self.amount
        for slot, count in self._slots:
            if over <= 0:
                break
            over -= count
            until_ns = (slot + SLOTS + 1) * self._slot_ns - now_ns
        return 0 if self._used + orders <= self.amount else until_ns

    def add(self, orders: int, now_ns: int) -> None:
        """Orders are placed now."""
        slot = now_ns // self._slot_ns
        self._used += orders
        if self._slots and self._slots[-1][0] == slot:
            orders += self._slots.pop()[1]
        self._slots.append((slot, orders))

    def observe(self, count: int, now_ns: int) -> None:
        """The exchange counts `count` orders: more than are known here were placed by others."""
        foreign = count - self.used(now_ns)
        if foreign > 0:
            self.add(foreign, now_ns)


class OrderWindows:
    """All order limits of an account. Closed until `open` says what the exchange counts; open where there are none."""

    def __init__(self, limits: Mapping[str, Limit]) -> None:
        self.windows = {name: OrderWindow(limit) for name, limit in limits.items()}
        self._open = not limits

    def open(self, counts: Mapping[str, int], now_ns: int) -> None:
        """Begin with what the exchange counts. A limit that it does not state is taken as used up."""
        for name, window in self.windows.items():
            window.observe(counts.get(name, window.amount), now_ns)
        self._open = True

    def observe(self, counts: Mapping[str, int], now_ns: int) -> None:
        for name, count in counts.items():
            if name in self.windows:
                self.windows[name].observe(count, now_ns)

    def wait_ns(self, orders: int, now_ns: int) -> int | None:
        """How long until `orders` may be placed: 0 for now, None for never, or while it is closed."""
        if not self._open:
            return None
        waits = [window.wait_ns(orders, now_ns) for window in self.windows.values()]
        known = [wait for wait in waits if wait is not None]
        return max(known, default=0) if len(known) == len(waits) else None

    def add(self, orders: int, now_ns: int) -> None:
        for window in self.windows.values():
            window.add(orders, now_ns)
