"""The orders of an order-level book as plain data, for one message.

    sequence, price_scale, size_scale
    bids, asks            int64 little endian (n, 3): price, size, time in ns; best first, each level in queue order
    bid_ids, ask_ids      their ids, joined by line feeds
    bids_complete, asks_complete   no order of that side is left out, here or at the exchange

Only whole levels are in a message, at most `ORDERS_MOST` orders a side, so a level with more orders ends the side.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...model.errors import NotOffered
from ...model.events import Side
from ...orderbook.l3 import L3Book
from .ingest import Pair

ORDERS_MOST = 50_000


def orders_answer(
    pair: Pair, address: str, incarnation: tuple[int, int], version: int, levels: int | None
) -> dict[str, Any]:
    """Return the book of a pair as the answer to `orders`. Raises NotOffered: it is a book of price levels."""
    if pair.orders is None:
        raise NotOffered(address, 'orders: it is a book of price levels; set books = "orders"')
    return {
        "address": address,
        "incarnation": list(incarnation),
        "state": int(pair.machine.state),
        "error": pair.machine.error,
        "version": version,
        "ts_event_ns": pair.ts_event_ns,
        "ts_recv_ns": pair.ts_recv_ns,
        **order_rows(pair.orders, levels),
    }


def order_rows(book: L3Book, levels: int | None) -> dict[str, Any]:
    """Return the orders of the best `levels` a side (None: all)."""
    l2 = book.book
    found: dict[str, Any] = {
        "sequence": l2.sequence,
        "price_scale": l2.price_scale,
        "size_scale": l2.size_scale,
    }
    for name, side, count, proven, complete in (
        ("bid", Side.BUY, l2.n_bids, l2.proven_bids, l2.bids_complete),
        ("ask", Side.SELL, l2.n_asks, l2.proven_asks, l2.asks_complete),
    ):
        wanted = min(count, proven) if levels is None else min(levels, count, proven)
        ids, rows = book.rows(side, wanted)
        kept = _whole(rows, ORDERS_MOST)
        found[f"{name}s"] = rows[:kept].tobytes()
        found[f"{name}_ids"] = "\n".join(ids[:kept])
        found[f"{name}s_complete"] = bool(complete and wanted == count and kept == len(ids))
    return found


def _whole(rows: npt.NDArray[np.int64], most: int) -> int:
    """Return how many rows whole levels have, at most `most`."""
    if len(rows) <= most:
        return len(rows)
    return int(np.argmax(rows[:, 0] == rows[most, 0]))  # the first order of the level that does not fit
