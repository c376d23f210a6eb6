"""The baseline: the same book role in a plain Ray actor, read by Ray calls and restarted by Ray.

It opens the same connection, decodes with the same codec and keeps the same book as a cell of the mesh. Only what the
mesh adds is missing: its supervisor, its spares, and readers of shared memory.
"""

from __future__ import annotations

import asyncio
import os
import time
import urllib.request
from typing import Any

import ray

from venuemesh.actors.book.role import BookRole
from venuemesh.actors.book.settings import BookSettings
from venuemesh.actors.cell.pulse import PERIOD_S
from venuemesh.actors.cell.role import Context
from venuemesh.connectors.settings import ConnectorSettings
from venuemesh.model.events import BookState
from venuemesh.orderbook.segment import SegmentReader, Top
from venuemesh.orderbook.segment.directory import segment_directory, segment_name
from venuemesh.orderbook.segment.waiter import Waiter

from .harness import EXCHANGE

MESH = "bench-ray-book"


def settings_of(urls: dict[str, str], pair: str) -> BookSettings:
    """Return the settings of a book of `pair`, as the server lists it."""
    connector = ConnectorSettings(EXCHANGE, rest=urls["rest"], ws=urls["ws"])
    codec = connector.market_codec()
    with urllib.request.urlopen(codec.instruments_request().url, timeout=10) as answer:
        found = codec.instruments(answer.read())
    return BookSettings(connector, tuple(instrument for instrument in found if instrument.name == pair))


async def _granted(address: str, kind: str, body: Any = None, timeout_s: float = 5.0) -> Any:
    """Answer like a limits role without shortage, because the baseline shares its egress with no other process."""
    return {"lease": 0} if kind == "acquire" else None


def _failed(error: BaseException) -> None:
    print(f"ray_book: {error!r}", flush=True)
    os._exit(70)


class _RayBook:
    """One pair."""

    def __init__(self, settings: BookSettings) -> None:
        self._address = f"book/{EXCHANGE}/{settings.instruments[0].name}"
        self._node = ray.get_runtime_context().get_node_id()
        incarnation = (time.time_ns() // 1_000_000, os.getpid())
        context = Context.alone(
            MESH,
            self._address,
            ask=_granted,
            fail=_failed,
            segments=segment_directory(MESH, self._node),
            node=self._node,
            incarnation=incarnation,
        )
        self._role = BookRole(settings, context)
        self._reader: SegmentReader
        self._incarnation = incarnation
        self._started = asyncio.ensure_future(self._start())
        self._beating = asyncio.ensure_future(self._beat())

    async def _start(self) -> None:
        await self._role.start()
        self._reader = SegmentReader(
            segment_directory(MESH, self._node) / segment_name(self._address, self._incarnation)
        )

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(PERIOD_S)
            self._role.beat()

    async def pid(self) -> int:
        await self._started
        return os.getpid()

    async def wait_live(self) -> int:
        """Return the process id when the book is LIVE."""
        seen = None
        while (await self._changed(seen)).state is not BookState.LIVE:
            seen = self._reader.version
        return os.getpid()

    async def top(self) -> tuple[Any, ...]:
        """Best bid and ask now."""
        top = self._reader.top()
        return top.bid_raw, top.ask_raw

    async def next(self, seen: int | None) -> tuple[Any, ...]:
        """Long poll: return (new position, ts_recv_ns, best bid, best ask) when the book has changed since `seen`."""
        top = await self._changed(seen)
        return top.version, top.ts_recv_ns, top.bid_raw, top.ask_raw

    async def _changed(self, seen: int | None) -> Top:
        await self._started
        while seen is not None and self._reader.version <= seen:
            await Waiter.shared().change(self._reader, seen, 10.0, self._reader.alive)
        return self._reader.top(stale_ok=True)

    async def close(self) -> None:
        self._beating.cancel()
        await self._role.stop()


RayBook: Any = ray.remote(num_cpus=0)(_RayBook)
