"""Books of a node that does not answer start on other nodes, long before the GCS declares it lost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.port import World
from tests.supervisor.tree.test_handover import until
from tests.supervisor.tree.test_machine import ALL, BOOKS, CATALOG, LIMITS, MANAGER, grown
from venuemesh.model.address import agent_address
from venuemesh.supervisor.tree import events as m
from venuemesh.supervisor.tree.policy import Policy
from venuemesh.supervisor.tree.records import CellState

NODES = ("n1", "n2", "n3")
HOME = "n1"  # of the supervisor: it is never suspected
ADDRESSES = tuple(spec.address for spec in BOOKS)


def freeze(world: World, node: str) -> None:
    """From now on no process of the node answers."""
    for fake in world.cells.values():
        if fake.node == node:
            fake.stopped = True


def thaw(world: World, node: str) -> None:
    """The processes of the node continue, and get what was sent to them."""
    told = {e.cell for _, e in world.log if isinstance(e, m.StopCell | m.Discard | m.KillCell)}
    for fake in world.cells.values():
        if fake.node == node and fake.stopped:
            fake.stopped = False
            if fake.name in told:
                world.kill(fake.name)


def nodes_of(world: World) -> dict[str, str | None]:
    return {address: world.machine.children[address].node for address in ADDRESSES}


def victim(world: World) -> str:
    """A node with a book and without the roles that must not run twice."""
    single = {world.machine.children[spec.address].node for spec in (LIMITS, CATALOG)}
    return next(node for node in nodes_of(world).values() if node is not None and node not in single)


def test_the_books_of_a_silent_node_are_taken_over_before_it_is_lost() -> None:
    world = grown(*NODES)
    node = victim(world)
    there = [address for address, where in nodes_of(world).items() if where == node]
    freeze(world, node)
    world.tell(m.Suspected(frozenset({node})))
    world.run(1.0)
    assert there
    assert all(world.serving(address) for address in ADDRESSES)
    assert node not in nodes_of(world).values()
    world.lose(node)
    world.run(20.0)
    assert all(world.serving(address) for address in ADDRESSES)
    assert not world.machine.handovers.failed


def test_what_must_not_run_twice_waits_until_the_node_is_lost_and_nothing_starts_there() -> None:
    world = grown(*NODES, specs=(*ALL, MANAGER))
    node = world.machine.children[MANAGER.address].node
    assert node is not None
    freeze(world, node)
    world.tell(m.Suspected(frozenset({node})))
    before = len(world.log)
    world.run(15.0)
    assert world.machine.children[MANAGER.address].node == node
    started = [e for _, e in world.log[before:] if isinstance(e, m.AdoptCell | m.Create)]
    assert all(world.machine.cells[e.cell].node != node for e in started)
    world.lose(node)
    world.run(5.0)
    assert world.serving(MANAGER.address)


def managers(world: World) -> list[str]:
    """The living processes of the account's manager that no later one has fenced."""
    return [f.name for f in world.cells.values() if f.address == MANAGER.address and f.alive and not f.fenced]


def test_an_account_leaves_a_node_that_is_silent_for_longer_before_it_is_lost() -> None:
    world = grown(*NODES, specs=(*ALL, MANAGER))
    node = world.machine.children[MANAGER.address].node
    assert node is not None
    world.promised = frozenset({LIMITS.address})
    freeze(world, node)
    world.tell(m.Suspected(frozenset({node}), world.promised))
    world.run(2.0)
    assert world.machine.children[MANAGER.address].node == node
    world.tell(m.Suspected(frozenset({node}), world.promised, frozenset({node})))
    world.run(3.0)
    assert world.serving(MANAGER.address)
    assert world.serving(CATALOG.address)
    assert world.machine.children[MANAGER.address].node != node
    assert len(managers(world)) == 1
    world.lose(node)
    world.run(10.0)
    assert all(world.serving(spec.address) for spec in (*ALL, MANAGER))
    assert not world.machine.handovers.failed


def test_books_do_not_wait_for_the_catalog_of_a_silent_node_and_accounts_do() -> None:
    world = grown(*NODES, specs=(*ALL, MANAGER), spares_per_node=1)
    node = world.machine.children[CATALOG.address].node
    assert node is not None
    for address in (MANAGER.address, ADDRESSES[0]):
        if world.machine.children[address].node != node:
            world.tell(m.MovesRequested({address: node}))
    world.run(10.0)
    assert {world.machine.children[a].node for a in (MANAGER.address, ADDRESSES[0])} == {node}
    world.promised = frozenset({LIMITS.address})
    world.deaf.add(CATALOG.address)
    freeze(world, node)
    world.tell(m.Suspected(frozenset({node}), world.promised, frozenset({node})))
    world.run(8.0)
    assert world.serving(ADDRESSES[0])
    assert world.serving(MANAGER.address) is None
    world.deaf.clear()
    world.run(25.0)
    assert world.serving(MANAGER.address)


@pytest.mark.parametrize("lost_after_s", [0.0, 0.2, 1.0])
def test_a_shutdown_in_a_rescue_keeps_what_the_successor_needs_until_its_last_work_is_done(lost_after_s: float) -> None:
    world = grown("n1", *NODES[1:], specs=(*ALL, MANAGER))
    apart = next(
        node for node in NODES if node not in {world.machine.children[one.address].node for one in (LIMITS, CATALOG)}
    )
    world.tell(m.MovesRequested({MANAGER.address: apart}))
    world.run(10.0)
    assert world.machine.children[MANAGER.address].node == apart
    world.end_ns[MANAGER.address] = 3_000_000_000  # it cancels its orders, through the limits
    limits = world.serving(LIMITS.address)
    freeze(world, apart)
    world.tell(m.Suspected(frozenset({apart}), frozenset(), frozenset({apart})))
    until(world, lambda: world.machine.handovers.get(MANAGER.address) is not None)
    world.tell(m.ShutDown())
    ends: list[m.StopCell] = []

    def ends_manager() -> bool:
        ends[:] = [e for _, e in world.log if isinstance(e, m.StopCell) and e.final and e.cell in managers(world)]
        return any(not world.cells[end.cell].stopped for end in ends)

    until(world, ends_manager)
    world.run(lost_after_s)
    world.lose(apart)
    last = next(end.cell for end in ends if not world.cells[end.cell].stopped)
    until(world, lambda: not world.cells[last].alive)
    assert not [e for _, e in world.log if isinstance(e, m.StopCell) and e.cell == limits]
    world.run(20.0)
    assert world.machine.ended


def test_the_old_manager_of_a_node_that_answers_again_is_killed() -> None:
    world = grown(*NODES, specs=(*ALL, MANAGER))
    node, old = world.machine.children[MANAGER.address].node, world.serving(MANAGER.address)
    assert node is not None
    assert old is not None
    freeze(world, node)
    world.tell(m.Suspected(frozenset({node}), given_up=frozenset({node})))
    world.run(10.0)
    thaw(world, node)
    world.tell(m.Suspected(frozenset()))
    world.run(20.0)
    assert not world.cells[old].alive
    assert managers(world) == [world.serving(MANAGER.address)]


def test_a_manager_that_has_been_fenced_is_replaced_although_its_node_answers_again() -> None:
    world = grown(*NODES, specs=(*ALL, MANAGER))
    node, old = world.machine.children[MANAGER.address].node, world.serving(MANAGER.address)
    assert node is not None
    assert old is not None
    world.promised = frozenset({LIMITS.address})
    world.deaf.add(MANAGER.address)  # its successor has the journal, and has not reported
    world.tell(m.Suspected(frozenset({node}), world.promised, frozenset({node})))
    world.run(3.0)
    successor = world.machine.handovers.get(MANAGER.address)
    assert successor is not None
    assert successor.cell is not None
    world.tell(m.Suspected(frozenset()))
    world.run(1.0)
    assert world.machine.handovers.get(MANAGER.address) is successor
    world.tell(m.Adopted(successor.cell))
    world.run(5.0)
    assert world.serving(MANAGER.address) == successor.cell
    assert not world.cells[old].alive


def test_an_account_whose_journal_is_on_the_silent_node_waits_for_it() -> None:
    pinned = replace(MANAGER, node=HOME, pinned="its journal is an SQLite file there")
    world = grown(*NODES, specs=(*ALL, pinned))
    freeze(world, HOME)
    world.tell(m.Suspected(frozenset({HOME}), given_up=frozenset({HOME})))
    world.run(10.0)
    assert world.machine.children[MANAGER.address].node == HOME
    assert world.machine.handovers.get(MANAGER.address) is None


def test_a_rate_budget_is_taken_over_at_once_only_if_it_has_promised_how_little_it_grants() -> None:
    for promised in (frozenset({LIMITS.address}), frozenset[str]()):
        world = grown("n1", "n2")
        world.promised = promised
        node = world.machine.children[LIMITS.address].node
        assert node is not None
        freeze(world, node)
        world.tell(m.Suspected(frozenset({node}), promised))
        world.run(2.0)
        assert (world.serving(LIMITS.address) is not None) is bool(promised)
        started = [e.spec.address for at, e in world.log if isinstance(e, m.AdoptCell) and at >= 20 * 10**9]
        if promised:
            assert started[0] == LIMITS.address, "a book would ask the budget that does not answer"
        world.lose(node)
        world.run(5.0)
        assert all(world.serving(spec.address) for spec in ALL)


def test_a_node_that_answers_again_keeps_the_books_that_have_not_moved() -> None:
    world = grown(*NODES)
    node = victim(world)
    before = {address: world.serving(address) for address in ADDRESSES}
    world.unready |= set(ADDRESSES)
    world.tell(m.Suspected(frozenset({node})))
    world.run(2.0)
    assert {address: world.serving(address) for address in ADDRESSES} == before
    world.tell(m.Suspected(frozenset()))
    world.run(5.0)
    assert {address: world.serving(address) for address in ADDRESSES} == before
    assert not list(world.machine.handovers)
    alive = [fake for fake in world.cells.values() if fake.alive and fake.address in ADDRESSES]
    assert len(alive) == len(ADDRESSES)


def test_a_node_that_answers_after_the_takeover_ends_its_old_books() -> None:
    world = grown(*NODES)
    node = victim(world)
    old = [f.name for f in world.cells.values() if f.node == node and f.address in ADDRESSES]
    freeze(world, node)
    world.tell(m.Suspected(frozenset({node})))
    world.run(20.0)
    thaw(world, node)
    world.tell(m.Suspected(frozenset()))
    world.run(30.0)
    assert old
    assert not any(world.cells[name].alive for name in old)
    assert all(world.serving(address) for address in ADDRESSES)


def test_a_hung_agent_of_a_silent_node_uses_up_no_spare_and_its_node_comes_back() -> None:
    world = grown(*NODES)
    node = victim(world)
    agent = world.serving(agent_address(node))
    assert agent is not None
    freeze(world, node)
    world.tell(m.Suspected(frozenset({node})))
    world.tell(m.Hung(agent))
    world.run(70.0)
    assert world.spares(node) == 2
    thaw(world, node)
    world.tell(m.Suspected(frozenset()))
    world.run(20.0)
    assert world.serving(agent_address(node)) not in (None, agent)


def test_a_rescue_that_fails_is_tried_again_after_a_while() -> None:
    world = grown(*NODES)
    node = victim(world)
    address = next(address for address, where in nodes_of(world).items() if where == node)
    world.broken.add(address)
    freeze(world, node)
    world.tell(m.Suspected(frozenset({node})))
    before = len(world.log)
    world.run(21.0)
    tries = [e for _, e in world.log[before:] if isinstance(e, m.AdoptCell) and e.spec.address == address]
    assert 2 <= len(tries) <= 5
    world.broken.clear()
    world.run(10.0)
    assert world.serving(address)


def test_a_move_that_has_begun_is_not_begun_twice() -> None:
    world = grown(*NODES)
    node = victim(world)
    address = next(address for address, where in nodes_of(world).items() if where == node)
    target = next(other for other in NODES if other != node)
    first = world.serving(address)
    assert first is not None
    world.was_ready.add(first)
    world.unready.add(address)
    world.tell(m.MovesRequested({address: target}))
    world.run(0.5)
    successor = world.machine.handovers.get(address)
    assert successor is not None
    world.unready.clear()
    freeze(world, node)
    world.tell(m.Suspected(frozenset({node})))
    world.run(1.0)
    assert world.machine.children[address].cell == successor.cell
    assert nodes_of(world)[address] == target


def deeds_of(*names: str) -> st.SearchStrategy[list[tuple[str, int, int]]]:
    """Deeds, each with a number that chooses its object and the ms that pass afterwards."""
    return st.lists(st.tuples(st.sampled_from(names), st.integers(0, 30), st.integers(1, 3000)), max_size=20)


DEEDS = deeds_of("freeze", "doubt", "give up", "thaw", "lose", "join", "restart", "kill", "slow", "quick")


@settings(max_examples=60, deadline=None)
@given(DEEDS)
def test_after_any_suspicions_every_child_is_served_once(deeds: list[tuple[str, int, int]]) -> None:
    """Nodes freeze, are doubted without a reason, answer again, are lost and join, while books restart and die."""
    world = grown(*NODES, specs=(*ALL, MANAGER), seconds=10.0, policy=Policy(intensity=1000), rebalance=False)
    world.promised = frozenset({LIMITS.address})
    frozen: set[str] = set()
    for deed, which, wait_ms in deeds:
        others = [node for node in NODES if node != HOME]
        node = others[which % len(others)]
        lives = node in world.machine.nodes
        address = ADDRESSES[which % len(ADDRESSES)]
        match deed:
            case "freeze" if lives:
                freeze(world, node)
                frozen.add(node)
                world.tell(m.Suspected(frozenset(frozen), world.promised))
            case "doubt" if lives:
                world.tell(m.Suspected(frozenset({*frozen, node}), world.promised))
            case "give up" if lives:
                given_up = frozenset({*frozen, node})
                world.tell(m.Suspected(given_up, world.promised, given_up))
            case "thaw":
                thaw(world, node)
                frozen.discard(node)
                world.tell(m.Suspected(frozenset(frozen), world.promised))
            case "lose" if lives:
                world.lose(node)
                frozen.discard(node)
            case "join" if not lives:
                world.tell(m.NodeSeen(node))
            case "restart":
                world.tell(m.RestartRequested((address,)))
            case "kill" if (cell := world.serving(address)) is not None:
                world.kill(cell)
            case "slow":
                world.unready.add(address)
            case "quick":
                world.unready.clear()
        world.run(wait_ms / 1000)
    world.unready.clear()
    for node in frozen:
        thaw(world, node)
    world.tell(m.Suspected(frozenset()))
    world.run(150.0)
    for spec in (*ALL, MANAGER):
        assert world.serving(spec.address), spec.address
        alive = [fake.name for fake in world.cells.values() if fake.alive and fake.address == spec.address]
        assert alive == [world.serving(spec.address)], spec.address
    states = {cell.state for cell in world.machine.cells.values()}
    assert states <= {CellState.SERVING, CellState.SPARE}, states
    assert not list(world.machine.handovers)
