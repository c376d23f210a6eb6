"""A book is replaced without a gap: its successor is ready before it leaves, even if something ends meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fakes.port import World
from tests.supervisor.tree.test_machine import ALL, BOOKS, grown
from venuemesh.supervisor.tree import events as m
from venuemesh.supervisor.tree.child import ChildSpec
from venuemesh.supervisor.tree.policy import Policy
from venuemesh.supervisor.tree.records import CellState, ChildState

A = "book/x/a"
ADDRESSES = tuple(spec.address for spec in BOOKS)
SPECS = {spec.address: spec for spec in ALL}


def is_served(world: World, address: str = A) -> bool:
    """Whether the routes name a living process that was ready."""
    cell = world.serving(address)
    return cell is not None and cell in world.was_ready


def begun(**changes: object) -> World:
    """A mesh whose first book is ready, with a successor that serves and is not ready yet."""
    world = grown("n1", **changes)  # type: ignore[arg-type]
    world.tell(m.RestartRequested((A,)))
    until(world, lambda: world.machine.handovers.get(A) is not None)
    world.unready.add(A)
    until(world, lambda: bool((one := world.machine.handovers.get(A)) and one.serves))
    return world


def until(world: World, reached: Callable[[], bool], seconds: float = 30.0) -> None:
    end_ns = world.now_ns + int(seconds * 1e9)
    while not reached():
        assert world.now_ns < end_ns, "it did not happen"
        world.run(0.001)


def successor(world: World) -> str:
    found = world.machine.handovers.get(A)
    assert found is not None
    assert found.cell is not None
    return found.cell


def others(world: World, address: str = A) -> list[str]:
    """The living processes of an address that the routes do not name."""
    return [
        f.name for f in world.cells.values() if f.address == address and f.alive and f.name != world.serving(address)
    ]


def adoptions(world: World) -> int:
    return sum(isinstance(effect, m.AdoptCell) and effect.spec.address == A for _, effect in world.log)


@pytest.mark.parametrize("spares", [0, 1, 2])
def test_every_book_is_served_by_a_ready_process_at_every_moment_of_a_restart(spares: int) -> None:
    world = grown("n1", spares_per_node=spares)
    before = {address: world.serving(address) for address in ADDRESSES}
    world.was_ready |= {cell for cell in before.values() if cell}
    world.tell(m.RestartRequested(ADDRESSES))
    for _ in range(20_000):
        world.run(0.001)
        assert all(is_served(world, address) for address in ADDRESSES)
    assert [world.machine.children[address].restarts for address in ADDRESSES] == [1, 1, 1]
    assert not world.machine.rolling.queue
    assert not world.machine.rolling.failed
    assert not any(others(world, address) for address in ADDRESSES)
    assert all(world.serving(address) != before[address] for address in ADDRESSES)


def test_the_first_one_stays_until_the_successor_is_ready_and_a_little_longer() -> None:
    world = begun()
    first = world.serving(A)
    world.run(30)
    assert world.serving(A) == first
    world.unready.clear()
    until(world, lambda: world.serving(A) != first)
    assert first is not None
    assert world.machine.cells[first].state is CellState.LEAVING
    world.run(0.3)
    assert world.cells[first].alive
    world.run(1.0)
    assert not world.cells[first].alive


def test_a_successor_that_is_not_ready_in_time_is_dropped() -> None:
    world = begun(ready_timeout_s=20.0)
    first = world.serving(A)
    world.run(30)
    assert world.serving(A) == first
    assert not others(world)
    assert world.machine.children[A].restarts == 0
    reason = f"restarts stopped at {A}: its successor is not ready after 20 s"
    assert world.machine.rolling.failed == {A: reason}


def test_a_successor_that_a_rate_limit_delays_is_waited_for() -> None:
    world = begun(ready_timeout_s=20.0)
    first, world.paced = world.serving(A), True
    world.run(100)
    assert world.machine.handovers.get(A) is not None
    world.unready.clear()
    until(world, lambda: world.serving(A) != first)
    assert not world.machine.rolling.failed


def test_without_a_process_for_the_successor_the_first_one_stays() -> None:
    world = grown("n1", spares_per_node=0, ready_timeout_s=20.0)
    world.no_creation = True
    first = world.serving(A)
    world.tell(m.RestartRequested(ADDRESSES))
    world.run(30)
    assert world.serving(A) == first
    reason = f"restarts stopped at {A}: no spare process waits on its node after 20 s"
    assert world.machine.rolling.failed == dict.fromkeys(ADDRESSES, reason)


@pytest.mark.parametrize("how", ["dies", "hangs", "fails to start", "is never confirmed"])
def test_a_successor_that_ends_is_dropped_and_the_first_one_stays(how: str) -> None:
    world = grown("n1")
    first = world.serving(A)
    if how == "fails to start":
        world.broken.add(A)
    elif how == "is never confirmed":
        world.deaf.add(A)
    world.tell(m.RestartRequested((A,)))
    if how in ("dies", "hangs"):
        world.unready.add(A)
        world.was_ready.add(first or "")
        until(world, lambda: bool((one := world.machine.handovers.get(A)) and one.serves))
        (world.kill if how == "dies" else world.stop)(successor(world))
    for _ in range(15_000):
        world.run(0.001)
        assert world.serving(A) == first
    assert not others(world)
    assert world.machine.children[A].restarts == 0
    assert world.machine.rolling.failed[A].startswith(f"restarts stopped at {A}: its successor ended: ")
    world.broken.clear()
    world.deaf.clear()
    world.unready.clear()
    world.tell(m.RestartRequested((A,)))
    world.run(10)
    assert world.serving(A) not in (None, first)
    assert not world.machine.rolling.failed


@pytest.mark.parametrize("how", ["dies", "hangs"])
def test_the_successor_takes_the_place_of_a_first_one_that_ends(how: str) -> None:
    world = begun()
    first, second, adopted = world.serving(A), successor(world), adoptions(world)
    assert first is not None
    (world.kill if how == "dies" else world.stop)(first)
    until(world, lambda: world.serving(A) == second)
    assert adoptions(world) == adopted
    world.unready.clear()
    world.run(10)
    assert world.serving(A) == second
    assert not world.cells[first].alive
    assert not world.machine.rolling.queue
    assert world.machine.children[A].state is ChildState.SERVING


def test_a_first_one_that_dies_before_a_process_waits_is_restarted_as_ever() -> None:
    world = grown("n1", spares_per_node=0)
    world.tell(m.RestartRequested((A,)))
    until(world, lambda: world.machine.handovers.get(A) is not None)
    first = world.serving(A)
    assert first is not None
    world.kill(first)
    world.run(10)
    assert world.serving(A) not in (None, first)
    assert not others(world)
    assert not world.machine.rolling.queue


def test_what_was_not_live_before_is_replaced_at_once() -> None:
    world = grown("n1")
    world.unready.add(A)
    world.tell(m.RestartRequested((A,)))
    world.run(5)
    assert world.machine.children[A].restarts == 1
    assert not world.machine.rolling.queue


def test_no_pair_that_was_live_is_lost_and_a_pair_that_was_not_is_not_waited_for() -> None:
    world = grown("n1")
    world.tell(m.RestartRequested((A,)))
    first = world.serving(A)
    assert first is not None
    world.reports = False
    world.tell(m.Readiness(first, False, frozenset({"A-B", "C-D"})))  # E-F is not LIVE
    until(world, lambda: bool((one := world.machine.handovers.get(A)) and one.serves))
    world.tell(m.Readiness(successor(world), False, frozenset({"A-B", "E-F"})))
    world.run(1)
    assert world.serving(A) == first
    world.tell(m.Readiness(successor(world), False, frozenset({"A-B", "C-D"})))
    assert world.serving(A) != first


def test_an_amended_book_gets_a_successor_with_the_change() -> None:
    world = begun()
    dropped = successor(world)
    amended = replace(SPECS[A], config={"n": "other"})
    world.tell(m.Amend(amended))
    world.unready.clear()
    world.run(10)
    assert not world.cells[dropped].alive
    specs = [effect.spec for _, effect in world.log if isinstance(effect, m.AdoptCell) and effect.spec.address == A]
    assert specs[-1] == amended
    assert not world.machine.rolling.queue
    assert world.machine.children[A].restarts == 1


def test_an_untracked_book_ends_with_its_successor_and_so_does_the_mesh() -> None:
    world = begun()
    world.tell(m.StopChildren((A,)))
    world.run(5)
    assert A not in world.machine.children
    assert not [f for f in world.cells.values() if f.address == A and f.alive]
    world = begun()
    world.tell(m.ShutDown())
    world.run(10)
    assert world.machine.ended
    assert world.lives == 0


def test_the_lost_node_of_a_successor_leaves_the_first_one() -> None:
    world = grown("n1", "n2")
    child = world.machine.children[A]
    other = "n2" if child.node == "n1" else "n1"
    world.tell(m.RestartRequested((A,)))
    until(world, lambda: world.machine.handovers.get(A) is not None)
    found = world.machine.handovers.get(A)
    assert found is not None
    found.node = other  # as a move has it
    world.unready.add(A)
    world.was_ready.add(child.cell or "")
    until(world, lambda: found.serves)
    world.lose(other)
    world.run(5)
    assert is_served(world)
    assert world.machine.handovers.get(A) is None


def taken_over(old: World) -> World:
    """A later supervisor that has found what lives."""
    world = World(old.settings, old.epoch + 1, old.now_ns, cells=old.cells)
    world.numbers, world.was_ready, world.unready = old.numbers, old.was_ready, old.unready
    for node in old.machine.nodes:
        world.tell(m.NodeSeen(node))
    for fake in [fake for fake in old.cells.values() if fake.alive]:
        child = old.machine.children.get(fake.address or "")
        spec = child.spec if child is not None else SPECS.get(fake.address or "")
        before = old.machine.cells.get(fake.name)
        serving = before is not None and before.state is not CellState.ADOPTING
        restarts = child.restarts if child is not None else 0
        if spec is not None or fake.address is None:
            about = (fake.name, fake.node, fake.pid, fake.pid, fake.incarnation, spec, restarts, serving)
            world.tell(m.Found(*about, answers=not fake.stopped))
    world.tell(m.RunChildren(ALL))
    return world


@pytest.mark.parametrize("after_ms", [1, 10, 30, 60, 120, 300, 700])
def test_a_later_supervisor_ends_with_one_and_kills_no_only_live_one(after_ms: int) -> None:
    old = grown("n1")
    old.was_ready.add(old.serving(A) or "")
    old.tell(m.RestartRequested((A,)))
    old.run(after_ms / 1000)
    world = taken_over(old)
    for _ in range(10_000):
        world.run(0.001)
        assert is_served(world)
    assert not others(world)
    assert world.machine.handovers.get(A) is None


def test_a_later_supervisor_drops_a_successor_that_never_gets_ready() -> None:
    old = begun(ready_timeout_s=20.0)
    first = old.serving(A)
    world = taken_over(old)
    assert world.serving(A) == first
    assert world.machine.handovers.get(A) is not None
    world.run(30)
    assert world.serving(A) == first
    assert not others(world)


DEEDS = st.lists(
    st.tuples(
        st.sampled_from(["restart", "kill", "hang", "take over", "run", "slow", "quick"]),
        st.integers(0, 30),
        st.integers(1, 1500),
    ),
    max_size=30,
)


@settings(max_examples=100, deadline=None)
@example([("restart", 0, 120), ("hang", 0, 1), ("take over", 0, 5)])
@example([("restart", 0, 100), ("hang", 0, 20)])
@given(DEEDS)
def test_a_live_book_stays_served_while_anything_but_its_process_ends(deeds: list[tuple[str, int, int]]) -> None:
    """Spares and successors end, supervisors change, restarts are requested: no book is without a ready process."""
    world = grown("n1", seconds=10.0, policy=Policy(intensity=1000))
    world.was_ready |= {cell for address in ADDRESSES if (cell := world.serving(address))}

    def watch(seconds: float) -> None:
        for _ in range(int(seconds * 200)):
            world.run(0.005)
            assert all(is_served(world, address) for address in ADDRESSES)

    for deed, which, wait_ms in deeds:
        served = {world.serving(address) for address in ADDRESSES}
        # A successor whose report is on its way takes over at any moment: its end is that of the book's process.
        served |= {one.cell for one in world.machine.handovers if one.cell in world.was_ready}
        free = [f.name for f in world.cells.values() if f.alive and (f.address is None or f.address in ADDRESSES)]
        free = sorted(name for name in free if name not in served and name in world.machine.cells)
        match deed:
            case "restart":
                world.tell(m.RestartRequested(ADDRESSES[which % 3 :]))
            case "kill" if free:
                world.kill(free[which % len(free)])
            case "hang" if free:
                world.stop(free[which % len(free)])
            case "take over":
                world = taken_over(world)
            case "slow":
                world.unready.add(ADDRESSES[which % 3])
            case "quick":
                world.unready.clear()
        watch(wait_ms / 1000)
    world.unready.clear()
    for name, fake in world.cells.items():  # agents report the processes that are still stopped
        if fake.stopped and fake.alive:
            world.soon(m.Hung(name), 1)
    watch(80.0)
    assert not any(others(world, address) for address in ADDRESSES)
    assert not world.machine.rolling.queue


def test_what_must_not_run_twice_is_stopped_first() -> None:
    manager = ChildSpec("orders/x/main", "orders")
    world = grown("n1", specs=(manager,))
    first = world.serving(manager.address)
    assert first is not None
    world.tell(m.RestartRequested((manager.address,)))
    until(world, lambda: world.serving(manager.address) != first)
    assert not world.cells[first].alive
    world.run(5)
    assert world.serving(manager.address) not in (None, first)
