"""The whole tree in simulated time: nodes, cells and children, with every failure of the failure table."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fakes.port import MS, World
from venuemesh.model.address import agent_address
from venuemesh.supervisor.tree import events as m
from venuemesh.supervisor.tree.child import ChildSpec, Restart, Tier
from venuemesh.supervisor.tree.machine import Machine
from venuemesh.supervisor.tree.policy import Policy
from venuemesh.supervisor.tree.records import Child, ChildState
from venuemesh.supervisor.tree.settings import TreeSettings

LIMITS = ChildSpec("limits/x/default", "limits", group="x", tier=Tier.LIMITS)
CATALOG = ChildSpec("catalog/x", "catalog", group="x", tier=Tier.CATALOG, after=(LIMITS.address,))
BOOKS = tuple(
    ChildSpec(f"book/x/{n}", "book", {"n": n}, group="x", after=(LIMITS.address, CATALOG.address)) for n in "abc"
)
ALL = (LIMITS, CATALOG, *BOOKS)
MANAGER = ChildSpec("orders/x/main", "orders", group="x", tier=Tier.ORDERS, after=(LIMITS.address, CATALOG.address))


def grown(*nodes: str, specs: tuple[ChildSpec, ...] = ALL, seconds: float = 20.0, **changes: object) -> World:
    world = World(settings=TreeSettings(**changes))  # type: ignore[arg-type]
    for node in nodes:
        world.tell(m.NodeSeen(node))
    world.tell(m.RunChildren(specs))
    world.run(seconds)
    return world


def test_everything_serves_and_each_node_has_its_spares_and_its_agent() -> None:
    world = grown("n1", "n2")
    for spec in ALL:
        assert world.serving(spec.address)
    for node in ("n1", "n2"):
        assert world.spares(node) == 2
        assert world.serving(agent_address(node))
    assert world.lives == len(ALL) + 2 + 4


def test_books_are_spread_and_start_after_what_they_need() -> None:
    world = grown("n1", "n2")
    nodes = {spec.address: world.machine.children[spec.address].node for spec in ALL}
    assert set(nodes.values()) == {"n1", "n2"}
    started = [e.spec.address for _, e in world.log if isinstance(e, m.AdoptCell) and e.spec.tier is not Tier.AGENT]
    assert started[:2] == [LIMITS.address, CATALOG.address]


def test_a_dead_book_is_adopted_at_once_by_a_spare_of_its_node() -> None:
    world = grown("n1", "n2")
    before = world.machine.children["book/x/a"]
    node, cell = before.node, before.cell
    assert cell is not None
    world.kill(cell)
    world.run(0.02)
    after = world.machine.children["book/x/a"]
    assert (after.state, after.node, after.restarts) == (ChildState.SERVING, node, 1)
    world.run(5)
    assert world.spares("n1") == world.spares("n2") == 2


def test_a_hung_book_is_killed_before_another_serves() -> None:
    world = grown("n1")
    cell = world.serving("book/x/a")
    assert cell is not None
    world.stop(cell)
    world.run(1.1)
    order = [e for _, e in world.log if isinstance(e, (m.KillCell, m.AdoptCell))][-2:]
    assert isinstance(order[0], m.KillCell)
    assert isinstance(order[1], m.AdoptCell)
    assert order[1].predecessor == (world.cells[cell].pid, world.cells[cell].pid)
    assert not world.cells[cell].alive
    assert world.serving("book/x/a")


def test_a_hung_agent_is_killed_by_its_successor() -> None:
    world = grown("n1")
    agent = world.serving(agent_address("n1"))
    assert agent is not None
    world.stop(agent)
    world.run(1.1)
    assert not world.cells[agent].alive
    assert world.serving(agent_address("n1"))


def test_agent_and_book_hung_together_both_come_back() -> None:
    world = grown("n1")
    for address in (agent_address("n1"), "book/x/a"):
        cell = world.serving(address)
        assert cell is not None
        world.stop(cell)
    world.run(5)
    assert world.serving("book/x/a")
    assert world.serving(agent_address("n1"))
    world.run(5)
    assert world.spares("n1") == 2


def test_a_lost_node_moves_its_children_and_keeps_nothing() -> None:
    world = grown("n1", "n2")
    world.lose("n2")
    world.run(10)
    for spec in ALL:
        assert world.machine.children[spec.address].node == "n1"
        assert world.serving(spec.address)
    assert agent_address("n2") not in world.machine.children
    assert all(cell.node == "n1" for cell in world.machine.cells.values())


def test_a_child_of_a_lost_node_takes_a_spare_and_waits_for_no_empty_node() -> None:
    world = grown("n1", "n2")
    lost = [address for address, child in world.machine.children.items() if child.node == "n2" and "book" in address]
    assert lost
    assert world.spares("n1") >= len(lost)
    world.create_ns = 60_000 * MS  # a node that has just come back starts processes slowly
    world.tell(m.NodeSeen("n3"))
    world.lose("n2")
    world.run(1)
    assert all(world.serving(address) for address in lost)
    assert {world.machine.children[address].node for address in lost} == {"n1"}


def test_a_child_that_ends_too_often_is_degraded_and_retried_with_growing_delays() -> None:
    policy = Policy(intensity=3, period_s=10, backoff_s=1, backoff_cap_s=8)
    world = World(settings=TreeSettings(policy=policy), broken={"book/x/a"})
    world.tell(m.NodeSeen("n1"))
    world.tell(m.RunChildren(ALL))
    world.run(60)
    assert world.machine.children["book/x/a"].state is ChildState.DEGRADED
    assert world.machine.children["book/x/a"].last_error == "told to fail"
    times = [t for t, e in world.log if isinstance(e, m.AdoptCell) and e.spec.address == "book/x/a"]
    assert 5 < len(times) < 25
    assert times[-1] - times[-2] >= 4_000 * MS
    assert world.serving("book/x/b")
    world.broken.clear()
    world.run(30)
    assert world.serving("book/x/a")


def test_a_spare_whose_adoption_is_not_confirmed_is_killed_and_not_used_again() -> None:
    world = World(settings=TreeSettings(adopt_timeout_s=1.0), deaf={"book/x/a"})
    world.tell(m.NodeSeen("n1"))
    world.tell(m.RunChildren(ALL))
    world.run(10)
    first = next(e.cell for _, e in world.log if isinstance(e, m.AdoptCell) and e.spec.address == "book/x/a")
    assert not world.cells[first].alive
    world.deaf.clear()
    world.run(60)
    assert world.serving("book/x/a") not in (None, first)


def test_restart_types() -> None:
    once = ChildSpec("once", "t", restart=Restart.TEMPORARY)
    world = grown("n1", specs=(once,))
    cell = world.serving("once")
    assert cell is not None
    world.kill(cell)
    world.run(5)
    assert world.machine.children["once"].state is ChildState.STOPPED
    world.tell(m.RunChildren((once,)))  # wanted again
    world.run(5)
    assert world.serving("once")


def test_a_changed_spec_restarts_only_its_child_and_an_amended_one_none() -> None:
    world = grown("n1")
    cells = {spec.address: world.serving(spec.address) for spec in ALL}
    changed = ChildSpec("book/x/a", "book", {"n": "other"}, group="x")
    world.tell(m.RunChildren((changed,)))
    world.run(2)
    assert world.serving("book/x/a") not in (None, cells["book/x/a"])
    world.tell(m.Amend(ChildSpec("book/x/b", "book", {"n": 1}, group="x", serves=(("book/x/bb", {"name": "bb"}),))))
    world.run(2)
    assert world.serving("book/x/bb") == cells["book/x/b"]
    assert world.serving("book/x/c") == cells["book/x/c"]


def test_untracked_children_go_and_come_back_when_wanted_again() -> None:
    world = grown("n1")
    world.tell(m.StopChildren(("book/x/a",)))
    world.tell(m.RunChildren((BOOKS[0],)))  # again, before it has ended
    world.run(5)
    assert world.serving("book/x/a")
    world.tell(m.StopChildren(("book/x/a",)))
    world.run(5)
    assert "book/x/a" not in world.machine.children
    assert world.serving("book/x/b")


def test_restart_is_one_at_a_time() -> None:
    world = grown("n1")
    books = tuple(spec.address for spec in BOOKS)
    world.tell(m.RestartRequested(books))
    most = 0
    for _ in range(1000):
        world.run(0.01)
        most = max(most, len(list(world.machine.handovers)))
        assert all(world.serving(address) for address in books)
    assert most == 1
    assert not world.machine.rolling.queue
    assert not world.machine.rolling.failed
    assert all(world.machine.children[address].restarts == 1 for address in books)


def test_shutdown_goes_backwards_and_leaves_nothing() -> None:
    world = grown("n1", "n2")
    world.tell(m.ShutDown())
    world.run(5)
    assert world.machine.ended
    assert world.lives == 0
    stopped = [world.cells[e.cell].address for _, e in world.log if isinstance(e, m.StopCell)]
    kinds = [address.split("/")[0] if address else "spare" for address in stopped]
    assert kinds == ["book"] * 3 + ["catalog", "limits"] + ["spare"] * 4 + ["agent"] * 2


def test_a_new_supervisor_takes_over_what_lives_and_ends_rivals() -> None:
    old = grown("n1")
    world = World(epoch=2, now_ns=old.now_ns, cells=old.cells)
    world.numbers = old.numbers
    found = [f for f in old.cells.values() if f.alive]
    specs = {spec.address: spec for spec in ALL}
    agent = ChildSpec(agent_address("n1"), "agent", group="agent", tier=Tier.AGENT, node="n1")
    specs[agent.address] = agent
    for fake in found:
        spec = specs[fake.address] if fake.address else None
        world.tell(m.Found(fake.name, fake.node, fake.pid, fake.pid, fake.incarnation, spec))
    world.tell(m.RunChildren(ALL))
    world.tell(m.NodeSeen("n1"))
    world.run(5)
    assert {spec.address: world.serving(spec.address) for spec in ALL} == {
        spec.address: old.serving(spec.address) for spec in ALL
    }
    assert not [e for _, e in world.log if isinstance(e, (m.Create, m.AdoptCell, m.KillCell))]
    cell = world.serving("book/x/a")
    assert cell is not None
    world.kill(cell)
    world.run(1)
    assert world.machine.children["book/x/a"].incarnation is not None
    assert world.machine.children["book/x/a"].incarnation[0] == 2


HURT = st.lists(
    st.tuples(
        st.sampled_from(["kill", "stop", "hang_agent", "untrack", "track", "restart", "run", "lose", "join"]),
        st.integers(0, 30),
        st.integers(1, 1500),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@example([
    ("hang_agent", 24, 208), ("kill", 26, 238), ("kill", 14, 199), ("track", 20, 222), ("untrack", 30, 555),
    ("track", 0, 1369), ("kill", 0, 1437), ("lose", 0, 1), ("untrack", 0, 1), ("track", 28, 1), ("untrack", 0, 1),
    ("join", 0, 1),
])  # fmt: skip
@given(HURT)
def test_the_tree_heals_after_any_events(deeds: list[tuple[str, int, int]]) -> None:
    world = grown("n1", "n2", specs=(*ALL, MANAGER), seconds=5.0, policy=Policy(intensity=1000))
    assert is_whole(world)
    for deed, which, wait_ms in deeds:
        alive = sorted(name for name, fake in world.cells.items() if fake.alive and name in world.machine.cells)
        match deed:
            case "kill" if alive:
                world.kill(alive[which % len(alive)])
            case "stop" if alive:
                world.stop(alive[which % len(alive)])
            case "hang_agent":
                agent = world.serving(agent_address("n1"))
                if agent is not None:
                    world.stop(agent)
            case "untrack":
                world.tell(m.StopChildren((BOOKS[which % 3].address,)))
            case "track":
                world.tell(m.RunChildren((BOOKS[which % 3],)))
            case "restart":
                world.tell(m.RestartRequested(tuple(spec.address for spec in (*BOOKS, MANAGER))))
            case "lose" if "n2" in world.machine.nodes:
                world.lose("n2")
            case "join":
                world.tell(m.NodeSeen("n2"))
        world.run(wait_ms / 1000)
    world.tell(m.RunChildren((*ALL, MANAGER)))
    world.tell(m.NodeSeen("n2"))
    for name, fake in world.cells.items():  # agents report the processes that are still stopped
        if fake.stopped and fake.alive:
            world.soon(m.Hung(name), 1)
    for _ in range(24):  # two minutes at the most
        world.run(5)
        if is_whole(world):
            break
    world.run(10)
    for spec in (*ALL, MANAGER):
        assert world.serving(spec.address), spec.address
        world.one_server(spec.address)
    assert is_whole(world)


def is_whole(world: World) -> bool:
    """Whether every child serves, both nodes have their spares, and no restart is under way.

    An order manager has a separate spare.

    A cell that was made for a child which then found another place stays as one more spare.
    """
    serving = all(world.serving(spec.address) for spec in ALL)
    spares = all(3 <= world.spares(node) <= 3 + len(ALL) for node in ("n1", "n2"))
    return serving and spares and not world.machine.rolling.queue


def test_a_decision_looks_at_no_more_waiting_children_than_can_start() -> None:
    """With many waiting children each event cost time for all of them, so a boot took the square of their number."""
    looked = 0

    class Counted(Machine):
        def _is_due(self, child: Child, now_ns: int) -> bool:
            nonlocal looked
            looked += 1
            return super()._is_due(child, now_ns)

    books = tuple(ChildSpec(f"book/x/{n}", "book", {"n": n}, group="x") for n in range(300))
    world = World()
    world.machine = Counted(1, world.settings, world._name)
    world.tell(m.NodeSeen("n1"))
    world.tell(m.RunChildren(books))
    looked = 0
    world.run(3)
    events = sum(1 for _, effect in world.log if isinstance(effect, m.Create | m.AdoptCell))
    assert 0 < looked < 100 + 20 * events
