"""Disconnection protection (DCP) of spot: cancels an account's orders some time after the loss of its connections.

A connection is watched once it subscribes to `dcp.spot`. The time runs from the loss of the last watched connection; a
new watched connection stops it. The exchange enables DCP for institutional accounts only: here every account may set
its window, which enables it.

Source: order/dcp.mdx, websocket/private/dcp.mdx, account/dcp-info.mdx, read 2026-11-28. Guesses, because the manual is
silent: a connection that unsubscribes no longer counts, and its end cancels nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from ...model.time import SECOND_NS
from ..engine.accounts import Account

TOPIC = "dcp.spot"


class DeadMan:
    """The windows of all accounts. `is_subscribed(account)`: whether a connection of the account is subscribed now."""

    def __init__(self, is_subscribed: Callable[[Account], bool], cancel_all: Callable[[Account, int], object]) -> None:
        self._is_subscribed, self._cancel_all = is_subscribed, cancel_all
        self._windows: dict[str, tuple[Account, int]] = {}
        self._since_ns: dict[str, int] = {}  # by account with a watched connection: when it was last there

    def set_window(self, account: Account, seconds: int) -> None:
        self._windows[account.name] = account, seconds

    def window(self, account: Account) -> int | None:
        """Return the window in seconds; None: DCP is off."""
        found = self._windows.get(account.name)
        return None if found is None else found[1]

    def forget(self, account: Account) -> None:
        """Watch no connection of an account: it has unsubscribed from the last one."""
        if not self._is_subscribed(account):
            self._since_ns.pop(account.name, None)

    def tick(self, now_ns: int) -> None:
        for account, seconds in self._windows.values():
            if self._is_subscribed(account):
                self._since_ns[account.name] = now_ns
            elif now_ns - self._since_ns.get(account.name, now_ns) >= seconds * SECOND_NS:
                del self._since_ns[account.name]
                self._cancel_all(account, now_ns)
