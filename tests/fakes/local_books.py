"""Compares the books of a mesh with those of the local exchange that feeds it, level by level."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from venuemesh.model.fixed import to_decimal
from venuemesh.testing import LocalExchange, LocalMesh

PAIR = "BTC-USDT"
SHARED = 200  # levels a side that readers are given
LOOK_S = 0.01
Sides = tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]


def until(condition: Callable[[], bool], limit_s: float = 30.0) -> None:
    """Block until `condition()` is true; fail after `limit_s`."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it did not come within the limit"
        time.sleep(LOOK_S)


@contextlib.contextmanager
def undisturbed(exchange: LocalExchange, mesh: LocalMesh) -> Iterator[None]:
    """Begin the block with a running exchange, without faults, and LIVE books; remove its faults at the end."""
    exchange.admin.clear_faults()
    exchange.admin.resume()
    mesh.wait_ready()
    yield
    exchange.admin.clear_faults()


def seen(mesh: LocalMesh, pair: str = PAIR) -> dict[str, Any]:
    """Return a book's status from its role, on the mesh's one exchange."""
    status: dict[str, Any] = mesh.role_status(f"book/{mesh.exchanges[0]}/{pair}")["pairs"][pair]
    return status


def held(mesh: LocalMesh, pair: str = PAIR) -> Sides:
    """Return the levels that a reader sees."""
    book = mesh.market(mesh.exchanges[0]).order_book(pair).snapshot()
    bids, asks = (
        [(to_decimal(price, book.price_scale), to_decimal(size, book.size_scale)) for price, size in side.tolist()]
        for side in (book.bids, book.asks)
    )
    return bids, asks


def real(exchange: LocalExchange, pair: str = PAIR, levels: int = SHARED) -> Sides:
    """Return the best levels of the exchange itself."""
    book = exchange.admin.book(pair.replace("-", ""))
    bids, asks = ([(Decimal(price), Decimal(size)) for price, size in book[side][:levels]] for side in ("bids", "asks"))
    return bids, asks
