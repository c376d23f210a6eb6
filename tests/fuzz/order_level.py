"""The readers of an order-level feed, each into a book of orders that follows the sample history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from venuemesh.conformance.market.book_replay import Story
from venuemesh.conformance.market.suite import RECV_NS
from venuemesh.connectors.market_codec import Codec, JoinedOrders, OrderLevelConnector
from venuemesh.connectors.samples import OrderLevelSamples
from venuemesh.model.events import BookState, OrderDelta, OrderSnapshot, Side
from venuemesh.model.instrument import Instrument

from .reader import Reader


def readers(
    name: str, one: OrderLevelConnector, listed: list[Instrument], samples: OrderLevelSamples
) -> Iterator[Reader]:
    """Yield the readers of an order-level feed: its frames and, if the book comes over REST, that body."""
    instrument = listed[0]

    def made() -> Codec:
        codec = one.order_level_codec()
        codec.bind(listed)
        return codec

    def story() -> Story:
        return Story(made(), instrument, samples, fast=True)

    def frame(data: bytes) -> Any:
        events = list(made().decode(memoryview(data), RECV_NS))
        played = story()
        played.play()
        played.frames([data])
        taken = [event for event in events if isinstance(event, OrderDelta | OrderSnapshot)]
        return events, _held(played) if taken else None

    def snapshot(body: bytes) -> Any:
        codec = made()
        assert isinstance(codec, JoinedOrders)
        read = codec.orders_snapshot(instrument, body, RECV_NS)
        played = Story(codec, instrument, replace(samples, snapshot=body), fast=True)
        played.play()
        return read, _held(played)

    is_joined = isinstance(made(), JoinedOrders)
    given = *(() if is_joined else (samples.snapshot,)), *samples.deltas, samples.stale, samples.gap
    yield Reader(f"{name}.orders_frame", frame, tuple(one for one in given if one is not None))
    if is_joined:
        yield Reader(f"{name}.orders_snapshot", snapshot, (samples.snapshot,))


def _held(played: Story) -> Any:
    """Return the orders of a book that is LIVE; its levels must be their sums, each with its orders in a queue."""
    orders = played.pair.orders
    assert orders is not None
    if played.state is not BookState.LIVE:
        return played.state.name
    found = []
    for side in Side:
        ids, rows = orders.rows(side)
        sums: dict[int, int] = {}
        for price, size in rows[:, :2].tolist():
            assert price > 0, f"order at {price}"
            assert size > 0, f"order of {size}"
            sums[price] = sums.get(price, 0) + size
        levels = played.pair.book.levels(side).tolist()
        assert levels == [[*level] for level in sums.items()], f"levels {levels} of orders {rows.tolist()}"
        found.append([list(ids), rows.tolist()])
    return found
