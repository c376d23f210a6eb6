"""Moves between nodes: of one child, away from drained nodes, and to spread books."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.port import World
from tests.supervisor.tree.test_handover import is_served, until
from tests.supervisor.tree.test_machine import ALL, BOOKS, LIMITS, MANAGER, grown
from venuemesh.model.address import agent_address
from venuemesh.supervisor.tree import events as m
from venuemesh.supervisor.tree.child import ChildSpec
from venuemesh.supervisor.tree.moves import balance, obstacle, stuck
from venuemesh.supervisor.tree.placement import NodeView
from venuemesh.supervisor.tree.records import CellState, Child, ChildState

A = BOOKS[0].address
PINNED = replace(MANAGER, node="n1", pinned="its journal is here")


def node_of(world: World, address: str) -> str:
    node = world.machine.children[address].node
    assert node is not None
    return node


def other(node: str) -> str:
    return "n2" if node == "n1" else "n1"


def on(world: World, node: str) -> set[str]:
    """The addresses of the living processes on a node, without its agent; a spare is an empty address."""
    found = {fake.address or "" for fake in world.cells.values() if fake.alive and fake.node == node}
    return found - {agent_address(node)}


def test_a_book_moves_without_a_gap_and_its_old_process_stays_for_the_readers_of_its_node() -> None:
    world = grown("n1", "n2")
    source = node_of(world, A)
    first = world.serving(A)
    assert first is not None
    world.was_ready.add(first)
    world.tell(m.MovesRequested({A: other(source)}))
    until(world, lambda: node_of(world, A) != source)
    assert world.machine.cells[first].state is CellState.LEAVING
    for _ in range(2000):
        world.run(0.001)
        assert is_served(world)
    assert world.cells[first].alive  # no mirror has its books yet
    world.tell(m.Followed(first))
    world.run(1)
    assert not world.cells[first].alive
    assert not world.machine.rolling.failed


def test_a_book_whose_readers_get_no_mirror_leaves_in_the_end() -> None:
    world = grown("n1", "n2", follow_s=5.0)
    first = world.serving(A)
    assert first is not None
    world.tell(m.MovesRequested({A: other(node_of(world, A))}))
    world.run(10)
    assert not world.cells[first].alive


@pytest.mark.parametrize("address", [MANAGER.address, LIMITS.address])
def test_what_must_not_run_twice_is_stopped_and_starts_on_the_other_node(address: str) -> None:
    world = grown("n1", "n2", specs=(*ALL, MANAGER))
    source, first = node_of(world, address), world.serving(address)
    assert first is not None
    world.tell(m.MovesRequested({address: other(source)}))
    until(world, lambda: node_of(world, address) != source and world.serving(address) is not None)
    assert not world.cells[first].alive
    assert not world.machine.rolling.failed
    second = world.serving(address)
    assert second is not None
    world.kill(second)
    world.run(5)
    assert node_of(world, address) == other(source)  # it stays where it was moved


def test_a_move_whose_node_is_lost_leaves_the_child_served() -> None:
    world = grown("n1", "n2", specs=(*ALL, MANAGER))
    for address in (A, MANAGER.address):
        target = other(node_of(world, address))
        world.tell(m.NodeSeen(target))
        world.tell(m.MovesRequested({address: target}))
        world.run(0.03)
        world.lose(target)
        world.run(70)
        assert world.serving(address)
        assert not world.machine.rolling.queue
        world.tell(m.NodeSeen(target))
        world.run(5)


def test_a_drained_node_ends_with_its_agent_alone_and_gets_nothing_until_it_is_undone() -> None:
    world = grown("n1", "n2", specs=(*ALL, MANAGER), follow_s=1.0)
    world.tell(m.Drained(("n1",)))
    served = {address: world.serving(address) for address in (spec.address for spec in BOOKS)}
    world.was_ready |= {cell for cell in served.values() if cell}
    for _ in range(6_000):
        world.run(0.005)
        assert all(is_served(world, address) for address in served)
    assert on(world, "n1") == set()
    assert all(node_of(world, spec.address) == "n2" for spec in (*ALL, MANAGER))
    new = ChildSpec("book/x/new", "book", group="x")
    world.tell(m.RunChildren((new,)))
    world.run(5)
    assert node_of(world, new.address) == "n2"
    agent = world.serving(agent_address("n1"))
    assert agent is not None
    world.kill(agent)
    world.run(5)
    assert world.serving(agent_address("n1"))
    world.tell(m.Drained(()))
    world.run(5)
    assert on(world, "n1") == {""}


def test_a_drained_host_is_named_by_its_name_also_for_a_later_node() -> None:
    world = World()
    world.tell(m.NodeSeen("n1", {}, "alpha"))
    world.tell(m.NodeSeen("n2", {}, "beta"))
    world.tell(m.RunChildren(ALL))
    world.run(10)
    world.tell(m.Drained(("alpha",)))
    world.run(60)
    world.lose("n1")
    world.tell(m.NodeSeen("n3", {}, "alpha"))
    world.run(10)
    assert on(world, "n3") == set()


def test_what_cannot_leave_a_drained_node_stays_and_starts_there_again() -> None:
    west = tuple(sorted({"zone": "west"}.items()))
    bound = ChildSpec("book/x/west", "book", group="x", labels=west)
    world = World()
    world.tell(m.NodeSeen("n1", {"zone": "west"}))
    world.tell(m.NodeSeen("n2", {"zone": "east"}))
    world.tell(m.RunChildren((*ALL, bound, PINNED)))
    world.run(20)
    world.tell(m.Drained(("n1",)))
    world.run(60)
    assert on(world, "n1") == {bound.address, PINNED.address}
    for address in (bound.address, PINNED.address):
        cell = world.serving(address)
        assert cell is not None
        world.kill(cell)
        world.run(5)
        assert world.serving(address)
        assert node_of(world, address) == "n1"
    late = replace(bound, address="book/x/late")
    world.tell(m.RunChildren((late,)))
    world.run(5)
    assert world.machine.children[late.address].state is ChildState.WAITING  # a new child is not placed there


def test_a_child_that_does_not_get_ready_elsewhere_does_not_hold_up_the_others() -> None:
    world = grown("n1", "n2", ready_timeout_s=5.0, follow_s=1.0, again_s=20.0)
    stays = next(spec.address for spec in BOOKS if node_of(world, spec.address) == "n1")
    world.was_ready.add(world.serving(stays) or "")
    world.unready.add(stays)
    world.tell(m.Drained(("n1",)))
    world.run(15)
    assert on(world, "n1") == {stays}
    assert world.machine.rolling.failed[stays] == "its successor is not ready after 5 s"
    world.unready.clear()
    world.run(30)
    assert on(world, "n1") == set()


def test_why_a_child_cannot_move() -> None:
    here, there = NodeView("n1", {"zone": "a"}), NodeView("n2", {"zone": "b"})
    bound = replace(BOOKS[0], labels=(("zone", "a"),))
    assert obstacle(bound, there) == "the node does not have the labels {'zone': 'a'}"
    assert obstacle(BOOKS[0], there, drained=True) == "the node is drained"
    assert obstacle(PINNED, there) == "its journal is here"
    assert obstacle(BOOKS[0], there) is None
    both = {"n1": here, "n2": there}
    assert stuck(bound, both, {"n1"}) == "no other node has the labels {'zone': 'a'}"
    assert stuck(PINNED, both, {"n1"}) == "its journal is here"
    assert stuck(BOOKS[0], {"n1": here}, {"n1"}) == "there is no other node"
    assert stuck(BOOKS[0], both, {"n1"}) is None


def book(number: int, node: str, weight: int = 1, **labels: str) -> Child:
    spec = ChildSpec(f"book/x/{number}", "book", weight=weight, labels=tuple(sorted(labels.items())))
    return Child(spec, number, ChildState.SERVING, cell=f"cell-{number}", node=node)


NODES = {"n1": {"zone": "a"}, "n2": {"zone": "a"}, "n3": {"zone": "b"}}


def test_books_are_spread_within_one_and_labels_hold() -> None:
    children = [book(n, "n1") for n in range(7)] + [book(n, "n1", zone="a") for n in range(7, 10)]
    moves = balance(children, NODES)
    at = {child.spec.address: child.node for child in children} | {move.address: move.target for move in moves}
    counts = [list(at.values()).count(node) for node in NODES]
    assert max(counts) - min(counts) <= 1
    assert all(at[child.spec.address] != "n3" for child in children if child.spec.labels)
    assert len(moves) == 6  # no book moves twice
    assert balance(children, NODES, most=1) == moves[:1]


BOOK_OF = st.tuples(st.sampled_from(sorted(NODES)), st.integers(1, 5), st.sampled_from(["", "a", "b"]))


@given(st.lists(BOOK_OF, max_size=25))
def test_a_plan_ends_respects_labels_and_leaves_nothing_to_do(books: list[tuple[str, int, str]]) -> None:
    children = []
    for number, (node, weight, zone) in enumerate(books):
        fits = not zone or NODES[node]["zone"] == zone
        at = node if fits else {"a": "n1", "b": "n3"}[zone]
        children.append(book(number, at, weight, **({"zone": zone} if zone else {})))
    for move in balance(children, NODES):
        child = next(child for child in children if child.spec.address == move.address)
        assert child.node == move.source
        assert all(NODES[move.target][key] == value for key, value in child.spec.labels)
        child.node = move.target
    assert not balance(children, NODES)


# --- by itself --------------------------------------------------------------------------------------------------------


def counts(world: World, *nodes: str) -> list[int]:
    """The number of books on each node."""
    return [sum(node_of(world, spec.address) == node for spec in MANY) for node in nodes]


MANY = tuple(ChildSpec(f"book/x/{n}", "book", group="x") for n in range(9))


def joined(**changes: object) -> World:
    """A mesh of nine books on one node, and a second node that has just joined."""
    world = grown("n1", specs=MANY, **changes)
    world.tell(m.NodeSeen("n2"))
    return world


def test_books_move_to_a_node_that_joined_once_the_mesh_is_calm_and_readers_see_no_gap() -> None:
    world = joined(balance_after_s=30.0)
    served = [spec.address for spec in MANY]
    world.was_ready |= {world.serving(address) or "" for address in served}
    world.run(25)
    assert counts(world, "n1", "n2") == [9, 0]
    moving: set[int] = set()
    for _ in range(1_500):
        world.run(0.05)
        assert all(is_served(world, address) for address in served)
        moving.add(len(list(world.machine.handovers)))
    assert counts(world, "n1", "n2") == [5, 4]
    assert moving == {0, 1}  # never two at a time
    log = list(world.log)
    world.run(60)
    assert [one for one in world.log[len(log) :] if isinstance(one[1], m.AdoptCell)] == []  # it does not move again


def test_a_mesh_in_trouble_is_left_alone() -> None:
    world = joined(balance_after_s=30.0)
    for _ in range(5):
        world.run(20)
        cell = world.serving(MANY[0].address)
        assert cell is not None
        world.kill(cell)
    assert counts(world, "n1", "n2") in ([9, 0], [8, 1])  # only the killed one may have started elsewhere
    world.run(70)
    assert counts(world, "n1", "n2") == [5, 4]


@pytest.mark.parametrize("changes", [{"rebalance": False}, {}])
def test_nothing_moves_by_itself_where_that_is_switched_off_or_the_node_is_drained(changes: dict[str, object]) -> None:
    world = joined(balance_after_s=10.0, **changes)
    if not changes:
        world.tell(m.Drained(("n2",)))
    world.run(60)
    assert counts(world, "n1", "n2") == [9, 0]


def test_a_book_that_does_not_get_ready_there_stays_and_the_others_move() -> None:
    world = joined(balance_after_s=10.0, ready_timeout_s=5.0)
    world.was_ready |= {world.serving(spec.address) or "" for spec in MANY}
    stuck_one = balance(world.machine.children.values(), world.machine.nodes)[0].address
    world.unready.add(stuck_one)
    world.run(60)
    assert node_of(world, stuck_one) == "n1"
    assert counts(world, "n1", "n2") == [5, 4]
