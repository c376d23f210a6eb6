"""Two nodes without Ray: writers and a link on one, a mirror on the other, and a proxy between them that can fail."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.fakes.context import context_of
from venuemesh.actors.cell.pulse import PERIOD_S
from venuemesh.actors.link.role import LinkRole
from venuemesh.actors.link.settings import LinkSettings
from venuemesh.actors.node.mirror import MirrorRole
from venuemesh.actors.node.settings import MirrorSettings
from venuemesh.model.errors import RetryLater
from venuemesh.model.events import BookState, PublicTrade, Side
from venuemesh.model.time import in_ns
from venuemesh.orderbook.segment import SegmentReader, SegmentWriter
from venuemesh.orderbook.segment.directory import find_newest

ADDRESS, CHILD = "book/x/A-B", "book/x/group-1"
SIZES = {"levels": 10, "trades": 16}


class Writer:
    """The writer of a book's segment. It beats while `beats` is set."""

    def __init__(self, directory: Path, incarnation: tuple[int, int], address: str = ADDRESS, **options: Any) -> None:
        sizes = {"levels": 10, "trades": 16} | options
        self.segment = SegmentWriter(directory, address, incarnation, 2, 3, **sizes)
        self.beats = True
        self.trades = 0

    def say(self, sequence: int, state: BookState = BookState.LIVE, levels: int = 1) -> None:
        bids = np.array([[1000 - sequence - n, 7 + n] for n in range(levels)], dtype=np.int64)
        asks = bids * np.array([-1, 1]) + np.array([2010 - 2 * sequence, 0])
        self.segment.publish_levels(bids, asks, False, True, sequence, state, 1, 2, reason="")

    def trade(self, trade_id: int, missed: int = 0) -> None:
        self.trades += 1
        self.segment.trade(PublicTrade("", trade_id, 99, 3, Side.SELL, None, 5), missed)

    def end(self) -> None:
        self.beats = False
        self.segment.close()


class Proxy:
    """Forwards connections to a port; each way can be stopped, and then holds what it got."""

    def __init__(self) -> None:
        self.target = ("127.0.0.1", 0)
        self.to_link, self.to_mirror = asyncio.Event(), asyncio.Event()
        self.to_link.set()
        self.to_mirror.set()
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            onward, back = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        for source, sink, gate in ((reader, back, self.to_link), (onward, writer, self.to_mirror)):
            task = asyncio.ensure_future(self._pump(source, sink, gate))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, gate: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                await gate.wait()
                if sink.transport.is_closing():
                    return
                sink.write(data)
                await sink.drain()
        sink.close()

    def cut(self) -> None:
        """End all connections."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()


class SourceNode:
    """A node with writers and a link, behind a proxy."""

    def __init__(self, name: str, directory: Path, failures: list[BaseException], limit_s: float) -> None:
        self.name, self.directory, self._limit_ns = name, directory, in_ns(limit_s)
        directory.mkdir(mode=0o700)
        self.writers: list[Writer] = []
        self.link: LinkRole | None = None
        self.proxy = Proxy()
        self.where: dict[str, Any] = {}
        self._failures = failures
        self._port = 0

    async def open(self) -> None:
        self._port = await self.proxy.open()
        await self.start_link()

    async def start_link(self) -> None:
        context = context_of(f"link/{self.name}", segments=self.directory, fail=self._failures.append)
        self.link = LinkRole(LinkSettings(), context)
        await self.link.start()
        self.point_at(await self.link.handle("where", None))

    def point_at(self, where: Any) -> None:
        """Let mirrors find the link that says this, through the proxy."""
        self.proxy.target = ("127.0.0.1", where["port"])
        self.where = dict(where) | {"port": self._port}

    async def stop_link(self) -> None:
        link, self.link, self.where = self.link, None, {}
        if link is not None:
            await link.stop()

    def beat(self) -> None:
        for writer in self.writers:
            if writer.beats:
                writer.segment.beat()
        if self.link is not None:
            self.link.beat()

    def writer(self, incarnation: tuple[int, int] = (1, 5), address: str = ADDRESS, **options: Any) -> Writer:
        made = Writer(self.directory, incarnation, address, heartbeat_limit_ns=self._limit_ns, **options)
        self.writers.append(made)
        return made

    async def close(self) -> None:
        await self.stop_link()
        await self.proxy.close()
        for writer in self.writers:
            writer.segment.close()


class Stage:
    """See the module. The node with sources is `there`; `add_node` adds another."""

    def __init__(self, folder: Path, limit_s: float = 0.25) -> None:
        self._folder, self._limit_s = folder, limit_s
        self.here = folder / "here"
        self.here.mkdir(mode=0o700)
        self.failures: list[BaseException] = []
        self.nodes: dict[str, SourceNode] = {}
        self.asked = 0
        context = context_of(
            "mirror/m", incarnation=(1, 9), segments=self.here, ask=self.ask, fail=self.failures.append
        )
        self.mirror = MirrorRole(MirrorSettings(limit_s), context)
        self._beating: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self.there = await self.add_node("l")
        self._beating = asyncio.ensure_future(self._beat())

    async def add_node(self, name: str) -> SourceNode:
        node = SourceNode(name, self._folder / name, self.failures, self._limit_s)
        await node.open()
        self.nodes[name] = node
        return node

    async def ask(self, address: str, kind: str, body: Any = None, timeout_s: float = 5.0) -> Any:
        self.asked += 1
        node = self.nodes[address.rpartition("/")[2]]
        if not node.where:
            await asyncio.sleep(0.01)
            raise RetryLater(0.1, f"no role serves {address}")
        return node.where

    async def _beat(self) -> None:
        while True:
            for node in self.nodes.values():
                node.beat()
            self.mirror.beat()
            await asyncio.sleep(PERIOD_S)

    async def follow(self, *addresses: str, node: str = "l", sizes: Any = None) -> None:
        books = {address: dict(sizes or SIZES) for address in addresses}
        await self.mirror.handle("follow", {"sources": {CHILD: {"node": node, "books": books}} if books else {}})

    async def reader(self, address: str = ADDRESS, after: tuple[int, int] = (0, 0)) -> SegmentReader:
        """Return a reader of the mirror's newest segment, once there is one later than `after`."""

        def newest() -> SegmentReader | None:
            path = find_newest(self.here, address)
            found = None if path is None else SegmentReader(path)
            return found if found is not None and found.incarnation > after else None

        found: SegmentReader = await until(newest)
        return found

    async def close(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
        await self.mirror.stop()
        for node in self.nodes.values():
            await node.close()
        assert not self.failures, self.failures


@contextlib.asynccontextmanager
async def stage_in(folder: Path, limit_s: float = 0.25) -> AsyncIterator[Stage]:
    stage = Stage(folder, limit_s)
    await stage.open()
    try:
        yield stage
    finally:
        await stage.close()


async def until(reached: Callable[[], Any], timeout_s: float = 10.0) -> Any:
    """Return the result of `reached` once it is true."""
    async with asyncio.timeout(timeout_s):
        while True:
            if found := reached():
                return found
            await asyncio.sleep(0.002)
