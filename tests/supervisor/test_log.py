"""What the supervisor logs of a cell that does not end."""

from __future__ import annotations

from typing import Any

import pytest
from loguru import logger

from tests.fakes.port import World
from tests.supervisor.tree.test_machine import ALL
from venuemesh.model.address import agent_address
from venuemesh.supervisor.log import EventLog
from venuemesh.supervisor.tree import events as m

BOOK = "book/x/a"


class LoggedWorld(World):
    """A world whose supervisor logs; Ray reaches no process that is stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.events = EventLog()

    def tell(self, event: m.Event) -> None:
        self.events.event(event, self.machine, self.now_ns)
        super().tell(event)

    def _perform(self, effect: m.Effect) -> None:
        self.events.effect(effect, self.machine, self.now_ns)
        if isinstance(effect, m.Discard) and self.cells[effect.cell].stopped:
            self.events.not_discarded(effect.cell, TimeoutError())
        super()._perform(effect)


def grown() -> tuple[LoggedWorld, str]:
    """A mesh with a book that nothing can end, and the name of its cell."""
    world = LoggedWorld()
    world.tell(m.NodeSeen("n1", {}, "alpha"))
    world.tell(m.RunChildren(ALL))
    world.run(20.0)
    agent, cell = world.serving(agent_address("n1")), world.serving(BOOK)
    assert agent is not None
    assert cell is not None
    for one in (agent, cell):
        world.cells[one].stopped = True
    return world, cell


@pytest.fixture
def warnings() -> Any:
    found: list[dict[str, Any]] = []
    sink = logger.add(lambda message: found.append(message.record["extra"]), level="WARNING")  # type: ignore[attr-defined]
    yield found
    logger.remove(sink)


def test_a_cell_that_does_not_end_is_logged_at_growing_intervals_with_advice(warnings: list[dict[str, Any]]) -> None:
    world, cell = grown()
    world.tell(m.StopChildren((BOOK,)))
    world.run(10.0)
    first = len([line for line in warnings if line.get("cell") == cell])
    assert first == 4  # it is killed, was not killed, is discarded, was not discarded
    attempts = sum(isinstance(effect, m.KillCell) and effect.cell == cell for _, effect in world.log)
    warnings.clear()
    world.run(600.0)
    repeated = [line for line in warnings if line.get("cell") == cell]
    assert sum(isinstance(e, m.KillCell) and e.cell == cell for _, e in world.log) > attempts + 200
    assert [round(line["for_s"], -1) for line in repeated] == [10, 30, 70, 150, 310]
    assert {(line["address"], line["host"], line["pid"]) for line in repeated} == {
        (BOOK, "alpha", world.cells[cell].pid)
    }
    assert all("kill -9" in line["advice"] for line in repeated)


def test_the_next_cell_that_does_not_end_is_logged_from_its_first_attempt(warnings: list[dict[str, Any]]) -> None:
    world, cell = grown()
    world.tell(m.StopChildren((BOOK,)))
    world.run(60.0)
    assert [line for line in warnings if "advice" in line]
    world.cells[cell].stopped = False
    world.run(10.0)
    assert cell not in world.machine.cells
    second = world.serving("book/x/b")
    assert second is not None
    world.cells[second].stopped = True
    warnings.clear()
    world.tell(m.Hung(second))
    world.run(1.0)
    assert [line for line in warnings if line.get("cell") == second and "agent" in line]
    assert not [line for line in warnings if "advice" in line]
