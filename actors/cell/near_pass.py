"""Calls elsewhere for a process without Ray: a cell of its node makes them.

`PassedRoutes` is the side of such a process (the command line); `pass_on` is the cell's. A passed call is a msgpack
array: (None, method, arguments, timeout_s) for the supervisor, or (route, method, envelope, timeout_s) for a cell of
another node, the route as (address, plain route). Its answer is a packed reply of (outcome, value): how the cell's own
call ended.
"""

from __future__ import annotations

import enum
import os
from pathlib import Path
from typing import Any

import msgpack

from ...model.address import AGENT, Route
from .messages import BadMessage, Gone, Unreachable, pack_reply, unpack_reply
from .near import Method
from .near_client import Lost, NotSent
from .near_routes import METHODS, NearRoutes
from .pulse import SUPERVISOR

PASSED_MAX_S = 600.0  # the longest timeout of a passed call


class _Outcome(enum.IntEnum):
    """How the call of the cell ended."""

    ANSWERED = 0
    GONE = 1
    UNREACHABLE = 2
    TIMED_OUT = 3


class PassedRoutes(NearRoutes):
    """The routes of a process on a node of the mesh that is not connected to the Ray cluster."""

    async def _supervisor_elsewhere(self, method: str, arguments: tuple[Any, ...], timeout_s: float) -> Any:
        return await self._pass((None, method, arguments, timeout_s), timeout_s)

    async def _send_elsewhere(self, route: Route, method: str, packed: bytes, timeout_s: float) -> bytes:
        passed: bytes = await self._pass(((route.address, route.to_dict()), method, packed, timeout_s), timeout_s)
        return passed

    async def _pass(self, call: tuple[Any, ...], timeout_s: float) -> Any:
        """Let the agent of this node make a call, or any other cell if the agent does not answer.

        Raises:
            Gone: no cell of this node answers, or the called cell is dead.
            Unreachable, TimeoutError, and the errors of the called supervisor or cell.
        """
        content = msgpack.packb(call)
        for name in cell_sockets(self._directory):
            try:
                outcome, value = unpack_reply(await self._near.call(name, Method.PASS, content, timeout_s))
            except NotSent:
                continue
            except Lost as error:
                raise Unreachable(f"{name} ended before it answered") from error
            match outcome:
                case _Outcome.ANSWERED:
                    return value
                case _Outcome.GONE:
                    raise Gone(value)
                case _Outcome.UNREACHABLE:
                    raise Unreachable(value)
            raise TimeoutError
        raise Gone(sent=False)


def cell_sockets(directory: Path) -> list[str]:
    """Return the names of the cells' sockets in a near directory, the node agent's first."""
    try:
        names = [name for name in os.listdir(directory) if name != SUPERVISOR and not name.startswith(".")]
    except FileNotFoundError:
        return []
    return sorted(names, key=lambda name: (not name.startswith(f"{AGENT}~"), name))


async def pass_on(routes: NearRoutes, content: bytes) -> bytes:
    """Make a call for a process without Ray; return the packed reply.

    Raises: BadMessage, and the errors of the called supervisor or cell.
    """
    try:
        to, method, argument, timeout_s = msgpack.unpackb(content, strict_map_key=False)
        route = None if to is None else Route.from_dict(*to)
        wait_s = min(float(timeout_s), PASSED_MAX_S)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadMessage(f"not a call to pass on: {error}") from error
    if not isinstance(method, str) or (route is not None and method not in METHODS):
        raise BadMessage(f"not a call to pass on: method {method!r}")
    if isinstance(argument, bytes) == (route is None) or not isinstance(argument, bytes | list):
        raise BadMessage(f"not a call to pass on: {type(argument).__name__} for {method}")
    try:
        if route is None or not isinstance(argument, bytes):
            return pack_reply((_Outcome.ANSWERED, await routes.supervisor(method, *argument, timeout_s=wait_s)))
        return pack_reply((_Outcome.ANSWERED, await routes.send(route, method, argument, wait_s)))
    except Gone as gone:
        return pack_reply((_Outcome.GONE, gone.sent))
    except Unreachable as error:
        return pack_reply((_Outcome.UNREACHABLE, str(error)))
    except TimeoutError:
        return pack_reply((_Outcome.TIMED_OUT, None))
