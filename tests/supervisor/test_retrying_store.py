"""Patience with a store that is away."""

from __future__ import annotations

import asyncio
import threading

import pytest

from venuemesh.model.backoff import Backoff
from venuemesh.model.errors import RetryLater
from venuemesh.supervisor.retrying_store import Durable, StoreAway


class Store:
    """Fails the next `away` operations; `gate` holds them up."""

    def __init__(self) -> None:
        self.away = 0
        self.tries = 0
        self.values: dict[str, object] = {}
        self.gate = threading.Event()
        self.gate.set()

    def put(self, name: str, value: object) -> None:
        self.gate.wait(10.0)
        self.tries += 1
        if self.away:
            self.away -= 1
            raise StoreAway("down")
        self.values[name] = value


def durable() -> Durable:
    return Durable(Backoff(0.001, 0.004, jitter=0.0))


async def test_it_tries_again_until_the_store_is_back() -> None:
    store = Store()
    store.away = 20
    await durable().run(store.put, "a", 1, patience_s=10.0)
    assert store.values == {"a": 1}
    assert store.tries == 21


async def test_the_caller_is_notified_when_it_lasts_too_long() -> None:
    store, waiting = Store(), durable()
    store.away = 1_000_000
    with pytest.raises(RetryLater, match="store"):
        await waiting.run(store.put, "a", 1, patience_s=0.2)
    store.away = 0
    await waiting.run(store.put, "a", 2)
    assert store.values == {"a": 2}


async def test_a_store_that_hangs_blocks_no_caller_and_keeps_the_order_of_writes() -> None:
    store, waiting = Store(), durable()
    store.gate.clear()
    with pytest.raises(RetryLater, match="does not answer"):
        await waiting.run(store.put, "a", "first", patience_s=0.02)
    with pytest.raises(RetryLater):  # given up before it began: never executed
        await waiting.run(store.put, "a", "second", patience_s=0.02)
    last = asyncio.ensure_future(waiting.run(store.put, "a", "third"))
    await asyncio.sleep(0)
    store.gate.set()
    await last
    assert store.values == {"a": "third"}
    assert store.tries == 2


async def test_other_errors_are_not_repeated() -> None:
    def broken() -> None:
        raise KeyError("a defect")

    with pytest.raises(KeyError):
        await durable().run(broken)
