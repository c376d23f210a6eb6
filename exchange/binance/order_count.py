"""The unfilled order count of accounts.

Source: faqs/order_count_decrement.md, read 2026-11-22. The manual's figure for makers is an example.
"""

from __future__ import annotations

from ...model.time import DAY_NS, SECOND_NS
from ..engine.accounts import Account
from ..wire.windows import FixedWindow, seconds_up
from .errors import too_many_orders
from .limits import Limits

MAKER_CREDIT = 5


class OrderCount:
    """The unfilled orders that an account placed in the present 10 seconds and on the present day (UTC).

    An order's first fill reduces the count by one, or by `MAKER_CREDIT` if the order rested; never below zero.
    """

    def __init__(self) -> None:
        self._windows = FixedWindow(10 * SECOND_NS), FixedWindow(DAY_NS)

    def counts(self, now_ns: int) -> tuple[int, int]:
        """Return the count in the present 10 seconds, and today."""
        short, day = self._windows
        return short.used(now_ns), day.used(now_ns)

    def add(self, number: int, now_ns: int) -> None:
        for window in self._windows:
            window.add(number, now_ns)

    def first_fill(self, maker: bool, now_ns: int) -> None:
        self.add(-MAKER_CREDIT if maker else -1, now_ns)

    def check(self, limits: Limits, number: int, now_ns: int) -> None:
        """Raises the 429 of an account without room for `number` more orders.

        Source: errors.md (-1015), read 2026-11-22.
        """
        named = ((limits.orders_10s, "10 SECOND"), (limits.orders_1d, "1 DAY"))
        for (limit, name), window in zip(named, self._windows, strict=True):
            if window.used(now_ns) + number > limit:
                raise too_many_orders(limit, name, seconds_up(window.left_ns(now_ns)))


class OrderCounts:
    """The unfilled order counts of all accounts."""

    def __init__(self) -> None:
        self._by_account: dict[str, OrderCount] = {}

    def of(self, account: Account) -> OrderCount:
        found = self._by_account.get(account.name)
        if found is None:
            found = self._by_account[account.name] = OrderCount()
        return found
