"""Cells with sockets in the test's process or in forked processes, and callers that reach them over sockets only."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.actors.cell.toy import Nobody, Toy, nowhere
from venuemesh.actors.cell.host import Assignment, Hooks, Host, Surroundings
from venuemesh.actors.cell.messages import Gone
from venuemesh.actors.cell.near import near_directory, socket_name
from venuemesh.actors.cell.near_routes import NearRoutes
from venuemesh.actors.cell.near_server import NearServer
from venuemesh.actors.cell.role import Incarnation
from venuemesh.model.address import Route

ADDRESS = "orders/acme/main"
NODE = "0123456789ab"


def route_of(incarnation: Incarnation = (1, 1), address: str = ADDRESS, node: str = NODE) -> Route:
    return Route(address, address, f"cell-{incarnation[1]}", node, incarnation)


class NearCell:
    """A toy role behind a socket, on the loop of the caller."""

    def __init__(self, segments: Path, incarnation: Incarnation = (1, 1), user: int | None = None) -> None:
        self.toy: Toy
        around = Surroundings("m", NODE, segments, Nobody(), nowhere)
        self.host = Host("cell", around, Hooks(lambda _: None, lambda _: None, lambda *_: None), self._make)
        self._assignment = Assignment(incarnation[0], incarnation, {"address": ADDRESS, "kind": "toy", "config": {}})
        name = socket_name(ADDRESS, incarnation)
        self.server = NearServer(near_directory(segments), name, self.host.answer_call, user)

    def _make(self, assignment: Assignment, context: Any) -> Toy:
        self.toy = Toy(context)
        return self.toy

    async def start(self) -> NearCell:
        await self.server.open()
        assert await self.host.adopt(self._assignment) == {"ok": True}
        return self


class Process:
    """A forked process with a `NearCell`; SIGKILL and SIGSTOP are real."""

    def __init__(self, segments: Path, incarnation: Incarnation) -> None:
        ready, started = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                asyncio.run(_serve(segments, incarnation, started))
            finally:
                os._exit(1)
        os.close(started)
        assert os.read(ready, 1) == b"."
        os.close(ready)
        self.lives = True

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.lives = False


async def _serve(segments: Path, incarnation: Incarnation, started: int) -> None:
    cell = await NearCell(segments, incarnation).start()
    os.write(started, b".")
    await asyncio.Event().wait()
    del cell


class Routes(NearRoutes):
    """Routes that the test sets. The other way knows the cells that live: to the rest, every message is lost."""

    def __init__(self, segments: Path) -> None:
        super().__init__(NODE, segments)
        self.routes: dict[str, Route] = {}
        self.changed = asyncio.Event()
        self.elsewhere: list[tuple[Route, str]] = []
        self.sought: list[str] = []  # calls to a supervisor without a socket
        self.other_way: Callable[[Route, str, bytes], Any] | None = None

    def set(self, route: Route) -> None:
        self.routes[route.address] = route
        self.changed.set()

    async def _supervisor_elsewhere(self, method: str, arguments: tuple[Any, ...], timeout_s: float) -> Any:
        self.sought.append(method)
        raise Gone(sent=False)

    async def find(self, address: str, newer_than: Incarnation | None, timeout_s: float) -> Route | None:
        deadline = time.monotonic() + timeout_s
        while True:
            route = self.routes.get(address)
            if route is not None and (newer_than is None or route.incarnation > newer_than):
                return route
            self.changed.clear()
            try:
                await asyncio.wait_for(self.changed.wait(), max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                return None

    async def _send_elsewhere(self, route: Route, method: str, packed: bytes, timeout_s: float) -> bytes:
        self.elsewhere.append((route, method))
        if self.other_way is None:
            raise Gone(sent=False)
        answer: bytes = await self.other_way(route, method, packed)
        return answer
