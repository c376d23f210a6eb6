"""The orders that `venuemesh down` leaves open at the exchanges, and their cancels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from ..mesh.run_file import read_run_file
from ..model.address import ORDERS, Address, has_kind
from ..model.errors import MeshError, MeshNotRunning
from .running import attach

if TYPE_CHECKING:
    from ..market.market import Market
    from ..model.order import CancelResult, Order

CANCEL_S = 15.0


@dataclass(slots=True)
class Account:
    """The open orders of one account that stay open when the mesh ends; `error`: why they are not known."""

    name: str  # exchange/account
    market: Market
    orders: dict[str, Order] = field(default_factory=dict)
    error: str | None = None


@dataclass(slots=True)
class OpenOrders:
    """See the module. Orders that the account's `on_shutdown` cancels are not included."""

    accounts: list[Account] = field(default_factory=list)
    results: list[CancelResult] = field(default_factory=list)
    error: str | None = None  # why no account could be asked
    is_local: bool = False  # the exchanges end with the mesh

    @classmethod
    def find(cls, mesh: str, address: str | None) -> Self:
        """Ask every account of a running mesh; an account or a mesh that does not answer is noted."""
        known = read_run_file(mesh)
        found = cls(is_local=known is not None and known.local)
        try:
            running = attach(mesh, address=address)
            tree = running.status()
        except MeshNotRunning:
            return found  # `stop` says what is known about it
        except MeshError as error:
            found.error = str(error)
            return found
        for row in tree["children"]:
            status = row["status"] or {}
            will_cancel = status.get("on_shutdown") == "cancel" and status.get("ready")
            if not has_kind(row["address"], ORDERS) or will_cancel:
                continue
            place = Address.parse(row["address"])
            account = Account(f"{place.exchange}/{place.name}", running.market(place.exchange, place.name))
            try:
                account.orders = account.market.in_flight_orders()
            except MeshError as error:
                account.error = str(error)
            found.accounts.append(account)
        return found

    @property
    def all_cancelled(self) -> bool:
        """Whether every order has certainly ended."""
        return self.error is None and not any(account.error or account.orders for account in self.accounts)

    def cancel(self) -> None:
        """Cancel the orders; only those that may still be open stay in the lists."""
        for account in self.accounts:
            try:
                results = account.market.cancel_all(CANCEL_S)
            except MeshError as error:
                account.error = str(error)
                continue
            self.results += results
            ended = {result.client_order_id for result in results if result.done}
            account.orders = {name: order for name, order in account.orders.items() if name not in ended}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        left = {account.name: [order.to_dict() for order in account.orders.values()] for account in self.accounts}
        unknown = {account.name: account.error for account in self.accounts if account.error}
        unknown |= {} if self.error is None else {"*": self.error}
        return {"left_open": left, "cancelled": [result.to_dict() for result in self.results], "not_known": unknown}

    def lines(self) -> list[str]:
        """Describe the cancels and the orders that stay open."""
        found = [f"{result.client_order_id}: {result.status.value}" for result in self.results]
        if self.error is not None:
            found.append(f"the open orders are not known: {self.error}")
        for account in self.accounts:
            if account.error is not None:
                found.append(f"{account.name}: its open orders are not known: {account.error}")
            for order in account.orders.values():
                is_open = "is open" if self.is_local else "stays open"
                found.append(f"{account.name}: {order.client_order_id} {is_open}: {_terms(order)}")
        if not any(account.orders for account in self.accounts):
            return found
        if self.is_local:
            found.append("the local exchange ends with the mesh, and these orders end with it")
        elif not self.results:
            found.append("the next start takes these orders up again; `venuemesh down --cancel` cancels them first")
        return found


def _terms(order: Order) -> str:
    """Describe the terms of an order."""
    from .tables import plain_number

    price = "" if order.price is None else f" at {plain_number(order.price)}"
    size = order.quote_amount if order.amount is None else order.amount
    return f"{order.side.value} {plain_number(size)} {order.pair}{price}"
