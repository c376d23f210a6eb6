"""The routes of a process: from the supervisor, and from a table that the process keeps anyway."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.actors.cell.near_cells import ADDRESS, NODE, route_of
from tests.fakes.clock import until
from venuemesh.actors.cell.messages import Gone
from venuemesh.actors.cell.near_routes import NearRoutes
from venuemesh.model.address import Route


class Watched(NearRoutes):
    """Routes that a supervisor answers with `answers`, one for each version; without one it is silent."""

    def __init__(self, segments: Path) -> None:
        super().__init__(NODE, segments)
        self.answers: asyncio.Queue[list[Route]] = asyncio.Queue()
        self.version = 0

    async def _supervisor_elsewhere(self, method: str, arguments: tuple[Any, ...], timeout_s: float) -> Any:
        routes = await self.answers.get()
        self.version += 1
        return {"version": self.version, "routes": {route.address: route.to_dict() for route in routes}}

    async def _send_elsewhere(self, route: Route, method: str, packed: bytes, timeout_s: float) -> bytes:
        raise Gone(sent=False)


def known(route: Route | None) -> Any:
    """A table with one route."""
    return lambda address: route if route is not None and address == route.address else None


async def test_a_first_message_has_a_route_although_the_supervisor_is_silent(tmp_path: Path) -> None:
    routes, route = Watched(tmp_path), route_of((1, 1))
    assert await routes.find(ADDRESS, None, 0.0) is None
    routes.table = known(route)
    assert await routes.find(ADDRESS, None, 0.0) == route
    assert await routes.find(ADDRESS, route.incarnation, 0.0) is None, "it has ended: a later one is needed"


async def test_an_answer_of_the_supervisor_replaces_the_table(tmp_path: Path) -> None:
    routes = Watched(tmp_path)
    routes.table = known(route_of((1, 1)))
    finding = asyncio.ensure_future(routes.find(ADDRESS, (1, 1), 30.0))
    await asyncio.sleep(0)
    routes.answers.put_nowait([route_of((1, 2))])
    assert await finding == route_of((1, 2))
    assert await routes.find(ADDRESS, None, 0.0) == route_of((1, 2))
    routes.answers.put_nowait([])
    await until(lambda: ADDRESS not in routes._known)
    assert await routes.find(ADDRESS, None, 0.0) is None, "the supervisor knows that no role serves it"
