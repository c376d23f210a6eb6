"""The dead man's switch: cancels an account's orders unless it is set again in time.

Source: private_rest_api.md (/v2/algo-orders/cancel-all-after), read 2026-11-28.
"""

from __future__ import annotations

from collections.abc import Callable

from ...model.time import SECOND_NS
from ..engine.accounts import Account

LEAST_S = 5


class DeadMan:
    """The switches of all accounts. `cancel_all(account, now_ns)` cancels the orders."""

    def __init__(self, cancel_all: Callable[[Account, int], object]) -> None:
        self._cancel_all = cancel_all
        self._due_ns: dict[str, tuple[Account, int]] = {}

    def set(self, account: Account, seconds: int, now_ns: int) -> int:
        """Set the switch, or with 0 seconds switch it off; return when it triggers, 0: never."""
        if not seconds:
            self._due_ns.pop(account.name, None)
            return 0
        due_ns = now_ns + seconds * SECOND_NS
        self._due_ns[account.name] = account, due_ns
        return due_ns

    def tick(self, now_ns: int) -> None:
        for account, due_ns in list(self._due_ns.values()):
            if now_ns >= due_ns:
                del self._due_ns[account.name]
                self._cancel_all(account, now_ns)
