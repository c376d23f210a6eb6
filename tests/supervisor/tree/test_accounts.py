"""Accounts in the tree: the order of start and stop, the reach of a death, and the loss of a node."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.port import World
from tests.fakes.settings import amend, exchange_settings
from venuemesh.supervisor.status import describe
from venuemesh.supervisor.tree import events as m
from venuemesh.supervisor.tree.child import ChildSpec, Tier
from venuemesh.supervisor.tree.desired import Desired
from venuemesh.supervisor.tree.plan import PINNED, account_specs, base_specs
from venuemesh.supervisor.tree.policy import Policy
from venuemesh.supervisor.tree.records import CellState, ChildState
from venuemesh.supervisor.tree.settings import MeshSettings, TreeSettings

SETTINGS = exchange_settings("x", accounts={"main": {"on_shutdown": "cancel"}, "second": {}})
SQLITE, POSTGRES = "n1", None  # the node of the journal
BOOKS = tuple(ChildSpec(f"book/x/{n}", "book", group="x", after=("limits/x/default", "catalog/x")) for n in "abc")
ORDERS, STREAM = "orders/x/main", "stream/x/main"


def specs(journal):
    return (*base_specs("x", SETTINGS), *BOOKS, *account_specs("x", SETTINGS, journal))


def grown(*nodes: str, journal=SQLITE, **changes: object) -> World:
    world = World(settings=TreeSettings(**changes))  # type: ignore[arg-type]
    for node in nodes:
        world.tell(m.NodeSeen(node))
    world.tell(m.RunChildren(specs(journal)))
    world.run(30.0)
    return world


def row(world: World, address: str):
    return next(r for r in describe(world.machine, {}, {}, {}, world.now_ns)["children"] if r["address"] == address)


def test_a_silent_node_and_its_silent_children_are_shown_as_unreachable_and_nothing_is_decided():
    world = World()
    for node, host in (("n1", "alpha"), ("n2", "beta")):
        world.tell(m.NodeSeen(node, {"zone": host}, host))
    world.tell(m.RunChildren(specs("n2")))
    world.run(30.0)
    statuses = {address: {"error": None} for address in (ORDERS, "limits/x/default")}  # these two have answered
    shown = describe(world.machine, {}, statuses, {}, world.now_ns, unreachable={"n2": 2.5})
    nodes = {row["host"]: (row["state"], row["silent_s"], row["egress"], row["labels"]) for row in shown["nodes"]}
    assert nodes == {
        "alpha": ("UP", None, ["default"], {"zone": "alpha"}),
        "beta": ("UNREACHABLE", 2.5, ["default"], {"zone": "beta"}),
    }
    rows = {row["address"]: row for row in shown["children"]}
    assert (rows[ORDERS]["state"], rows[ORDERS]["host"]) == ("SERVING", "beta")
    assert rows[STREAM]["state"] == "UNREACHABLE"
    assert rows[STREAM]["why"] == ("its node beta has not answered for 2.5 s; the cluster has not declared it lost yet")
    assert all(row["state"] == "SERVING" for row in rows.values() if row["node"] == "n1")
    assert world.machine.children[STREAM].state is ChildState.SERVING


def test_every_account_is_served_on_the_journal_s_node_and_found_by_its_address():
    world = grown("n1", "n2")
    for address in (ORDERS, STREAM, "orders/x/second", "stream/x/second"):
        assert world.serving(address)
        route = world.machine.routes.get(address)
        assert route is not None
        assert (route.address, route.node) == (address, "n1")


def test_accounts_start_after_limits_and_catalog_and_before_the_books():
    world = grown("n1")
    started = [e.spec for _, e in world.log if isinstance(e, m.AdoptCell) and e.spec.tier is not Tier.AGENT]
    assert [spec.tier for spec in started] == [
        Tier.LIMITS, Tier.CATALOG, Tier.STREAM, Tier.STREAM, Tier.ORDERS, Tier.ORDERS, Tier.BOOK, Tier.BOOK, Tier.BOOK,
    ]  # fmt: skip


def test_where_spares_are_few_the_accounts_take_them():
    world = grown("n1", spares_per_node=1)
    world.no_creation = True
    cells = [world.serving(address) for address in ("book/x/a", "book/x/b", STREAM, ORDERS)]
    for cell in cells:
        assert cell is not None
        world.cells[cell].alive = False
    for cell in (cells[2], cells[3], cells[0], cells[1]):
        world.tell(m.Died(cell))  # type: ignore[arg-type]
    world.run(1)
    assert world.serving(STREAM)
    assert world.serving(ORDERS)
    assert world.machine.children["book/x/a"].state is ChildState.WAITING


def test_a_shutdown_stops_managers_then_streams_then_books_then_what_they_stood_on():
    world = grown("n1")
    limits = {e.spec.address: e.spec for _, e in world.log if isinstance(e, m.AdoptCell)}
    address_of = {name: fake.address for name, fake in world.cells.items()}
    assert limits[ORDERS].shutdown_s == 20.0
    assert limits["orders/x/second"].shutdown_s == 5.0
    world.log.clear()
    world.tell(m.ShutDown())
    world.run(10)
    stopped = [address_of[e.cell] for _, e in world.log if isinstance(e, m.StopCell) and address_of[e.cell]]
    kinds = list(dict.fromkeys(address.split("/")[0] for address in stopped))
    assert kinds == ["orders", "stream", "book", "catalog", "limits", "agent"]
    at = {address_of[e.cell]: t for t, e in world.log if isinstance(e, m.StopCell)}
    assert at["stream/x/second"] > at[ORDERS]  # both managers have ended before a stream is stopped
    assert world.machine.ended


@pytest.mark.parametrize(
    ("event", "final"),
    [
        (m.ShutDown(), True),
        (m.StopChildren((ORDERS,)), True),
        (m.RestartRequested((ORDERS,)), False),
        (m.UpgradeRequested(), False),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_manager_learns_whether_its_end_is_final(event, final):
    world = grown("n1")
    cell = world.serving(ORDERS)
    assert cell is not None
    world.log.clear()
    world.tell(event)
    world.run(30.0)
    assert [e.final for _, e in world.log if isinstance(e, m.StopCell) and e.cell == cell] == [final]


@pytest.mark.parametrize("after_s", [0.0, 0.01, 0.03, 0.2])
def test_a_shutdown_during_a_restart_still_lets_the_manager_do_its_last_work(after_s):
    world = grown("n1")
    world.log.clear()
    world.tell(m.RestartRequested((ORDERS,)))
    while not any(isinstance(e, m.StopCell) for _, e in world.log):
        world.run(0.01)
    world.run(after_s)
    world.tell(m.ShutDown())
    world.run(30.0)
    ends = {world.cells[e.cell].address: e.final for _, e in world.log if isinstance(e, m.StopCell)}
    assert ends[ORDERS], "the last process of the manager did not learn that its end is final"
    assert world.machine.ended


def test_a_shutdown_does_not_wait_for_a_manager_that_cannot_start():
    world = grown("n1")
    cell = world.serving(ORDERS)
    assert cell is not None
    world.deaf.add(ORDERS)
    world.kill(cell)
    world.run(0.1)
    world.tell(m.ShutDown())
    world.run(60.0)
    assert world.machine.ended


def test_a_process_that_could_not_be_ended_is_ended_later():
    world = grown("n1")
    cell, agent = world.serving("book/x/a"), world.serving("agent/n1")
    assert cell is not None
    assert agent is not None
    for silent in (cell, agent):
        world.cells[silent].stopped = True
    world.tell(m.StopChildren(("book/x/a",)))
    world.run(30.0)
    assert world.cells[cell].alive
    assert world.machine.cells[cell].state is CellState.KILLING
    world.cells[cell].stopped = False
    world.run(10.0)
    assert not world.cells[cell].alive
    assert cell not in world.machine.cells


def test_every_tier_has_its_place_in_both_orders():
    assert sorted(tier.ends for tier in Tier) == list(range(len(Tier)))
    assert max(Tier, key=lambda tier: tier.ends) is Tier.ORDERS


@pytest.mark.parametrize(("dies", "lives"), [(ORDERS, STREAM), (STREAM, ORDERS)])
def test_a_stream_outlives_its_manager_and_the_other_way_round(dies, lives):
    world = grown("n1")
    cell, other = world.serving(dies), world.serving(lives)
    assert cell is not None
    world.kill(cell)
    world.run(0.02)
    assert world.serving(dies) not in (None, cell)
    assert world.serving(lives) == other


def test_a_stopped_manager_is_killed_before_its_successor_serves():
    world = grown("n1")
    cell = world.serving(ORDERS)
    assert cell is not None
    world.stop(cell)
    world.run(1.5)
    order = [e for _, e in world.log if isinstance(e, (m.KillCell, m.AdoptCell))][-2:]
    assert isinstance(order[0], m.KillCell)
    assert isinstance(order[1], m.AdoptCell)
    assert order[1].predecessor == (world.cells[cell].pid, world.cells[cell].pid)
    assert order[1].incarnation > world.cells[cell].incarnation  # type: ignore[operator]
    assert not world.cells[cell].alive
    assert world.serving(ORDERS)


def test_manager_and_agent_stopped_together_the_successor_kills_its_predecessor_itself():
    world = grown("n1")
    cell, agent = world.serving(ORDERS), world.serving("agent/n1")
    assert cell is not None
    assert agent is not None
    world.stop(agent)
    world.stop(cell)
    world.run(5)
    assert not world.cells[cell].alive
    assert world.serving(ORDERS)


def on_hosts(*nodes: str, known=None, **identities: str) -> World:
    """A world in which these nodes run on these hosts; `known`: what an earlier supervisor stored."""
    world = World(identities=identities)
    world.machine.identities |= known or {}
    for node in nodes:
        world.tell(m.NodeSeen(node))
    world.tell(m.RunChildren(specs(SQLITE)))
    world.run(30.0)
    return world


def test_with_sqlite_an_account_returns_with_its_host_when_ray_has_given_it_another_node_id():
    world = on_hosts("n1", "n2", n1="alpha/1", n2="beta/2", n3="beta/2", n4="alpha/1")
    assert world.machine.homes == {"n1": "alpha/1"}
    world.lose("n1")
    world.tell(m.NodeSeen("n3"))  # a new node on another host is not its host
    world.run(20)
    assert world.machine.children[ORDERS].cell is None
    assert "its node alpha is lost" in row(world, ORDERS)["why"]
    world.tell(m.NodeSeen("n4"))
    world.run(20)
    assert world.serving(ORDERS)
    assert row(world, ORDERS)["node"] == "n4"
    world.lose("n4")
    world.run(5)
    assert world.machine.children[ORDERS].cell is None
    world.identities["n5"] = "alpha/1"
    world.tell(m.NodeSeen("n5"))
    world.run(20)
    assert row(world, ORDERS)["node"] == "n5"


def test_a_later_supervisor_knows_the_host_of_a_node_that_was_lost_before_it():
    world = on_hosts("n2", "n4", n2="beta/2", n4="alpha/1", known={"n1": "alpha/1"})
    assert (world.serving(ORDERS), row(world, ORDERS)["node"]) != (None, None)
    assert row(world, ORDERS)["node"] == "n4"
    unknown = on_hosts("n2", n2="")
    assert unknown.machine.children[ORDERS].cell is None


def test_with_sqlite_a_lost_node_means_waiting_and_status_states_the_reason():
    world = grown("n1", "n2")
    world.lose("n1")
    world.run(10)
    assert all(world.serving(book.address) for book in BOOKS)
    for address in (ORDERS, STREAM):
        assert world.serving(address) is None
        shown = row(world, address)
        assert (shown["state"], shown["node"]) == ("WAITING", "n1")
        assert "its node n1 is lost, and it cannot run on another" in shown["last_error"]
        assert "SQLite" in shown["last_error"]
    assert describe(world.machine, {}, {}, {}, world.now_ns)["groups"]["x"] == "DEGRADED"
    assert not [e for _, e in world.log if isinstance(e, m.AdoptCell) and e.spec.tier is Tier.ORDERS and e.cell in
                {name for name, fake in world.cells.items() if fake.node == "n2"}]  # fmt: skip
    world.tell(m.NodeSeen("n1"))
    world.run(10)
    assert world.serving(ORDERS)
    assert row(world, ORDERS)["last_error"] == "its node was lost"
    assert describe(world.machine, {}, {}, {}, world.now_ns)["groups"]["x"] == "OK"


def test_a_new_supervisor_that_never_saw_the_node_says_the_same():
    world = World(epoch=2)
    world.tell(m.NodeSeen("n2"))
    world.tell(m.RunChildren(specs(SQLITE)))
    world.run(10)
    assert PINNED in row(world, ORDERS)["last_error"]
    assert row(world, "book/x/a")["last_error"] is None


def test_with_postgresql_an_account_moves():
    world = grown("n1", "n2", journal=POSTGRES)
    node = world.machine.children[ORDERS].node
    assert node is not None
    other = "n2" if node == "n1" else "n1"
    world.lose(node)
    world.run(10)
    assert world.machine.children[ORDERS].node == other
    assert world.serving(ORDERS)
    last = [e for _, e in world.log if isinstance(e, m.AdoptCell) and e.spec.address == ORDERS][-1]
    assert last.predecessor is None  # it cannot be killed from here: the journal's epoch fences it


def test_stopping_an_exchange_stops_its_books_and_nothing_else():
    desired = Desired(MeshSettings("m", {"x": SETTINGS}, journal_node=SQLITE))
    running = {spec.address: spec for spec in specs(SQLITE)}
    desired.network("x", running=False)
    assert set(desired.books("x", running).end) == {book.address for book in BOOKS}
    assert {ORDERS, STREAM} <= {spec.address for spec in desired.first_specs()}


def test_an_account_that_is_no_longer_configured_is_a_stranger_and_a_changed_one_is_restarted():
    less = replace(SETTINGS, accounts={"main": SETTINGS.accounts["main"]})
    desired = Desired(MeshSettings("m", {"x": less}, journal_node=SQLITE))
    running = {spec.address: spec for spec in specs(SQLITE)}
    assert sorted(desired.strangers(running)) == ["orders/x/second", "stream/x/second"]
    world = grown("n1")
    before = {address: world.serving(address) for address in (ORDERS, STREAM, "orders/x/second")}
    changed = next(spec for spec in specs(SQLITE) if spec.address == ORDERS)
    world.tell(m.RunChildren((replace(changed, config=amend(changed.config, max_open_orders=3)),)))
    world.run(5)
    assert world.serving(ORDERS) not in (None, before[ORDERS])
    assert world.serving(STREAM) == before[STREAM]
    assert world.serving("orders/x/second") == before["orders/x/second"]


def trading_spares(world: World, node: str) -> int:
    cells = world.machine.cells.values()
    return sum(1 for c in cells if c.node == node and c.state is CellState.SPARE and c.trading)


def test_a_node_that_trades_keeps_one_spare_more_which_is_made_for_managers():
    both = grown("n1", "n2")
    assert (trading_spares(both, "n1"), trading_spares(both, "n2")) == (1, 0)
    assert (both.spares("n1"), both.spares("n2")) == (3, 2)
    world = grown("n1")
    kept = next(c.name for c in world.machine.cells.values() if c.trading and c.state is CellState.SPARE)
    cell = world.serving("book/x/a")
    assert cell is not None
    world.kill(cell)
    world.run(0.02)
    assert world.serving("book/x/a") not in (None, kept)
    cell = world.serving(ORDERS)
    assert cell is not None
    world.kill(cell)
    world.run(0.02)
    assert world.serving(ORDERS) == kept
    world.run(5)
    assert (trading_spares(world, "n1"), world.spares("n1")) == (1, 3)


def test_without_accounts_no_spare_is_made_for_them():
    world = World()
    world.tell(m.NodeSeen("n1"))
    world.tell(m.RunChildren((*base_specs("x", SETTINGS), *BOOKS)))
    world.run(20)
    assert not [e for _, e in world.log if isinstance(e, m.Create) and e.trading]


def test_a_manager_takes_any_spare_where_there_is_no_other():
    world = grown("n1")
    for cell in world.machine.cells.values():
        cell.trading = False
    cell = world.serving(ORDERS)
    assert cell is not None
    world.kill(cell)
    world.run(0.02)
    assert world.serving(ORDERS)


HURT = st.lists(
    st.tuples(
        st.sampled_from(["kill", "stop", "hang_agent", "restart", "lose", "join", "run"]),
        st.integers(0, 30),
        st.integers(1, 1500),
    ),
    max_size=15,
)


@settings(max_examples=25, deadline=None)
@given(HURT, st.sampled_from([SQLITE, POSTGRES]))
def test_an_account_never_has_two_managers_and_in_the_end_it_has_one(deeds, journal):
    """`World` checks at every adoption that no other process of that address is alive."""
    world = grown("n1", "n2", journal=journal, policy=Policy(intensity=1000))
    for deed, which, wait_ms in deeds:
        alive = sorted(name for name, fake in world.cells.items() if fake.alive and name in world.machine.cells)
        if deed == "kill" and alive:
            world.kill(alive[which % len(alive)])
        elif deed == "stop" and alive:
            world.stop(alive[which % len(alive)])
        elif deed == "hang_agent" and (agent := world.serving("agent/n1")) is not None:
            world.stop(agent)
        elif deed == "restart":
            world.tell(m.RestartRequested((ORDERS, STREAM)))
        elif deed == "lose" and "n1" in world.machine.nodes:
            world.lose("n1")
        elif deed == "join":
            world.tell(m.NodeSeen("n1"))
        world.run(wait_ms / 1000)
        if journal == SQLITE:
            assert world.machine.children[ORDERS].node in (None, "n1")
    world.tell(m.NodeSeen("n1"))
    for name, fake in world.cells.items():  # agents report the processes that are still stopped
        if fake.stopped and fake.alive:
            world.soon(m.Hung(name), 1)
    world.run(40)
    for address in (ORDERS, STREAM, "orders/x/second", "stream/x/second"):
        assert world.serving(address), address
        world.one_server(address)
        assert row(world, address)["state"] == "SERVING"
    assert trading_spares(world, world.machine.children[ORDERS].node or "") >= 1


def test_the_tree_says_why_an_actor_is_not_as_it_should_be():
    world = grown("n1", spares_per_node=1)
    silent = row(world, STREAM)
    assert silent["why"] == "it did not answer in time"
    (told,) = (r for r in describe(world.machine, {}, {STREAM: {"error": "lost: 1006"}}, {}, 0)["children"]
               if r["address"] == STREAM)  # fmt: skip
    assert told["why"] == "lost: 1006"
    world.no_creation = True
    for address in (STREAM, ORDERS, "book/x/a"):
        cell = world.serving(address)
        assert cell is not None
        pid = world.machine.cells[cell].pid
        world.kill(cell)
        world.run(0.02)
    assert row(world, "book/x/a")["last_error"] == f"its process {pid} was killed from outside or crashed"
    assert row(world, "book/x/a")["why"].startswith("waits for a process; it ended before: its process")


def test_actors_that_wait_for_a_process_know_why_none_starts():
    world = World(settings=TreeSettings(), no_creation=True)
    world.tell(m.NodeSeen("n1"))
    world.tell(m.RunChildren(specs(SQLITE)))
    world.run(2.0)
    cause = "a process did not start on node n1: no room"
    first = row(world, "limits/x/default")
    assert first["why"] == f"waits for a process: {cause}"
    assert first["last_error"] == cause
    assert row(world, "book/x/a")["why"].startswith("starts after")
    assert row(world, "book/x/a")["last_error"] is None
    world.no_creation = False
    world.run(5.0)
    assert world.machine.create_errors == {}
    assert row(world, "limits/x/default")["last_error"] is None


def test_a_waiting_actor_names_what_it_starts_after_and_a_hung_one_keeps_its_cause():
    world = World(settings=TreeSettings())
    world.tell(m.RunChildren(specs(SQLITE)))
    assert row(world, "book/x/a")["why"] == "starts after limits/x/default, catalog/x"
    world = grown("n1")
    cell = world.serving("book/x/b")
    assert cell is not None
    world.tell(m.Hung(cell))
    world.run(0.5)
    assert row(world, "book/x/b")["last_error"] == "its loop did not run; killed"
