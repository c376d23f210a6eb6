"""Stores the newest promise of every rate budget for a later supervisor. See `actors.limits.promises`.

Each supervisor writes the promises of all budgets as one value, under its epoch. So what an older supervisor writes
late, from behind a partition, replaces nothing. A later supervisor reads the values of all earlier ones; for each
budget the newest one counts. A promise that a successor has used up is stored as None.

A write counts only if the epoch in the store is still this supervisor's own afterwards. A later supervisor changes the
epoch before it reads. So either it reads the promise, or this supervisor learns that no role may rely on it.

Writes are few: what changes while one is under way, or while the next one must wait, is written together. The store may
be slow or away: then nothing counts as stored, and the newest state is written when the store answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from loguru import logger

from ..model.errors import RetryLater
from .retrying_store import Durable, Store

PREFIX = "promises/"
WRITES, PERIOD_S = 8, 2.0  # so many writes in any period, of all budgets together
PATIENCE_S = 2.0  # a write that takes longer is repeated, with what is newest then


class StoredPromises:
    """See the module. All methods belong to one event loop."""

    def __init__(
        self, store: Store, durable: Durable, epoch: int, birth: str, spawn: Callable[[Coroutine[Any, Any, None]], Any]
    ) -> None:
        """`birth` names the mesh: what an earlier mesh of the same name has stored is ignored.
        `spawn` runs a coroutine."""
        self._store, self._durable, self._epoch, self._birth, self._spawn = store, durable, epoch, birth, spawn
        self._records: dict[str, dict[str, Any] | None] = {}  # by address; None: used up
        self._earlier: list[str] = []  # names of values that this supervisor's own replaces
        self._change = self._written = 0  # number of the newest change, and of the newest one that is stored
        self._is_writing = self._is_closed = False
        self._stored = asyncio.Event()  # set and replaced after every write
        self._times: deque[float] = deque(maxlen=WRITES)

    async def read(self) -> dict[str, dict[str, Any]]:
        """Return what earlier supervisors have stored, by address; wait until the store answers."""
        values = await self._durable.run(self._values, patience_s=None)
        self._earlier = [name for name, _ in values]
        for _, value in sorted(values, key=lambda named: int(named[0].removeprefix(PREFIX))):
            if value is not None and value["birth"] == self._birth:
                self._records |= value["budgets"]
        return {address: record for address, record in self._records.items() if record is not None}

    def _values(self) -> list[tuple[str, Any]]:
        return [(name, self._store.get(name)) for name in self._store.names(PREFIX)]

    async def put(self, address: str, record: dict[str, Any] | None, patience_s: float) -> bool:
        """Store the newest record of a budget; return whether it, or a newer one of it, is stored. If not, it may still
        be stored later."""
        if record is None and address not in self._records:
            return True
        self._records[address] = record
        self._change += 1
        change = self._change
        if not self._is_writing:
            self._is_writing = True
            self._spawn(self._write())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while self._written < change:
                    await self._stored.wait()
        return self._written >= change

    def close(self) -> None:
        """Write nothing more."""
        self._is_closed = True

    async def _write(self) -> None:
        """Write until everything is stored."""
        while self._written < self._change:
            if len(self._times) == WRITES:
                await asyncio.sleep(max(0.0, self._times[0] + PERIOD_S - time.monotonic()))
            if self._is_closed:
                return
            self._times.append(time.monotonic())
            change, value = self._change, {"birth": self._birth, "budgets": dict(self._records)}
            try:
                newest = await self._durable.run(self._put, value, patience_s=PATIENCE_S)
            except RetryLater:
                continue
            if newest != self._epoch:
                logger.warning("a newer supervisor has begun: promises are not stored", newest=newest)
                break  # this one will leave
            self._written = change
            stored, self._stored = self._stored, asyncio.Event()
            stored.set()
            await self._forget_earlier()
        self._is_writing = False

    def _put(self, value: dict[str, Any]) -> Any:
        self._store.put(f"{PREFIX}{self._epoch}", value)
        return self._store.get("epoch")

    async def _forget_earlier(self) -> None:
        while self._earlier:
            try:
                await self._durable.run(self._store.delete, self._earlier[-1], patience_s=PATIENCE_S)
            except RetryLater:
                return
            self._earlier.pop()
