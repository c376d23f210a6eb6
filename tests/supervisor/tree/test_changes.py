"""A changed configuration reaches books that serve: their readers see no gap."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.port import World
from tests.fakes.settings import exchange_settings
from tests.supervisor.tree.test_handover import until
from tests.supervisor.tree.test_suspicion import freeze, thaw
from venuemesh.model.address import replica_of
from venuemesh.model.instrument import Instrument
from venuemesh.supervisor.status import describe
from venuemesh.supervisor.tree import events as m
from venuemesh.supervisor.tree.desired import Desired
from venuemesh.supervisor.tree.policy import Policy
from venuemesh.supervisor.tree.records import CellState
from venuemesh.supervisor.tree.settings import ExchangeSettings, MeshSettings, TreeSettings

PAIRS = ("A-B", "C-D", "E-F")
BOOKS = tuple(f"book/x/{pair}" for pair in PAIRS)
A, COPY = BOOKS[0], replica_of(BOOKS[0])
SINGLE = exchange_settings("x", pairs=("*",))
DOUBLE = replace(SINGLE, redundancy=2)
DEEPER = replace(SINGLE, book=replace(SINGLE.book, levels=300))
LISTED = [Instrument("x", name, name, *name.split("-"), 2, 5).to_dict() for name in PAIRS]

RESCALED = [Instrument("x", name, name, *name.split("-"), 4, 5).to_dict() for name in PAIRS]


def configure(world: World, exchange: ExchangeSettings, listed: list[dict[str, Any]] = LISTED) -> None:
    """Apply a configuration in the order of the shell."""
    desired = Desired(MeshSettings("m", {"x": exchange}))
    desired.listed("x", listed)
    world.tell(m.RunChildren(tuple(desired.first_specs())))
    running = {address: child.spec for address, child in world.machine.children.items() if child.wanted}
    todo = desired.books("x", running)
    for spec in todo.amend:
        world.tell(m.Amend(spec))
    if todo.run:
        world.tell(m.RunChildren(todo.run))
    if todo.end:
        world.tell(m.StopChildren(todo.end))


def grown(exchange: ExchangeSettings, *nodes: str, **changes: object) -> World:
    """A mesh whose books serve and are ready."""
    world = World(settings=TreeSettings(**changes))  # type: ignore[arg-type]
    for node in nodes:
        world.tell(m.NodeSeen(node, {"zone": node}))
    configure(world, exchange)
    world.run(30.0)
    world.was_ready |= {cell for address in copies(world) if (cell := world.serving(address)) is not None}
    return world


def copies(world: World) -> list[str]:
    return [address for address, child in world.machine.children.items() if child.spec.overlaps]


def is_readable(world: World, address: str = A) -> bool:
    """Whether a process of the book or of its replica, which was ready, lives, and the route of the book names one."""
    route = world.machine.routes.get(address)
    own = (address, replica_of(address))
    good = {cell.name for cell in world.cells.values() if cell.address in own and cell.alive and not cell.stopped}
    return route is not None and route.cell in good and bool(good & world.was_ready)


def without_gap(world: World, seconds: float) -> None:
    for _ in range(int(seconds * 200)):
        world.run(0.005)
        assert all(is_readable(world, address) for address in BOOKS)


def why(world: World, address: str) -> str | None:
    statuses = {one: {"error": None} for one in world.machine.children}
    rows = describe(world.machine, {}, statuses, {}, world.now_ns)["children"]
    found: str | None = next(row["why"] for row in rows if row["address"] == address)
    return found


@pytest.mark.parametrize("spares", [0, 2])
@pytest.mark.parametrize(
    ("before", "after"), [(DOUBLE, SINGLE), (SINGLE, DOUBLE), (SINGLE, DEEPER), (DOUBLE, replace(DEEPER, redundancy=2))]
)
def test_readers_see_no_gap_while_books_get_other_settings(
    before: ExchangeSettings, after: ExchangeSettings, spares: int
) -> None:
    world = grown(before, "n1", "n2", spares_per_node=spares)
    single = {address: world.serving(address) for address in ("limits/x/default", "catalog/x")}
    configure(world, after)
    without_gap(world, 20.0)
    assert {address: world.serving(address) for address in single} == single
    machine = world.machine
    expected = [*BOOKS, *map(replica_of, BOOKS)] if after.redundancy == 2 else [*BOOKS]
    assert sorted(copies(world)) == sorted(expected)
    started = {e.cell: e.spec.config for _, e in world.log if isinstance(e, m.AdoptCell)}
    for address in expected:
        cell = world.serving(address)
        assert cell is not None
        assert (started[cell].redundant, started[cell].levels) == (after.redundancy == 2, after.book.levels)
    assert not machine.earlier
    assert not machine.retiring
    assert not [cell for cell in machine.cells.values() if cell.state is CellState.LEAVING]
    alive = [cell.address for cell in world.cells.values() if cell.alive and cell.address in (*BOOKS, *expected)]
    assert sorted(alive) == sorted(expected)


def test_the_replica_that_stands_in_stays_until_the_book_is_ready() -> None:
    world = grown(DOUBLE, "n1", "n2")
    node = world.machine.children[A].node
    assert node is not None
    world.lose(node)
    world.run(10.0)
    stand_in = world.machine.routes.get(A)
    assert stand_in is not None
    assert stand_in.child == COPY
    world.was_ready.add(stand_in.cell)
    world.unready.add(A)
    configure(world, SINGLE)
    for _ in range(2000):
        world.run(0.005)
        assert is_readable(world)
    assert world.machine.children[A].cell is not None  # on the node of the replica
    assert world.cells[stand_in.cell].alive
    assert why(world, COPY) == f"it is not wanted any longer, and serves until {A} is LIVE"
    world.unready.clear()
    for _ in range(2000):
        world.run(0.005)
        assert is_readable(world)
    assert not world.cells[stand_in.cell].alive
    assert COPY not in world.machine.children


def test_a_replica_that_is_alone_stays_until_its_book_has_started() -> None:
    world = grown(DOUBLE, "n1", "n2")
    kept = world.serving(COPY)
    assert kept is not None
    # A supervisor that finds the replica and not the book, of which the process has ended.
    later = World(settings=world.settings, epoch=2, numbers=itertools.count(1000))
    for node in ("n1", "n2"):
        later.tell(m.NodeSeen(node))
    later.cells[kept] = world.cells[kept]
    child = world.machine.children[COPY]
    later.tell(m.Found(kept, child.node or "", 1, 1, (1, 7), child.spec))
    later.was_ready.add(kept)
    later.machine.resume()
    configure(later, SINGLE)
    for _ in range(4000):
        later.run(0.005)
        assert is_readable(later)
    assert later.serving(A)
    assert not world.cells[kept].alive


def test_a_replica_that_leaves_serves_until_the_mirror_of_its_node_has_the_book() -> None:
    world = grown(DOUBLE, "n1", "n2")
    cell = world.serving(COPY)
    assert cell is not None
    configure(world, SINGLE)
    until(world, lambda: world.machine.cells[cell].state is CellState.LEAVING)
    heir = world.machine.heir(world.machine.cells[cell])
    assert heir is world.machine.children[A]
    world.run(world.settings.follow_s - 1.0)
    assert world.cells[cell].alive
    world.tell(m.Followed(cell))
    world.run(1.0)
    assert not world.cells[cell].alive


def test_a_replica_is_wanted_again_before_it_has_left() -> None:
    world = grown(DOUBLE, "n1", "n2")
    kept = world.serving(COPY)
    world.reports = False
    configure(world, SINGLE)
    world.run(5.0)
    assert world.machine.retiring
    configure(world, DOUBLE)
    world.reports = True
    without_gap(world, 20.0)
    assert world.serving(COPY) == kept
    assert not world.machine.retiring


def test_a_replica_is_wanted_again_while_it_leaves() -> None:
    world = grown(DOUBLE, "n1", "n2")
    kept = world.serving(COPY) or ""
    configure(world, SINGLE)
    until(world, lambda: world.machine.cells[kept].state is CellState.LEAVING)
    configure(world, DOUBLE)
    assert world.serving(COPY) == kept
    without_gap(world, 20.0)
    assert world.serving(COPY) not in (None, kept)  # its settings may have changed meanwhile
    assert not world.machine.earlier


def test_a_replica_that_leaves_with_another_price_scale_is_not_wanted_again() -> None:
    world = grown(DOUBLE, "n1", "n2")
    kept = world.serving(COPY) or ""
    configure(world, SINGLE)
    until(world, lambda: world.machine.cells[kept].state is CellState.LEAVING)
    configure(world, DOUBLE, RESCALED)
    assert world.machine.routes.get(A) is None, "no book has the new scale yet"
    assert world.serving(COPY) is None
    world.run(20.0)
    started = {e.cell: e.spec for _, e in world.log if isinstance(e, m.AdoptCell)}
    for address in (A, COPY):
        spec = started[world.serving(address) or ""]
        assert [instrument.price_scale for instrument in spec.config.instruments] == [4]


def test_a_process_that_was_replaced_does_not_serve_again_when_its_pair_is_tracked_again() -> None:
    """Readers have seen the later incarnation, and its settings and pairs may differ."""
    world = grown(SINGLE, "n1")
    first = world.serving(A) or ""
    world.tell(m.RestartRequested((A,)))
    until(world, lambda: world.machine.cells[first].state is CellState.LEAVING)
    second = world.machine.children[A].incarnation
    configure(world, replace(SINGLE, pairs=PAIRS[1:]))
    world.run(0.1)
    assert A not in world.machine.children
    assert world.machine.cells[first].state is CellState.LEAVING
    configure(world, SINGLE)
    until(world, lambda: world.serving(A) is not None)
    assert second is not None
    assert (world.machine.children[A].incarnation or (0, 0)) > second


def test_a_replica_that_is_wanted_again_leaves_the_node_that_its_book_has_taken() -> None:
    world = grown(DOUBLE, "n1", "n2")
    lost = world.machine.children[A].node or ""
    world.lose(lost)
    world.run(10.0)
    world.unready.add(A)
    configure(world, SINGLE)
    world.run(5.0)
    assert world.machine.children[A].node == world.machine.children[COPY].node
    configure(world, DOUBLE)
    world.tell(m.NodeSeen("n3"))
    world.run(20.0)
    assert world.serving(A)
    assert world.serving(COPY)
    assert {world.machine.children[A].node, world.machine.children[COPY].node} == {"n3", {"n1": "n2", "n2": "n1"}[lost]}


def test_both_copies_of_an_untracked_pair_end_at_once() -> None:
    world = grown(DOUBLE, "n1", "n2")
    configure(world, replace(DOUBLE, pairs=PAIRS[1:]))
    assert not world.machine.retiring
    world.run(1.0)
    assert A not in world.machine.children
    assert COPY not in world.machine.children


def test_a_book_whose_successor_is_not_ready_keeps_its_settings_and_is_tried_again() -> None:
    world = grown(SINGLE, "n1")
    first = world.serving(A)
    world.unready.add(A)
    configure(world, DEEPER)
    without_gap(world, 120.0)
    assert world.serving(A) == first
    assert all(world.serving(address) for address in BOOKS)
    assert world.machine.earlier == {A}
    assert (why(world, A) or "").startswith("it serves with its earlier settings until a successor is ready; ")
    world.unready.clear()
    without_gap(world, world.settings.again_s + 10.0)
    assert world.serving(A) != first
    assert why(world, A) is None


def test_settings_that_change_again_meanwhile_reach_the_book() -> None:
    world = grown(SINGLE, "n1")
    configure(world, DEEPER)
    until(world, lambda: world.machine.handovers.get(A) is not None)
    world.run(0.1)
    deepest = replace(SINGLE, book=replace(SINGLE.book, levels=500))
    configure(world, deepest)
    without_gap(world, 20.0)
    started = {e.cell: e.spec.config.levels for _, e in world.log if isinstance(e, m.AdoptCell) and e.spec.overlaps}
    assert [started[world.serving(address) or ""] for address in BOOKS] == [500, 500, 500]


def test_a_book_moves_without_a_gap_to_where_it_may_run_now_and_ends_if_that_is_nowhere() -> None:
    world = grown(replace(SINGLE, nodes={"zone": "n1"}), "n1", "n2")
    assert {world.machine.children[address].node for address in BOOKS} == {"n1"}
    configure(world, replace(SINGLE, nodes={"zone": "n2"}))
    without_gap(world, 30.0)
    assert {world.machine.children[address].node for address in BOOKS} == {"n2"}
    configure(world, replace(SINGLE, nodes={"zone": "n3"}))
    world.run(10.0)
    assert [world.serving(address) for address in BOOKS] == [None, None, None]
    assert why(world, A) == "no node of the cluster has the labels {'zone': 'n3'}"


def test_a_book_whose_pair_has_another_price_scale_restarts_at_once() -> None:
    world = grown(SINGLE, "n1")
    configure(world, SINGLE, RESCALED)
    assert world.machine.routes.get(A) is None
    world.run(5.0)
    assert all(world.serving(address) for address in BOOKS)


@pytest.mark.parametrize(
    "place", [{"environment": "testnet"}, {"ws": "wss://other.example.com"}, {"rest": "https://x.example.com"}]
)
@pytest.mark.parametrize("before", [SINGLE, DOUBLE])
def test_no_book_of_another_market_serves_any_longer(before: ExchangeSettings, place: dict[str, str]) -> None:
    """The prices of a test environment are not those of the exchange where orders are placed from now on."""
    world = grown(before, "n1", "n2")
    book = before.book
    configure(world, replace(before, book=replace(book, connector=replace(book.connector, **place))))
    assert not [route.address for route in world.machine.routes if route.address.startswith(("book/", "replica/"))]
    world.run(10.0)
    assert all(world.serving(address) for address in copies(world))
    assert len(copies(world)) == 3 * before.redundancy


CONFIGURATIONS = {"single": SINGLE, "double": DOUBLE, "deeper": DEEPER, "both": replace(DEEPER, redundancy=2)}
DEEDS = st.lists(
    st.tuples(
        st.sampled_from([*CONFIGURATIONS, "kill", "restart", "drain", "freeze", "thaw", "slow", "quick"]),
        st.integers(0, 5),
        st.integers(0, 8000),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(DEEDS)
def test_after_any_changes_the_last_configuration_runs(deeds: list[tuple[str, int, int]]) -> None:
    nodes = ("n1", "n2", "n3")
    world = grown(SINGLE, *nodes, policy=Policy(intensity=1000))
    last, is_calm = SINGLE, True
    for deed, which, wait_ms in deeds:
        address = (*BOOKS, *map(replica_of, BOOKS))[which]
        match deed:
            case "kill" if (cell := world.serving(address)) is not None:
                world.kill(cell)
                is_calm = False
            case "restart":
                world.tell(m.RestartRequested((address,)))
            case "drain":
                world.tell(m.Drained(("n2",) if which % 2 else ()))
            case "freeze":
                freeze(world, "n3")
                world.tell(m.Suspected(frozenset({"n3"})))
                is_calm = False
            case "thaw":
                thaw(world, "n3")
                world.tell(m.Suspected(frozenset()))
            case "slow":
                world.unready.add(address)
            case "quick":
                world.unready.clear()
            case _ if deed in CONFIGURATIONS:
                last = CONFIGURATIONS[deed]
                configure(world, last)
        for _ in range(max(1, wait_ms // 20)):
            world.run(0.02)
            assert not is_calm or all(is_readable(world, book) for book in BOOKS), deed
    world.unready.clear()
    thaw(world, "n3")
    world.tell(m.Suspected(frozenset()))
    world.tell(m.Drained(()))
    expected = sorted([*BOOKS, *map(replica_of, BOOKS)] if last.redundancy == 2 else BOOKS)

    def is_settled() -> bool:
        return (
            sorted(copies(world)) == expected
            and all(map(world.serving, expected))
            and not world.machine.earlier
            and not world.machine.handovers.get(A)
        )

    until(world, is_settled, 300.0)
    nodes_of = {address: world.machine.children[address].node for address in expected}
    assert all(nodes_of[address] != nodes_of.get(replica_of(address)) for address in BOOKS)
    started = {e.cell: e.spec.config for _, e in world.log if isinstance(e, m.AdoptCell)}
    for address in expected:
        found = started[world.serving(address) or ""]
        assert (found.redundant, found.levels) == (last.redundancy == 2, last.book.levels)
