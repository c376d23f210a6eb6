"""A protocol's own data of orders that the engine does not keep, such as the client's options and an order's fills."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from ..engine.accounts import Fill, Order
from ..engine.market import ExecutionReport

KEPT = 200_000  # orders whose details are kept


class HasFills(Protocol):
    """The common part of all details."""

    @property
    def fills(self) -> list[Fill]:
        """The fills of the order, oldest first."""


D = TypeVar("D", bound=HasFills)


class OrderDetails(Generic[D]):
    """Details of the latest orders. `derive` makes those of an order that another protocol placed.

    `placing` holds the details of an order while the engine takes it: its first report comes before the call returns.
    """

    def __init__(self, derive: Callable[[Order], D]) -> None:
        self.placing: D | None = None
        self._derive = derive
        self._kept: OrderedDict[int, D] = OrderedDict()

    def of(self, order: Order) -> D:
        return self._kept.get(order.id) or self._derive(order)

    def report(self, report: ExecutionReport) -> D:
        """Update an order's details from a report, and return them."""
        details = self._kept.get(report.order.id)
        if details is None:
            details = self._kept[report.order.id] = self.placing or self._derive(report.order)
            self.placing = None
        if report.fill is not None:
            details.fills.append(report.fill)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return details
