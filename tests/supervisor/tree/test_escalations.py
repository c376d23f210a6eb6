"""The memory of children that ended too often outlives the supervisor that recorded it."""

from __future__ import annotations

import msgpack

from tests.fakes.port import World
from venuemesh.supervisor.tree import events as m
from venuemesh.supervisor.tree.child import ChildSpec
from venuemesh.supervisor.tree.escalations import recall, remember
from venuemesh.supervisor.tree.machine import Machine
from venuemesh.supervisor.tree.policy import Policy
from venuemesh.supervisor.tree.records import ChildState
from venuemesh.supervisor.tree.settings import TreeSettings

S = 1_000_000_000
POLICY = Policy(intensity=2, period_s=10.0, backoff_s=8.0, backoff_cap_s=30.0)
BAD = ChildSpec("book/x/bad", "book")
WALL = 1_700_000_000 * S


def degraded() -> World:
    world = World(settings=TreeSettings(policy=POLICY))
    world.broken.add(BAD.address)
    world.tell(m.NodeSeen("n"))
    world.tell(m.RunChildren((BAD,)))
    world.run(2.0)
    assert world.machine.children[BAD.address].state is ChildState.DEGRADED
    return world


def kept(world: World) -> dict[str, object]:
    plain: dict[str, object] = msgpack.unpackb(msgpack.packb(remember(world.machine.children, world.now_ns, WALL)))
    return plain


def test_a_degraded_child_is_still_degraded_and_due_when_it_was() -> None:
    world = degraded()
    child = world.machine.children[BAD.address]
    assert any(isinstance(effect, m.Degraded) and effect.address == BAD.address for _, effect in world.log)
    left_ns = child.retry_ns - world.now_ns
    assert left_ns > 2 * S
    past = recall(kept(world), POLICY, 50 * S, WALL + 2 * S)  # another process, its clock elsewhere, 2 s later
    again = Machine(2, TreeSettings(policy=POLICY), lambda: "c", past)
    again.on(m.RunChildren((BAD,)), 50 * S)
    resumed = again.children[BAD.address]
    assert resumed.state is ChildState.DEGRADED
    assert resumed.restarts == child.restarts
    assert resumed.last_error == child.last_error == "told to fail"
    assert abs(resumed.retry_ns - (50 * S + left_ns - 2 * S)) < 2_000_000
    again.on(m.Tick(), resumed.retry_ns)
    assert resumed.state is ChildState.WAITING


def test_a_wall_clock_that_jumped_delays_no_longer_than_the_backoff() -> None:
    past = recall(kept(degraded()), POLICY, 0, WALL - 3600 * S)
    assert past[BAD.address].retry_ns == 30 * S


def test_one_that_was_found_serving_counts_on_until_it_has_served_for_a_period() -> None:
    plain = kept(degraded())
    found = m.Found("c1", "n", 7, 7, (1, 3), BAD, 4)
    for later_s, escalations in ((1, 1), (60, 0)):
        past = recall(plain, POLICY, 100 * S, WALL + later_s * S)
        machine = Machine(2, TreeSettings(policy=POLICY), lambda: "c", past)
        machine.on(found, 100 * S)
        child = machine.children[BAD.address]
        assert child.state is ChildState.SERVING
        assert child.history.escalations == escalations
        assert child.restarts == 4


def test_those_that_never_escalated_are_not_kept() -> None:
    world = World()
    world.tell(m.NodeSeen("n"))
    world.tell(m.RunChildren((ChildSpec("book/x/good", "book"),)))
    world.run(5.0)
    assert kept(world) == {}
