"""Retries operations of a store while it is away. No Ray: the store is an argument, and tests pass their own.

Operations run one after another in one thread, so a slow write can never take effect after a later write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from loguru import logger

from ..model.backoff import Backoff
from ..model.errors import RetryLater

T = TypeVar("T")
AWAY = Backoff(first_s=0.05, cap_s=1.0, jitter=0.0)  # pauses while the GCS or its store does not answer
PATIENCE_S = 8.0  # how long a caller waits until a change is durable


class Store(Protocol):
    """The durable values of one mesh. Every method blocks and raises `StoreAway` while the store does not answer."""

    def get(self, name: str) -> Any: ...
    def put(self, name: str, value: Any) -> None: ...
    def delete(self, name: str) -> None: ...
    def names(self, beginning: str) -> list[str]: ...
    def next_epoch(self) -> int: ...
    def clear(self) -> None: ...


class StoreAway(Exception):
    """The store does not answer; the operation may have been executed."""


class Durable:
    """Runs operations of a store; repeats them with growing pauses while the store is away."""

    def __init__(self, backoff: Backoff = AWAY) -> None:
        self._backoff = backoff
        self._thread = ThreadPoolExecutor(1, "venuemesh-store")

    async def run(self, operation: Callable[..., T], *arguments: object, patience_s: float | None = PATIENCE_S) -> T:
        """Return the result of the operation, which must be idempotent.

        Raises:
            RetryLater: the store was away for `patience_s` (None: wait for ever); a write may still be executed.
        """
        clock = asyncio.get_running_loop().time
        deadline = None if patience_s is None else clock() + patience_s
        tries = 0
        while True:
            tries += 1
            pause_s = self._backoff.delay_s(tries)
            remaining_s = None if deadline is None else deadline - clock()
            try:
                # A hanging attempt blocks the thread: a second attempt would only wait behind it.
                return await asyncio.wait_for(self._once(operation, arguments), remaining_s)
            except TimeoutError:
                raise RetryLater(1.0, "the cluster's store (GCS) does not answer") from None
            except StoreAway as error:
                if deadline is not None and clock() + pause_s >= deadline:
                    raise RetryLater(1.0, f"the cluster's store (GCS) is away: {error}") from error
                if tries == 1:
                    logger.warning("store is away", operation=operation.__name__, error=error)
            await asyncio.sleep(pause_s)

    async def _once(self, operation: Callable[..., T], arguments: tuple[object, ...]) -> T:
        return await asyncio.wrap_future(self._thread.submit(operation, *arguments))
