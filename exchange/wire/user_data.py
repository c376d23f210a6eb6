"""User data: subscriptions of connections to accounts, and the order in which events are sent.

Theory of operation. The engine reports each order event, and each change of balances, in the middle of a call. A
protocol encodes the event at once, because the order will change again, and passes the frame to `send`. The frame is
sent on the next turn of the loop, so that an answer written at once goes out before the events of its request; the
fault `accept_then_wait` reverses this. Every subscription gets the events of an account in the order of events.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..engine.accounts import Account
from ..faults import USER, Faults
from .connection import Connection


@dataclass(frozen=True, slots=True)
class Subscription:
    """One account's events on one connection, by an API key. `number` is unique on the connection."""

    number: int
    connection: Connection
    account: Account
    key: str


S = TypeVar("S", bound=Subscription)


class UserData(Generic[S]):
    """All subscriptions of one protocol to user data. `later(seconds, call)` is the shell's timer."""

    def __init__(self, faults: Faults, later: Callable[[float, Callable[[], None]], Any]) -> None:
        self.sent: dict[str, int] = {}  # events by type, one for each subscription
        self._faults = faults
        self._later = later
        self._by_account: dict[str, dict[tuple[int, int], S]] = {}
        self._by_connection: dict[int, dict[int, S]] = {}
        self._out: list[tuple[S, str | None, bytes]] = []

    def add(self, subscription: S) -> None:
        where = subscription.connection.number, subscription.number
        self._by_connection.setdefault(where[0], {})[where[1]] = subscription
        self._by_account.setdefault(subscription.account.name, {})[where] = subscription

    def end(self, subscription: S) -> None:
        """Drop a subscription; frames that were passed to it before are still sent."""
        where = subscription.connection.number, subscription.number
        self._by_connection[where[0]].pop(where[1], None)
        self._by_account[subscription.account.name].pop(where, None)

    def end_where(self, connection: Connection, ends: Callable[[S], bool]) -> None:
        """Drop the subscriptions of a connection for which `ends` is true."""
        for subscription in self.on(connection):
            if ends(subscription):
                self.end(subscription)

    def close(self, account: Account, key: str | None, code: int, reason: str) -> int:
        """End subscriptions by closing their connections, where the protocol has no message for the end."""
        ended = self.to(account, key)
        for subscription in ended:
            subscription.connection.close(code, reason, "expired")
        return len(ended)

    def drop(self, connection: Connection) -> None:
        """Drop the subscriptions of a connection that has ended."""
        for subscription in list(self._by_connection.pop(connection.number, {}).values()):
            where = connection.number, subscription.number
            self._by_account[subscription.account.name].pop(where, None)
        self._out = [item for item in self._out if item[0].connection is not connection]

    def on(self, connection: Connection) -> list[S]:
        """Return the subscriptions of a connection."""
        return list(self._by_connection.get(connection.number, {}).values())

    def to(self, account: Account, key: str | None = None) -> list[S]:
        """Return the subscriptions to an account, or those of one key."""
        found = self._by_account.get(account.name)
        return [each for each in found.values() if key is None or each.key == key] if found else []

    def listeners(self, account: Account) -> set[Connection]:
        """Return the connections with an account's events."""
        return {each.connection for each in self.to(account)}

    def send(self, subscription: S, kind: str, frame: bytes, symbol: str | None = None) -> None:
        """Send a frame on the next turn of the loop, counted as an event of type `kind`."""
        if not self._out:
            self._later(0.0, self.flush)
        self._out.append((subscription, symbol, frame))
        self.sent[kind] = self.sent.get(kind, 0) + 1

    def flush(self) -> None:
        """Send the waiting frames."""
        out, self._out = self._out, []
        faulty = self._faults.frames_active
        for subscription, symbol, frame in out:
            if faulty:
                self._faults.frame(subscription.connection, USER, symbol, frame, subscription.account.name)
            else:
                subscription.connection.write(frame)
