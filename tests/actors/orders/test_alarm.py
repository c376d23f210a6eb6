"""The alarm of a manager's next tick, on the loop of a cell."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from venuemesh.actors.cell.loop_thread import new_loop
from venuemesh.actors.orders.shell import ManagerShell


class Machine:
    """Is due at `wake_ns`; a tick at that time or later moves it an hour on."""

    def __init__(self, wake_ns: int) -> None:
        self.wake_ns = wake_ns
        self.ticks = 0

    def tick(self, now: Any) -> list[Any]:
        self.ticks += 1
        self.wake_ns += 3600 * 10**9
        return []


def shell_of(machine: Machine) -> ManagerShell:
    context = SimpleNamespace(monotonic_ns=time.monotonic_ns, time_ns=time.time_ns, alive=lambda: None, fail=None)
    settings = SimpleNamespace(machine=SimpleNamespace(exchange="acme", account="main"))
    shell = ManagerShell(settings, context, str)  # type: ignore[arg-type]
    shell.machine = machine  # type: ignore[assignment]
    shell.gateway = SimpleNamespace(clock=SimpleNamespace(earliest_ns=time.time_ns))  # type: ignore[assignment]
    shell._performer = SimpleNamespace(perform=lambda effects: None)  # type: ignore[assignment]
    return shell


@pytest.mark.parametrize("late_ns", [5_000_000_000, 0, -100_000], ids=["late", "due", "almost due"])
def test_inputs_may_come_while_a_tick_is_due(late_ns: int) -> None:
    machine = Machine(time.monotonic_ns() - late_ns)
    shell = shell_of(machine)

    async def feed() -> None:
        shell._do([])
        shell._do([])  # before the loop has called the tick
        async with asyncio.timeout(10.0):
            while not machine.ticks:  # noqa: ASYNC110 - the loop calls it at its next turn
                await asyncio.sleep(0.001)
        shell._do([])

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(feed())
    assert machine.ticks == 1
