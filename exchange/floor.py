"""What all protocols of one local exchange share: clock, engine, faults, connections, receipts, counts of requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .clock import Clock
from .engine.accounts import Account
from .engine.engine import Engine
from .engine.keys import ApiKey
from .faults import Faults
from .wire.connection import Connections
from .wire.receipts import Receipts

ENDPOINTS_COUNTED = 1_000


class Floor:
    """The trading floor that every protocol serves. `later(seconds, call)` is the shell's timer."""

    def __init__(
        self, engine: Engine, faults: Faults, clock: Clock, later: Callable[[float, Callable[[], None]], Any]
    ) -> None:
        self.engine = engine
        self.faults = faults
        self.clock = clock
        self.later = later
        self.connections = Connections()
        self.requests: dict[str, int] = {}
        self.statuses: dict[int, int] = {}
        self._receipts: dict[str, Receipts] = {}

    def owner(self, key: object) -> tuple[Account, ApiKey] | None:
        """Return the account and key that a key's name belongs to."""
        return self.engine.owner(key) if isinstance(key, str) else None

    def receipts_of(self, account: Account) -> Receipts:
        """Return what the exchange was asked to place for an account."""
        found = self._receipts.get(account.name)
        if found is None:
            found = self._receipts[account.name] = Receipts()
        return found

    def count(self, endpoint: str, status: int) -> None:
        """Count a request and how it was answered."""
        if endpoint in self.requests or len(self.requests) < ENDPOINTS_COUNTED:
            self.requests[endpoint] = self.requests.get(endpoint, 0) + 1
        self.statuses[status] = self.statuses.get(status, 0) + 1
