"""What every caller of Ray here shares: names, titles, a call with a time limit."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import ray

SUPERVISOR = "supervisor"
WATCH_S = 10.0


def namespace(mesh: str) -> str:
    return f"venuemesh-{mesh}"


def own_title(title: str) -> None:
    """Title the process, and keep Ray from renaming it at each call."""
    ray._raylet.setproctitle(title)  # type: ignore[attr-defined]
    if hasattr(ray._private.worker, "_changeproctitle"):
        ray._private.worker._changeproctitle = lambda *_: contextlib.nullcontext()  # type: ignore[assignment]


async def answered(ref: Any, timeout_s: float) -> Any:
    """Await a Ray call for at most `timeout_s`; the call itself goes on. Raises TimeoutError."""
    future = asyncio.wrap_future(ref.future())
    future.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be left to look at it
    await asyncio.wait({future}, timeout=timeout_s)
    if not future.done():
        raise TimeoutError
    return future.result()
