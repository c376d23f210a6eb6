"""The shared part of faces whose protocol serves accounts: orders and user data go to the desk."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from .engine.accounts import Account
from .engine.market import ExecutionReport
from .floor import Floor
from .public_face import PublicDesk, PublicFace
from .wire.connection import Connection
from .wire.user_data import UserData

ORDERS_EVERY = 10  # ticks of the floor between two checks of the protocol's orders


class _Orders(Protocol):
    def report(self, report: ExecutionReport) -> None: ...
    def tick(self, now_ns: int) -> None: ...


class _UserData(Protocol):
    @property
    def streams(self) -> UserData[Any]: ...
    def report(self, report: ExecutionReport) -> None: ...
    def end(self, account: Account, key: str | None) -> int: ...


class AccountDesk(PublicDesk, Protocol):
    """The part of a protocol's desk that every face with accounts uses."""

    @property
    def floor(self) -> Floor: ...
    @property
    def orders(self) -> _Orders: ...
    @property
    def user_data(self) -> _UserData: ...
    def now_ns(self) -> int: ...


A = TypeVar("A", bound=AccountDesk)


class AccountFace(PublicFace[A]):
    """A `Face` with accounts; the protocol adds how it sends trades and balances."""

    name: str

    def report(self, report: ExecutionReport) -> None:
        self.desk.orders.report(report)
        self.desk.floor.late_fees.report(self.name, report, self.desk.user_data.report)

    def tick(self, number: int) -> None:
        super().tick(number)
        if number % ORDERS_EVERY == 0:
            self.desk.orders.tick(self.desk.now_ns())

    def flush_user_data(self) -> None:
        self.desk.user_data.streams.flush()

    def listeners(self, account: Account) -> set[Connection]:
        return self.desk.user_data.streams.listeners(account)

    def end_user_data(self, account: Account, key: str | None = None) -> int:
        return self.desk.user_data.end(account, key)

    def user_events(self) -> dict[str, int]:
        return dict(self.desk.user_data.streams.sent)
