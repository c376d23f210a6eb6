"""An immutable copy of the orders of an order-level book, at one sequence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from ..model.arguments import read_side
from ..model.events import BookState, Side
from ..model.fixed import to_decimal

if TYPE_CHECKING:
    import numpy.typing as npt

FIELDS = [("price", "<i8"), ("size", "<i8"), ("time_ns", "<i8"), ("id", "S36"), ("own", "?")]
"""A row of orders: raw price and size at the snapshot's scales, time in ns (0: not stated), the exchange's order id."""


class QueueAhead(NamedTuple):
    """What is ahead of an order at its price: how many orders, and their size together, exact."""

    orders: int
    size: Decimal


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class OrderLevelSnapshot:
    """The orders of the best levels of a book at one moment, best level first, each level in the order of its queue.

    `bids` and `asks` are read-only arrays with the fields `price`, `size`, `time_ns`, `id` and `own` (`FIELDS`). A side
    is complete when the book has no other order on it. `own` maps the exchange's ids of own open orders to their client
    order ids; None: own orders are not marked. An own order may be in `own` and not in the book, and the reverse,
    because the two come from different streams of the exchange.
    """

    address: str
    incarnation: tuple[int, int]
    state: BookState
    sequence: int
    ts_event_ns: int | None
    ts_recv_ns: int | None
    price_scale: int
    size_scale: int
    bids: npt.NDArray[Any]
    asks: npt.NDArray[Any]
    bids_complete: bool
    asks_complete: bool
    own: Mapping[str, str] | None = None

    def __repr__(self) -> str:
        return (
            f"<OrderLevelSnapshot {self.address} {self.state.name} sequence {self.sequence}, "
            f"{len(self.bids)} bids, {len(self.asks)} asks>"
        )

    def rows(self, side: Side | str) -> npt.NDArray[Any]:
        """Return the orders that an order of `side` would meet (BUY: the asks)."""
        return self.asks if read_side(side) is Side.BUY else self.bids

    def ahead(self, order_id: str) -> QueueAhead | None:
        """Return what is ahead of the order with this id of the exchange; None: the order is not in this snapshot."""
        import numpy as np

        for rows in (self.bids, self.asks):
            (found,) = np.nonzero(rows["id"] == order_id.encode())
            if len(found):
                at = int(found[0])
                first = int(np.searchsorted(_rising(rows), _rising(rows)[at]))
                return QueueAhead(at - first, to_decimal(sum(rows["size"][first:at].tolist()), self.size_scale))
        return None

    def price(self, raw: int) -> Decimal:
        """Return a raw price as an exact number."""
        return to_decimal(int(raw), self.price_scale)

    def size(self, raw: int) -> Decimal:
        """Return a raw size as an exact number."""
        return to_decimal(int(raw), self.size_scale)


def _rising(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    prices = rows["price"]
    return -prices if prices[0] > prices[-1] else prices


def read_orders(plain: Mapping[str, Any], own: Mapping[str, str] | None) -> OrderLevelSnapshot:
    """Return the snapshot in the answer of a book actor to `orders`, with own orders marked."""
    import numpy as np

    sides: dict[str, Any] = {}
    for name in ("bid", "ask"):
        numbers = np.frombuffer(plain[f"{name}s"], "<i8").reshape(-1, 3)
        rows = np.zeros(len(numbers), FIELDS)
        rows["price"], rows["size"], rows["time_ns"] = numbers.T
        if len(rows):
            rows["id"] = np.array(plain[f"{name}_ids"].split("\n"), "S36")
        if own:
            rows["own"] = np.isin(rows["id"], np.array([one.encode() for one in own], "S36"))
        rows.flags.writeable = False
        sides[f"{name}s"], sides[f"{name}s_complete"] = rows, plain[f"{name}s_complete"]
    return OrderLevelSnapshot(
        address=plain["address"],
        incarnation=(plain["incarnation"][0], plain["incarnation"][1]),
        state=BookState(plain["state"]),
        sequence=plain["sequence"],
        ts_event_ns=plain["ts_event_ns"],
        ts_recv_ns=plain["ts_recv_ns"],
        price_scale=plain["price_scale"],
        size_scale=plain["size_scale"],
        own=own,
        **sides,
    )
