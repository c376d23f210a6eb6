"""The shared state of all protocols of one local exchange: clock, engine, faults, connections, receipts, counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..model.time import MILLISECOND_NS
from .clock import Clock
from .engine.accounts import FULL_MEMORY, Account, Memory, Order, Ticket
from .engine.engine import Engine
from .engine.keys import ApiKey
from .faults import Faults
from .late_fees import LateFees
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
        self.late_fees = LateFees(faults, clock)
        self.connections = Connections()
        self.requests: dict[str, int] = {}
        self.statuses: dict[int, int] = {}
        self._receipts: dict[str, Receipts] = {}

    def owner(self, key: object) -> tuple[Account, ApiKey] | None:
        """Return the account and the key with this name."""
        return self.engine.owner(key) if isinstance(key, str) else None

    def submit(self, protocol: str, account: Account, symbol: str, ticket: Ticket, now_ns: int) -> Order:
        """Place an order. Under the fault `reject_later` the order is accepted and rejected after `ms`.

        Raises:
            Rejected: see `Engine.submit`.
        """
        fault = self.faults.placement(protocol, symbol, account.name)
        order = self.engine.submit(account, symbol, ticket, now_ns, hold=fault is not None)
        if fault is not None:
            self.faults.later(fault.ms / 1000, lambda: self.engine.reject(order, self.clock.now_ns()))
        return order

    def find_order(
        self,
        protocol: str,
        account: Account,
        order_id: int | None,
        client_id: str | None,
        memory: Memory = FULL_MEMORY,
    ) -> Order | None:
        """Look up an order like an exchange with this `memory`.

        The faults `unseen` and `forget` shorten the memory: an order younger than `ms` is not found yet, an order that
        ended more than `ms` ago is no longer found.
        """
        return account.find(order_id, client_id, self.clock.now_ns(), self.memory(protocol, account, memory))

    def memory(self, protocol: str, account: Account, memory: Memory = FULL_MEMORY) -> Memory:
        """Return the memory for one lookup (by id or in a list), shortened by faults."""
        fault = self.faults.lookup(protocol, account.name)
        if fault is not None and fault.kind == "unseen":
            return replace(memory, appears_ns=int(fault.ms * MILLISECOND_NS))
        if fault is not None:
            return replace(memory, lasts_ns=int(fault.ms * MILLISECOND_NS))
        return memory

    def receipts_of(self, account: Account) -> Receipts:
        """Return the receipts of an account's placements."""
        found = self._receipts.get(account.name)
        if found is None:
            found = self._receipts[account.name] = Receipts()
        return found

    def count(self, endpoint: str, status: int) -> None:
        """Count a request and its answer."""
        if endpoint in self.requests or len(self.requests) < ENDPOINTS_COUNTED:
            self.requests[endpoint] = self.requests.get(endpoint, 0) + 1
        self.statuses[status] = self.statuses.get(status, 0) + 1
