"""The event loop of all asynchronous tests, as a plugin of pytest: a cell's loop on which the time limit works.

The limit raises its error in the code that runs. uvloop passes an error that is raised while it waits to its handler
and waits on, so the handler ends the test.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from venuemesh.actors.cell.loop_thread import new_loop


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Cells run on uvloop, whose handles and clock differ from those of asyncio's loop."""
    return {"a cell's loop": timed_loop}


def timed_loop() -> asyncio.AbstractEventLoop:
    loop = new_loop()
    loop.set_exception_handler(_end_at_limit)
    return loop


def _end_at_limit(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    loop.default_exception_handler(context)
    if isinstance(context.get("exception"), pytest.fail.Exception):
        for task in asyncio.all_tasks(loop):
            task.cancel("the time limit of the test")
