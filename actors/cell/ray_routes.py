"""Routes over Ray: `NearRoutes` with Ray calls to other nodes, and where a socket is gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...model.address import Route
from .messages import Gone, Unreachable
from .near_routes import NearRoutes
from .pulse import SUPERVISOR
from .ray_calls import call, find


class RayRoutes(NearRoutes):
    """The routes of a process that is connected to a Ray cluster."""

    def __init__(self, mesh: str, node: str, segments: Path) -> None:
        super().__init__(node, segments)
        self._mesh = mesh
        self._handles: dict[str, Any] = {}

    async def _supervisor_elsewhere(self, method: str, arguments: tuple[Any, ...], timeout_s: float) -> Any:
        return await self._call(SUPERVISOR, method, *arguments, timeout_s=timeout_s, away=(Gone, Unreachable))

    async def _send_elsewhere(self, route: Route, method: str, packed: bytes, timeout_s: float) -> bytes:
        answer: bytes = await self._call(route.cell, method, packed, timeout_s=timeout_s, away=(Gone,))
        return answer

    async def _call(
        self, name: str, method: str, *arguments: Any, timeout_s: float, away: tuple[type[Exception], ...]
    ) -> Any:
        """Call an actor by its name; forget its handle after one of the errors `away`."""
        handle = self._handles.get(name)
        if handle is None:
            handle = self._handles[name] = await find(name, self._mesh)
        try:
            return await call(handle, method, *arguments, timeout_s=timeout_s)
        except away:
            self._handles.pop(name, None)
            raise
