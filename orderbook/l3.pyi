from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..model.events import Levels, Side
from .l2 import OrderBook
from .records import L3Order, QueuePlace

OrderRow = tuple[str, int, int] | tuple[str, int, int, int]
"""Id, price, size, and the time in ns where the exchange states one."""

class L3Book:
    """Order-level (L3) book of one instrument: every order with its place in the queue, and the levels they add up to.

    Units: price and size are int64 fixed-point, value x 10**scale of the instrument; time in ns since the Unix epoch, 0
    where it is not stated. An id is a UUID in lower case, or 1 to 24 printable ASCII characters.

    Changes of orders take effect at once; `commit` brings them into `book`, the aggregated levels, in one merge, as
    after each frame. Every change either succeeds in full or raises BookError and changes nothing. Not thread safe: one
    writer, which holds the GIL.

    A `window` is for an exchange that keeps its readers at the best `window` levels a side: `commit` and `load` forget
    the orders of other levels.
    """

    book: OrderBook  # the levels, as of the last commit
    max_orders: int
    def __init__(self, price_scale: int, size_scale: int, max_orders: int = 4194304, window: int = 0) -> None: ...
    @property
    def sequence(self) -> int: ...  # of the last commit
    @property
    def n_orders(self) -> int: ...
    @property
    def memory_bytes(self) -> int: ...
    def clear(self) -> None:
        """Forget all orders and levels."""

    def load(
        self,
        bids: Iterable[OrderRow],
        asks: Iterable[OrderRow],
        sequence: int,
        bids_complete: bool = True,
        asks_complete: bool = True,
    ) -> None:
        """Replace the book by a snapshot: the orders of each price in the order of their queue.

        A side is complete if it has no order outside the snapshot. Raises BookError (an id twice, a size or price that
        is not positive, a crossed book), and the book stays as it was.
        """

    def add(self, side: Side, id: str, price: int, size: int, time_ns: int = 0) -> None:
        """Enter an order at the end of its queue. Raises BookError: its id is in the book already."""

    def change(self, id: str, size: int) -> None:
        """Set what is left of an order, which keeps its place; 0 removes it. Raises BookError: no such order."""

    def match(self, id: str, size: int) -> None:
        """Take `size` from a resting order that traded; the last of it removes it.

        Raises BookError: there is no such order, or it has less.
        """

    def replace(self, id: str, price: int, size: int, time_ns: int = 0) -> None:
        """Move an order to the end of the queue of another (or its own) price. Raises BookError: there is no such
        order."""

    def remove(self, id: str) -> bool:
        """Remove an order; return whether it was there."""

    def apply(self, events: Iterable[tuple[Any, ...]]) -> None:
        """Make many changes, in order, as fast as Python can state them. The kinds are in `records`:

            (ADD, id, side, price, size[, time_ns])   (CHANGE, id, size)   (MATCH, id, size)
            (REPLACE, id, price, size[, time_ns])     (REMOVE, id)

        Raises BookError at the first event that cannot be applied; those before it are applied. Removing an order that
        is not there is no error; nor is CHANGE, MATCH or REPLACE plus `IF_RESTING`, which an exchange may also send
        about orders that never rested.
        """

    def changes(self) -> tuple[Levels, Levels]:
        """Return the levels that changed since the last commit, bids and asks: int64 arrays of shape (n, 2), price and
        size, best first; size 0: no order is left."""

    def commit(self, sequence: int) -> None:
        """Bring the changed levels into `book`. Raises BookError: too many levels; `load` is needed then."""

    def order(self, id: str) -> L3Order | None: ...
    def place(self, id: str) -> QueuePlace | None:
        """Return how many orders, and how much, are ahead of an order in its queue; None: there is no such order.

        The time grows with the number of orders ahead.
        """

    def queue(self, side: Side, price: int) -> list[L3Order]:
        """Return the orders of a price, first in the queue first."""

    def rows(self, side: Side, levels: int | None = None) -> tuple[list[str], npt.NDArray[np.int64]]:
        """Return the orders of a side's best `levels` (None: all), best first, each level in the order of its queue.

        Their ids, and an int64 array of shape (n, 3): price, size, time in ns.
        """
