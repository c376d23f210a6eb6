"""Redundant books: two children keep each book, never on one node, and either of them may be lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings

from tests.fakes.port import World
from tests.supervisor.tree.test_handover import until
from tests.supervisor.tree.test_machine import BOOKS, CATALOG, LIMITS, grown
from tests.supervisor.tree.test_suspicion import deeds_of, freeze, thaw
from venuemesh.actors.book.settings import BookSettings
from venuemesh.connectors.settings import ConnectorSettings
from venuemesh.mesh.progress import missing_parts, progress_text
from venuemesh.model.address import replica_of
from venuemesh.supervisor.status import describe
from venuemesh.supervisor.tree import events as m
from venuemesh.supervisor.tree.child import ChildSpec, Tier
from venuemesh.supervisor.tree.mirror_leases import MirrorLeases
from venuemesh.supervisor.tree.moves import balance, obstacle, stuck
from venuemesh.supervisor.tree.policy import Policy

NODES = ("n1", "n2", "n3")


def both(spec: ChildSpec) -> tuple[ChildSpec, ChildSpec]:
    """A book and its replica, as `plan` makes them."""
    served = ((spec.address, {"name": spec.address}),)
    address = replica_of(spec.address)
    return (
        replace(spec, serves=served, apart=address),
        replace(
            spec,
            address=address,
            tier=Tier.REPLICA,
            serves=((address, {"name": spec.address}),),
            after=(*spec.after, spec.address),
            apart=spec.address,
        ),
    )


COPIES = tuple(one for spec in BOOKS for one in both(spec))
SPECS = (LIMITS, CATALOG, *COPIES)
A, B = COPIES[0].address, COPIES[1].address


def nodes(world: World, address: str = A) -> tuple[str | None, str | None]:
    """The nodes of a book and its replica."""
    found = (world.machine.children[address], world.machine.children[replica_of(address)])
    return found[0].node if found[0].cell else None, found[1].node if found[1].cell else None


def are_apart(world: World) -> bool:
    return all(None in (pair := nodes(world, spec.address)) or pair[0] != pair[1] for spec in BOOKS)


def status(world: World) -> dict[str, Any]:
    return describe(world.machine, {}, {}, {}, 0)


def why(world: World, address: str) -> str:
    return str(next(row for row in status(world)["children"] if row["address"] == address)["why"])


def test_the_two_copies_of_a_book_start_on_two_nodes() -> None:
    world = grown(*NODES, specs=SPECS)
    assert all(world.serving(spec.address) for spec in COPIES)
    assert are_apart(world)
    assert sorted(child.node or "" for a, child in world.machine.children.items() if "/x/" in a and "ok" in a)


def test_on_one_node_the_replica_waits_for_another_and_says_so() -> None:
    world = grown("n1", specs=SPECS)
    assert all(world.serving(spec.address) for spec in BOOKS)
    assert world.serving(B) is None
    reason = f"waits for another host: {A}, the other copy of this book, runs on n1"
    assert why(world, B) == reason
    tree = {**status(world), "unread": []}  # `up` ends, and says so
    assert not [part for part in missing_parts(tree) if B in part]
    assert "3 redundant on one host only, because no other host fits" in progress_text(tree)
    world.tell(m.NodeSeen("n2"))
    world.run(10.0)
    assert all(world.serving(spec.address) for spec in COPIES)
    assert are_apart(world)


def test_when_a_node_is_lost_its_copies_start_elsewhere_and_never_next_to_the_others() -> None:
    world = grown(*NODES, specs=SPECS)
    lost = nodes(world)[0]
    assert lost is not None
    world.lose(lost)
    for _ in range(1000):
        world.run(0.01)
        assert are_apart(world)
    assert all(world.serving(spec.address) for spec in COPIES)


def test_of_two_nodes_one_is_lost_and_the_other_copy_stands_in_for_the_book() -> None:
    world = grown("n1", "n2", specs=SPECS)
    lost, kept = nodes(world)
    assert lost is not None
    world.lose(lost)
    world.run(10.0)
    assert nodes(world) == (None, kept)
    route = world.machine.routes.get(A)
    assert route is not None
    assert (route.child, route.cell, route.node) == (B, world.serving(B), kept)
    tree = {**status(world), "unread": []}  # a wait for the mesh does not wait for another host
    assert not [part for part in missing_parts(tree) if part.startswith(A)]
    world.tell(m.NodeSeen("n4"))
    world.run(10.0)
    assert nodes(world) == ("n4", kept)
    route = world.machine.routes.get(A)
    assert route is not None
    assert (route.child, route.node) == (A, "n4")


def test_a_replica_that_stands_in_ends_with_the_pair() -> None:
    world = grown("n1", "n2", specs=SPECS)
    lost = nodes(world)[0]
    assert lost is not None
    world.lose(lost)
    world.run(5.0)
    world.tell(m.StopChildren((A, B)))
    world.run(5.0)
    assert world.machine.routes.get(A) is None
    assert world.machine.routes.get(B) is None


def test_a_mirror_does_not_follow_a_stand_in_which_has_no_segment_of_the_book() -> None:
    settings = BookSettings(ConnectorSettings("x", "binance"), redundant=True)
    copies = tuple(replace(spec, config=settings) for spec in COPIES)
    world = grown("n1", "n2", specs=(LIMITS, CATALOG, *copies))
    lost, kept = nodes(world)
    assert lost is not None
    assert kept is not None
    world.lose(lost)
    world.tell(m.NodeSeen("reader"))
    world.run(0.05)
    leases = MirrorLeases(15.0)
    leases.ask("reader", [A, B], 0)
    specs = {address: child.spec for address, child in world.machine.children.items()}
    assert world.machine.routes.get(A) is not None
    assert leases.sources("reader", world.machine.routes, specs) == {
        B: {"node": kept, "books": {B: {"levels": settings.levels, "trades": settings.trade_ring}}}
    }


def test_books_without_another_copy_get_the_few_processes_first() -> None:
    single = tuple(replace(spec, address=f"{spec.address}-single") for spec in BOOKS)
    for way in ("suspected", "lost"):
        world = grown(*NODES, specs=(LIMITS, CATALOG, *COPIES, *single), spares_per_node=1, creating_per_node=1)
        roles = {world.machine.children[spec.address].node for spec in (LIMITS, CATALOG)}
        node = next(
            where
            for where in (world.machine.children[spec.address].node for spec in single)
            if where is not None and where not in roles
        )
        there = {c.spec.address for c in world.machine.children.values() if c.node == node and c.spec.overlaps}
        before = len(world.log)
        if way == "lost":
            world.lose(node)
        else:
            freeze(world, node)
            world.tell(m.Suspected(frozenset({node})))
        world.run(20.0)
        started = [e.spec.address for _, e in world.log[before:] if isinstance(e, m.AdoptCell)]
        books = [address for address in started if address in there]
        assert there <= set(books)
        alone = sum(address.endswith("-single") for address in there)
        assert 0 < alone < len(there)
        assert all(address.endswith("-single") for address in books[:alone]), (way, books)


def test_a_copy_does_not_move_to_the_node_of_the_other() -> None:
    world = grown("n1", "n2", specs=SPECS)
    there = nodes(world)[1]
    assert there is not None
    others = world.machine.nodes_of(B)
    refusal = obstacle(COPIES[0], world.machine.view(there), others=others)
    assert refusal == f"the node runs {B}, the other copy of this book"
    views = {node: world.machine.view(node) for node in world.machine.nodes}
    own = nodes(world)[0] or ""
    assert stuck(COPIES[0], views, {own}, others) == f"every other node that fits runs {B}, the other copy of this book"
    world.tell(m.MovesRequested({A: there}))  # as if the replica had come there in between
    world.run(70.0)
    assert are_apart(world)
    assert A in world.machine.rolling.failed


def test_a_drained_node_is_left_by_every_copy_that_has_another_place() -> None:
    world = grown(*NODES, specs=SPECS)
    world.tell(m.Drained(("n1",)))
    for _ in range(3000):
        world.run(0.01)
        assert are_apart(world)
    assert "n1" not in {node for spec in BOOKS for node in nodes(world, spec.address)}
    assert not world.machine.rolling.failed


def test_a_plan_that_spreads_books_keeps_copies_apart() -> None:
    world = grown("n1", "n2", specs=SPECS, rebalance=False)
    for node in ("n3", "n4"):
        world.tell(m.NodeSeen(node))
    world.run(5.0)
    children = list(world.machine.children.values())
    at = {child.spec.address: child.node for child in children}
    moves = balance(children, world.machine.open_nodes)
    assert moves
    for move in moves:
        at[move.address] = move.target
        assert all(at[spec.address] != at[spec.apart] for spec in COPIES)


DEEDS = deeds_of("freeze", "thaw", "lose", "join", "restart", "kill", "move", "drain", "slow", "quick")


@settings(max_examples=40, deadline=None)
@given(DEEDS)
def test_copies_are_apart_at_every_moment_and_in_the_end_both_serve(deeds: list[tuple[str, int, int]]) -> None:
    world = grown(*NODES, specs=SPECS, seconds=10.0, policy=Policy(intensity=1000))
    frozen: set[str] = set()
    for deed, which, wait_ms in deeds:
        node = NODES[1:][which % 2]
        lives = node in world.machine.nodes
        address = COPIES[which % len(COPIES)].address
        match deed:
            case "freeze" if lives:
                freeze(world, node)
                frozen.add(node)
                world.tell(m.Suspected(frozenset(frozen)))
            case "thaw":
                thaw(world, node)
                frozen.discard(node)
                world.tell(m.Suspected(frozenset(frozen)))
            case "lose" if lives:
                world.lose(node)
                frozen.discard(node)
            case "join" if not lives:
                world.tell(m.NodeSeen(node))
            case "restart":
                world.tell(m.RestartRequested((address,)))
            case "kill" if (cell := world.serving(address)) is not None:
                world.kill(cell)
            case "move" if lives:
                world.tell(m.MovesRequested({address: node}))
            case "drain":
                world.tell(m.Drained((node,) if which % 2 else ()))
            case "slow":
                world.unready.add(address)
            case "quick":
                world.unready.clear()
        for _ in range(max(1, wait_ms // 100)):
            world.run(0.1)
            assert are_apart(world)
    world.unready.clear()
    for node in frozen:
        thaw(world, node)
    world.tell(m.Suspected(frozenset()))
    world.tell(m.Drained(()))
    for node in NODES:
        if node not in world.machine.nodes:
            world.tell(m.NodeSeen(node))
    until(world, lambda: all(world.serving(spec.address) for spec in COPIES), 120.0)
    assert are_apart(world)
