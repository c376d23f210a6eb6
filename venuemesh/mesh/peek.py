"""Reads the route table of a mesh on this host once, without Ray, for the completion of a shell.

The shell waits meanwhile, so a mesh that does not answer at once counts as absent.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from ..actors.cell.messages import Gone, Unreachable
from ..actors.cell.near_pass import PassedRoutes
from ..model.errors import MeshError
from .session import near_directories

PEEK_S = 1.0


def peek(mesh: str) -> dict[str, Any] | None:
    """Return the route table of a mesh on this host; None if none answers."""
    for directory in near_directories(mesh):
        table = asyncio.run(_ask(directory))
        if table is not None:
            return table
    return None


async def _ask(directory: Path) -> dict[str, Any] | None:
    routes = PassedRoutes(directory.name, directory)
    try:
        async with asyncio.timeout(PEEK_S):
            table: dict[str, Any] = await routes.supervisor("routes", -1, 0.0, timeout_s=PEEK_S)
            return table
    except (TimeoutError, MeshError, Gone, Unreachable):
        return None
    finally:
        routes.close()
