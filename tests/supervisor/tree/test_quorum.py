"""Whether the supervisor hears enough of its cluster, and what the machine decides while it does not."""

from __future__ import annotations

import pytest

from tests.fakes.port import World
from tests.supervisor.tree.test_machine import grown
from venuemesh.model.address import agent_address
from venuemesh.supervisor.tree import events as m
from venuemesh.supervisor.tree.quorum import Quorum
from venuemesh.supervisor.tree.records import ChildState

S = 1_000_000_000
DEEDS = (m.KillCell, m.Discard, m.Create, m.AdoptCell, m.StopCell)


def heard_at(*nodes: str, gcs: bool = True) -> Quorum:
    """Five nodes were seen at 0; these answer at 10 s, and so does the GCS."""
    quorum = Quorum("own", S)
    quorum.hear_gcs(["own", "a", "b", "c", "d"], 0)
    for node in nodes:
        quorum.hear(node, 10 * S)
    if gcs:
        quorum.hear_gcs(["own", "a", "b", "c", "d"], 10 * S)
    return quorum


@pytest.mark.parametrize(
    ("cluster", "heard", "gcs", "holds"),
    [
        ("", "", False, True),  # one host: no network lies between
        ("a", "a", False, True),
        ("a", "", True, True),  # half, and the GCS
        ("a", "", False, False),
        ("ab", "a", False, True),
        ("ab", "", True, False),  # the GCS alone is no majority
        ("abc", "a", True, True),
        ("abc", "a", False, False),
        ("abcd", "ab", False, True),
        ("abcd", "a", True, False),
    ],
)
def test_more_than_half_or_half_and_the_gcs(cluster: str, heard: str, gcs: bool, holds: bool) -> None:
    assert heard_at(*heard, gcs=gcs).holds(["own", *cluster], 10 * S + S // 2) is holds


def test_a_silent_node_is_shown_after_two_seconds_and_decided_about_later() -> None:
    quorum = heard_at("a", "b", "c", "d")
    assert quorum.unreachable(["own", "a"], 12 * S) == {}
    assert quorum.unreachable(["own", "a"], 12 * S + S // 2) == {"a": 2.5}


def test_a_new_node_counts_from_its_first_sight_and_a_node_without_an_agent_stays_as_it_was() -> None:
    quorum = heard_at("a")
    assert quorum.silent(["new"], 99 * S) == []
    quorum.hear_gcs(["own", "a", "b", "new"], 11 * S)
    assert quorum.silent(["own", "a", "b", "new"], 11 * S) == ["b"]
    quorum.keep("a", 11 * S)
    quorum.keep("b", 11 * S)
    assert quorum.silent(["own", "a", "b", "new"], 12 * S) == ["b"]


def deeds(world: World) -> list[object]:
    return [effect for _, effect in world.log if isinstance(effect, DEEDS)]


def test_an_isolated_supervisor_decides_nothing_and_continues_when_it_has_rejoined() -> None:
    world = grown("n1", "n2")
    agent, book, other = (world.serving(a) for a in (agent_address("n2"), "book/x/a", "book/x/b"))
    assert agent is not None
    assert book is not None
    assert other is not None
    world.tell(m.Isolated())
    before = len(deeds(world))
    for cell in (agent, book):
        world.tell(m.Hung(cell))
    world.kill(other)
    world.run(60)
    assert deeds(world)[before:] == []
    assert world.machine.children["book/x/a"].state is ChildState.SERVING
    assert world.machine.children["book/x/b"].state is ChildState.WAITING  # it is known to be dead
    world.tell(m.Rejoined())
    world.run(0.1)
    assert world.serving("book/x/b"), "its successor did not start at once"
    assert world.serving(agent_address("n2")) == agent, "a verdict of the isolated time was kept"
    world.tell(m.Hung(book))
    world.run(1)
    assert world.serving("book/x/a") not in (None, book)


def test_time_in_isolation_counts_against_no_cell() -> None:
    world = grown("n1", adopt_timeout_s=10.0)
    world.deaf.add("book/x/a")
    cell = world.serving("book/x/a")
    assert cell is not None
    world.kill(cell)
    world.run(1)  # one second of the ten has passed
    adopting = world.machine.children["book/x/a"].cell
    world.tell(m.Isolated())
    world.run(600)
    world.tell(m.Rejoined())
    world.run(8)
    assert world.machine.children["book/x/a"].cell == adopting
    world.run(2)
    assert world.machine.children["book/x/a"].cell != adopting


def test_a_cell_that_failed_in_isolation_is_ended_by_its_successor() -> None:
    world = grown("n1")
    cell = world.serving("book/x/a")
    assert cell is not None
    world.tell(m.Isolated())
    before = len(deeds(world))
    world.tell(m.Failed(cell, "its role failed"))
    world.run(30)
    assert deeds(world)[before:] == []
    world.tell(m.Rejoined())
    world.run(10)
    assert not world.cells[cell].alive
    assert world.serving("book/x/a")


def test_a_shutdown_continues_in_isolation() -> None:
    world = grown("n1")
    world.tell(m.Isolated())
    world.tell(m.ShutDown())
    world.run(30)
    assert world.machine.ended
