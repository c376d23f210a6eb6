"""Restarts in turn of what must not run twice: each waits for a spare before the stop, and for its successor to be
ready after it. Books are in `test_handover`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.fakes.port import World
from tests.fakes.settings import exchange_settings
from tests.supervisor.tree.test_machine import ALL, BOOKS
from tests.supervisor.tree.test_machine import grown as machine_grown
from venuemesh.supervisor.tree import events as m
from venuemesh.supervisor.tree.child import ChildSpec, Tier
from venuemesh.supervisor.tree.duties import is_ready
from venuemesh.supervisor.tree.records import CellState

STREAMS = tuple(ChildSpec(f"stream/x/{n}", "stream", {"n": n}, group="x", tier=Tier.STREAM) for n in "abc")
ADDRESSES = tuple(spec.address for spec in STREAMS)
FIRST, SECOND, _ = ADDRESSES


def grown(*nodes: str, **changes: object) -> World:
    """A mesh of three children that must not run twice."""
    return machine_grown(*nodes, specs=STREAMS, **changes)  # type: ignore[arg-type]


def restarts(world: World) -> list[int]:
    return [world.machine.children[address].restarts for address in ADDRESSES]


def until_stopped(world: World, address: str) -> None:
    while world.serving(address):
        world.run(0.001)


def test_the_next_is_stopped_only_when_the_one_before_is_ready_again() -> None:
    world = grown("n1")
    world.tell(m.RestartRequested(ADDRESSES))
    until_stopped(world, FIRST)
    world.unready.add(FIRST)
    world.run(30)
    assert restarts(world) == [1, 0, 0]
    world.unready.clear()
    world.run(30)
    assert restarts(world) == [1, 1, 1]


def test_an_upgrade_replaces_every_process_by_one_that_started_later() -> None:
    world = machine_grown("n1", "n2", specs=(*ALL, *STREAMS))
    addresses = [*world.machine.children]
    before = set(world.cells)
    books = [spec.address for spec in BOOKS]
    world.was_ready |= {cell for address in books if (cell := world.serving(address))}
    world.tell(m.UpgradeRequested())
    while world.machine.rolling.queue:
        world.run(0.005)
        assert all(world.serving(book) in world.was_ready for book in books), "a book was without a ready process"
    world.run(5)
    assert all(world.serving(address) not in (None, *before) for address in addresses)
    assert not any(world.cells[cell].alive for cell in before)
    assert not world.machine.rolling.failed


def test_a_process_that_was_being_created_before_an_upgrade_is_not_used() -> None:
    world = machine_grown("n1", specs=STREAMS)
    world.kill(world.serving(FIRST) or "")
    world.run(0.7)  # a spare took its place; another one is being created
    (early,) = [cell.name for cell in world.machine.cells.values() if cell.state is CellState.CREATING]
    world.tell(m.UpgradeRequested())
    world.run(60)
    assert not world.cells[early].alive
    assert all(world.serving(address) for address in ADDRESSES)


def test_nothing_is_stopped_without_a_spare_on_its_node() -> None:
    world = grown("n1", spares_per_node=1, ready_timeout_s=60.0)
    world.no_creation = True
    spare = next(cell.name for cell in world.machine.cells.values() if cell.address is None)
    world.kill(spare)
    world.run(1)
    world.tell(m.RestartRequested(ADDRESSES))
    world.run(30)
    assert restarts(world) == [0, 0, 0]
    assert all(world.serving(address) for address in ADDRESSES)
    world.no_creation = False
    world.run(30)
    assert restarts(world) == [1, 1, 1]


def test_a_successor_starts_at_once_in_every_restart() -> None:
    world = grown("n1", spares_per_node=1)
    world.tell(m.RestartRequested(ADDRESSES))
    away = dict.fromkeys(ADDRESSES, 0)
    for _ in range(3000):
        world.run(0.01)
        for address in ADDRESSES:
            away[address] += world.serving(address) is None
    assert restarts(world) == [1, 1, 1]
    assert max(away.values()) <= 5  # hundredths of a second: to stop, and to adopt a process that waits


def test_restarts_end_where_one_does_not_become_ready() -> None:
    world = grown("n1", ready_timeout_s=20.0)
    world.tell(m.RestartRequested(ADDRESSES))
    until_stopped(world, FIRST)
    world.unready.add(FIRST)
    world.run(30)
    assert not world.machine.rolling.queue
    assert restarts(world) == [1, 0, 0]
    reason = f"restarts stopped at {FIRST}: it is not ready again after 20 s"
    assert world.machine.rolling.failed == dict.fromkeys(ADDRESSES, reason)
    world.tell(m.RestartRequested((SECOND,)))
    world.run(10)
    assert restarts(world) == [1, 1, 0]
    assert SECOND not in world.machine.rolling.failed


def test_what_was_not_ready_before_is_not_waited_for() -> None:
    world = grown("n1")
    world.unready.add(FIRST)
    world.tell(m.RestartRequested(ADDRESSES))
    world.run(10)
    assert restarts(world) == [1, 1, 1]


def test_a_mesh_without_spares_restarts_all_the_same() -> None:
    world = grown("n1", spares_per_node=0)
    world.tell(m.RestartRequested(ADDRESSES))
    world.run(30)
    assert restarts(world) == [1, 1, 1]


def test_a_child_that_is_no_longer_tracked_leaves_the_queue() -> None:
    world = grown("n1")
    world.unready.update(ADDRESSES)
    world.tell(m.RestartRequested(ADDRESSES))
    world.tell(m.StopChildren((FIRST,)))
    world.run(10)
    assert not world.machine.rolling.queue
    assert [world.machine.children[address].restarts for address in ADDRESSES[1:]] == [1, 1]


BOOK = ChildSpec("book/x/A-B", "book", exchange_settings("x").book)


@pytest.mark.parametrize(
    ("spec", "status", "ready"),
    [
        (BOOK, {"pairs": {"A-B": {"state": "LIVE"}, "C-D": {"state": "HALTED"}}}, True),
        (BOOK, {"pairs": {"A-B": {"state": "LIVE"}, "C-D": {"state": "SYNCING"}}}, False),
        (BOOK, None, False),
        (BOOK, {"state": "SPARE"}, False),
        (replace(BOOK, config=None, tier=Tier.ORDERS), {"state": "RECONCILING", "ready": False}, False),
        (replace(BOOK, config=None, tier=Tier.ORDERS), {"state": "PAUSED", "ready": True}, True),
        (replace(BOOK, config=None, tier=Tier.STREAM), {"state": "CONNECTING"}, False),
        (replace(BOOK, config=None, tier=Tier.STREAM), {"state": "LIVE"}, True),
        (replace(BOOK, config=None, tier=Tier.MIRROR), {"state": "SERVING", "books": {"a": "SILENT"}}, False),
        (replace(BOOK, config=None, tier=Tier.MIRROR), {"state": "SERVING", "books": {"a": "LIVE"}}, True),
        (replace(BOOK, config=None, tier=Tier.LIMITS), {"state": "SERVING"}, True),
    ],
)
def test_when_a_role_is_ready(spec: ChildSpec, status: dict[str, object] | None, ready: bool) -> None:
    assert is_ready(spec, status) is ready
