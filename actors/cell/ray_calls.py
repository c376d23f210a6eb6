"""The shared code of all callers of Ray: names, process titles, and calls with a few typed errors.

This module maps the errors of Ray for a call to an actor:

    Gone             the actor is dead, or no actor has that name
    Unreachable      the actor, its node or the GCS cannot be reached at the moment; the call may have been executed
    MethodFailed     an `Unreachable`: the method raised an error that no caller expects; the cell is ending
    MeshError        an error of the method itself
    TimeoutError     no answer in time
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any, TypeVar

import ray
from ray import exceptions as ray_errors

from ...model.errors import MeshError
from ...model.shown import whole
from .messages import Gone, Unreachable

T = TypeVar("T")
LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")


def namespace(mesh: str) -> str:
    return f"venuemesh-{mesh}"


def cluster_name() -> str:
    """Name the cluster of this process, the same on all its nodes and no other: the address of its GCS."""
    host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
    return f"{socket.gethostname() if host in LOOPBACK else host}:{port}"


def own_host() -> str:
    """Return the address by which the other nodes of the cluster reach this node."""
    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return address


def own_title(title: str) -> None:
    """Set the title of the process, and keep Ray from changing it at each call."""
    ray._raylet.setproctitle(title)  # type: ignore[attr-defined]
    if hasattr(ray._private.worker, "_changeproctitle"):
        ray._private.worker._changeproctitle = lambda *_: contextlib.nullcontext()  # type: ignore[assignment]


AWAY = (ray_errors.RayError, OSError, RuntimeError)  # errors of Ray when the GCS, a node or a worker is away
_DEAD = (  # the process of the actor has ended or never existed
    ray_errors.ActorDiedError,
    ray_errors.ActorPlacementGroupRemoved,
    ray_errors.ActorUnschedulableError,
    ray_errors.AsyncioActorExit,
    ray_errors.NodeDiedError,
    ray_errors.OutOfMemoryError,
    ray_errors.RuntimeEnvSetupError,
    ray_errors.WorkerCrashedError,
)


class MethodFailed(Unreachable):
    """The method of an actor raised an error that no caller expects; `__cause__` is that error."""


def call_error(error: BaseException) -> Exception:
    """Return the typed error of a call that ended with an error of Ray."""
    if isinstance(error, ray_errors.RayTaskError):
        cause = error.cause
        if isinstance(cause, MeshError):
            return cause
        failed = MethodFailed(whole(str(cause)))
        failed.__cause__ = cause if isinstance(cause, BaseException) else error
        return failed
    if isinstance(error, ValueError):  # Ray does not know the name or the handle
        return Gone(sent=False)
    if isinstance(error, _DEAD) or type(error) is ray_errors.RayActorError:
        return Gone()
    return Unreachable(whole(f"{type(error).__name__}: {error}"))


async def call(handle: Any, method: str, *arguments: Any, timeout_s: float | None = None) -> Any:
    """Call a method of an actor and return its result. After the timeout the call itself continues.

    Raises: see the module.
    """
    try:
        future = asyncio.wrap_future(getattr(handle, method).remote(*arguments).future())
        # Retrieve the error even if no task awaits it
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait({future}, timeout=timeout_s)
        if not future.done():
            raise TimeoutError
        return future.result()
    except (ray_errors.RayError, ValueError) as error:
        typed = call_error(error)
        raise typed from typed.__cause__ or error


async def find(name: str, mesh: str) -> Any:
    """Return the handle of an actor of a mesh by its name. Raises Gone (no such actor), Unreachable."""
    try:
        return await asyncio.to_thread(ray.get_actor, name, namespace(mesh))
    except ValueError as error:
        raise Gone(sent=False) from error
    except AWAY as error:
        raise Unreachable(whole(str(error))) from error


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Run a function of Ray that may block on the GCS. Raises Unreachable; errors that are not Ray's stay unchanged."""
    try:
        return await asyncio.to_thread(function, *arguments)
    except ValueError:
        raise
    except AWAY as error:
        raise Unreachable(whole(str(error))) from error
