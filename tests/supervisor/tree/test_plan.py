"""From patterns and instrument lists to children."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.settings import exchange_settings
from venuemesh.actors.book.settings import BookSettings
from venuemesh.actors.orders.settings import Limits
from venuemesh.connectors.settings import ConnectorSettings
from venuemesh.connectors.spec import Limit
from venuemesh.model.address import Route
from venuemesh.model.errors import Misconfigured, UnknownExchange
from venuemesh.model.instrument import Instrument
from venuemesh.supervisor.tree.child import ChildSpec, Tier
from venuemesh.supervisor.tree.desired import Desired
from venuemesh.supervisor.tree.mirror_leases import MirrorLeases
from venuemesh.supervisor.tree.placement import Seats
from venuemesh.supervisor.tree.plan import Changes, Listed, Plan, add_rules, changes, is_tracked, messages, plan_books
from venuemesh.supervisor.tree.records import Cell, CellState, Child
from venuemesh.supervisor.tree.routes import RouteTable
from venuemesh.supervisor.tree.settings import MeshSettings


def listed(*names: str, scale: int = 2, **rules: Any) -> list[dict[str, Any]]:
    return [Instrument("x", n, n.replace("-", ""), n, n, scale, 5, **rules).to_dict() for n in names]


def plan(
    names: list[str], rules: list[tuple[bool, str]], running: dict[str, ChildSpec] | None = None, **kw: Any
) -> Plan:
    return plan_of(listed(*names), rules, running, **kw)


def plan_of(
    instruments: list[dict[str, Any]],
    rules: list[tuple[bool, str]],
    running: Mapping[str, ChildSpec] | None = None,
    **kw: Any,
) -> Plan:
    return plan_books(
        "x", exchange_settings("x", **kw), rules, [Listed.read(plain) for plain in instruments], running or {}
    )


def desired_of(birth: str = "", **pairs: tuple[str, ...]) -> Desired:
    exchanges = {exchange: exchange_settings(exchange, pairs=named) for exchange, named in pairs.items()}
    return Desired(MeshSettings("m", exchanges, birth=birth))


def test_the_last_rule_that_matches_decides() -> None:
    rules = add_rules([(True, "*-USDT")], False, ["BTC-USDT"])
    assert is_tracked("ETH-USDT", rules)
    assert not is_tracked("BTC-USDT", rules)
    assert is_tracked("BTC-USDT", add_rules(rules, True, ["BTC-USDT"]))
    assert len(add_rules(add_rules(rules, True, ["BTC-USDT"]), False, ["BTC-USDT"])) == 2


def test_named_pairs_that_are_not_there_are_refused_and_patterns_are_not() -> None:
    found = plan_of(listed("C-D", status="BREAK"), [(True, "A-B"), (True, "C-D"), (True, "Z*")])
    assert set(found.refused) == {"A-B"}
    assert list(found.specs) == ["book/x/C-D"]


def test_a_redundant_book_has_a_replica_which_starts_after_it_on_another_node() -> None:
    found = plan(["A-B", "C-D"], [(True, "*")], redundancy=2)
    assert list(found.specs) == ["book/x/A-B", "replica/x/A-B", "book/x/C-D", "replica/x/C-D"]
    book, replica = found.specs["book/x/A-B"], found.specs["replica/x/A-B"]
    assert (book.apart, replica.apart) == (replica.address, book.address)
    assert [address for address, _ in replica.serves] == ["replica/x/A-B"]
    assert replica.after == (*book.after, book.address)
    assert replica.config == book.config
    assert replica.config.redundant
    assert ChildSpec.from_dict(msgpack.unpackb(msgpack.packb(replica.to_dict()))) == replica


def test_groups_of_redundant_books_keep_their_seats_and_change_with_their_replicas() -> None:
    first = plan(list("abc"), [(True, "*")], pairs_per_actor=2, redundancy=2)
    assert list(first.specs) == ["book/x/group-1", "replica/x/group-1", "book/x/group-2", "replica/x/group-2"]
    second = plan(list("bcd"), [(True, "*")], dict(first.specs), pairs_per_actor=2, redundancy=2)
    assert second.seats == {"b": 1, "c": 2, "d": 3}
    todo = changes(first.specs, second)
    assert [spec.address for spec in todo.amend] == ["book/x/group-1", "replica/x/group-1"]
    assert [spec.address for spec in todo.run] == ["book/x/group-3", "replica/x/group-3"]
    single = changes(second.specs, plan(list("bcd"), [(True, "*")], dict(second.specs), pairs_per_actor=2))
    assert set(single.end) == {"replica/x/group-1", "replica/x/group-2", "replica/x/group-3"}


def test_a_replica_that_outlives_its_group_and_the_supervisor_keeps_the_seats() -> None:
    every = plan(list("abcdef"), [(True, "*")], pairs_per_actor=2, redundancy=2)
    found = {a: spec for a, spec in every.specs.items() if a not in ("book/x/group-2", "replica/x/group-3")}
    again = plan(list("abcdef"), [(True, "*")], found, pairs_per_actor=2, redundancy=2)
    assert again.seats == every.seats
    todo = changes(found, again)
    assert [spec.address for spec in todo.run] == ["book/x/group-2", "replica/x/group-3"]
    assert (todo.amend, todo.end) == ((), ())


def test_a_pair_that_does_not_trade_is_tracked_by_name_or_if_it_runs() -> None:
    before = plan(["A-B", "C-D"], [(True, "*")])
    halted = listed("A-B", "C-D", "E-F", status="BREAK")
    after = plan_of(halted, [(True, "*")], before.specs)
    assert list(after.specs) == ["book/x/A-B", "book/x/C-D"]
    todo = changes(before.specs, after)
    assert (todo.run, todo.end, len(todo.amend)) == ((), (), 2)
    told = messages(before.specs["book/x/A-B"], todo.amend[0])
    assert [(kind, body["instrument"]["status"]) for kind, body in told] == [("track", "BREAK")]
    assert messages(todo.amend[0], todo.amend[0]) == []
    assert not plan_of(halted, [(True, "*")]).specs
    assert list(plan_of(halted, [(True, "*"), (True, "E-F")]).specs) == ["book/x/E-F"]
    assert not plan_of(halted, [(True, "E-F"), (False, "E*")]).specs


def test_running_pairs_that_the_list_lacks_stay_until_they_are_gone() -> None:
    desired = desired_of(x=("A-B", "C-D", "E-*"))
    desired.listed("x", listed("A-B", "C-D", "E-F"))
    running = {spec.address: spec for spec in desired.books("x", {}).run}
    assert (len(running), desired.is_watched("x")) == (3, False)
    desired.listed("x", listed("1-2"))
    assert desired.books("x", running) == Changes((), (), ())
    assert sorted(one.name for one in desired.missing("x")) == ["A-B", "C-D", "E-F"]
    assert (desired.refused, desired.is_watched("x")) == ({}, True)
    assert set(desired.doubts) == set(running)
    desired.judged("x", gone=["A-B"], silent=["E-F"])
    todo = desired.books("x", running)
    assert (todo.run, todo.end) == ((), ("book/x/A-B",))
    assert [spec.config.instruments[0].status for spec in todo.amend] == ["UNLISTED"]
    assert set(desired.refused) == {"book/x/A-B"}
    running = {address: spec for address, spec in running.items() if address != "book/x/A-B"}
    running[todo.amend[0].address] = todo.amend[0]
    desired.rule("x", False, ["C-D"])  # untracked by the user: nothing keeps it
    assert desired.books("x", running).end == ("book/x/C-D",)
    desired.listed("x", listed("1-2", "E-F"), kept=["E-F"])
    assert desired.books("x", running) == Changes((), (), ("book/x/C-D",))
    assert [one.name for one in desired.missing("x")] == ["E-F"]
    desired.listed("x", listed("A-B", "E-F"))
    todo = desired.books("x", running)
    assert [spec.address for spec in todo.run] == ["book/x/A-B"]
    assert [spec.config.instruments[0].status for spec in todo.amend] == ["TRADING"]
    assert desired.missing("x") == []


def test_new_pairs_fill_new_groups_and_gone_ones_leave_theirs_in_place() -> None:
    first = plan(list("abcde"), [(True, "*")], pairs_per_actor=2)
    assert [len(spec.config.instruments) for spec in first.specs.values()] == [2, 2, 1]
    second = plan(list("bcdefg"), [(True, "*")], dict(first.specs), pairs_per_actor=2)
    todo = changes(first.specs, second)
    assert [spec.address for spec in todo.run] == ["book/x/group-4"]
    assert [spec.address for spec in todo.amend] == ["book/x/group-1"]
    assert not todo.end
    assert [served for served, _ in second.specs["book/x/group-1"].serves] == ["book/x/b"]


def test_only_what_a_book_is_built_on_restarts_it() -> None:
    before = plan(["a"], [(True, "*")])
    ruled = plan_of(listed("a", min_notional=Decimal(5)), [(True, "*")], before.specs)
    assert changes(before.specs, ruled).run == ()
    assert changes(before.specs, ruled).amend == tuple(ruled.specs.values())
    scaled = plan_of(listed("a", scale=3), [(True, "*")], before.specs)
    assert [spec.address for spec in changes(before.specs, scaled).run] == ["book/x/a"]


@given(st.lists(st.sets(st.sampled_from("abcdefghij"), max_size=10), min_size=1, max_size=6), st.integers(1, 4))
def test_each_wanted_pair_is_served_once_and_running_groups_are_never_restarted(
    lists: list[set[str]], size: int
) -> None:
    running: dict[str, ChildSpec] = {}
    for names in lists:
        found = plan(sorted(names), [(True, "*")], running, pairs_per_actor=size)
        served = [address for spec in found.specs.values() for address, _ in spec.serves]
        assert sorted(served) == sorted(f"book/x/{name}" for name in names)
        todo = changes(running, found)
        assert not {spec.address for spec in todo.run} & set(running)
        running = dict(found.specs)


def test_desired_survives_as_plain_data() -> None:
    desired = desired_of(x=("a",))
    desired.rule("x", True, ["b"])
    again = Desired(desired.settings, desired.to_dict())
    again.listed("x", listed("a", "b", "c"))
    assert sorted(spec.address for spec in again.books("x", {}).run) == ["book/x/a", "book/x/b"]
    assert again.unread == []


def test_a_mesh_created_again_starts_from_its_configuration() -> None:
    desired = desired_of("1", x=("a",))
    desired.rule("x", True, ["b"])
    desired.network("x", False)
    restarted = Desired(desired_of("2", x=("c",)).settings, desired.to_dict())
    restarted.listed("x", listed("a", "b", "c"))
    assert [spec.address for spec in restarted.books("x", {}).run] == ["book/x/c"]
    assert restarted.stopped == []


def test_a_stopped_exchange_has_no_books_and_forgets_nothing() -> None:
    desired = desired_of(x=("a", "nope"), y=("a",))
    desired.listed("x", listed("a", "b"))
    running = {spec.address: spec for spec in desired.books("x", {}).run}
    assert desired.dormant() == {}
    desired.network("x", False)
    assert desired.books("x", running).end == ("book/x/a",)
    assert desired.books("x", {}) == Changes((), (), ())
    assert set(desired.dormant()) == {"book/x/a"}
    assert set(desired.refused) == {"book/x/nope"}
    desired.rule("x", True, ["b"])
    assert set(desired.dormant()) == {"book/x/a", "book/x/b"}
    again = Desired(desired.settings, desired.to_dict())
    assert again.stopped == ["x"]
    assert again.books("x", running).end == ("book/x/a",)  # before its list is read
    again.listed("x", listed("a", "b"))
    again.network("x", True)
    assert [spec.address for spec in again.books("x", {}).run] == ["book/x/a", "book/x/b"]
    assert again.dormant() == {}
    with pytest.raises(UnknownExchange):
        again.network("z", True)


def test_a_change_that_is_not_durable_leaves_what_is_desired_alone() -> None:
    desired = desired_of(x=("a",))
    desired.listed("x", listed("a", "b"))
    changed = desired.copy()
    changed.rule("x", True, ["b"])
    changed.network("x", False)
    assert [spec.address for spec in desired.books("x", {}).run] == ["book/x/a"]
    desired.take(changed)
    assert desired.stopped == ["x"]
    assert set(desired.dormant()) == {"book/x/a", "book/x/b"}


def test_an_empty_pair_is_refused_and_changes_nothing() -> None:
    desired = desired_of(x=("a",))
    desired.listed("x", listed("a", "b"))
    with pytest.raises(Misconfigured, match="empty"):
        desired.rule("x", True, ["b", ""])
    assert [spec.address for spec in desired.books("x", {}).run] == ["book/x/a"]
    assert desired.refused == {}


def test_strangers_are_what_another_configuration_left() -> None:
    before = desired_of(x=(), y=())
    running = {spec.address: spec for spec in before.first_specs()}
    running["book/y/a"] = ChildSpec("book/y/a", "book")
    running["book/x/a"] = ChildSpec("book/x/a", "book")
    running["agent/n"] = ChildSpec("agent/n", "agent", tier=Tier.AGENT, node="n")
    assert before.strangers(running) == ()
    after = desired_of(x=())
    assert set(after.strangers(running)) == {"limits/y/default", "catalog/y", "book/y/a"}


def test_a_child_spec_survives_as_plain_data() -> None:
    rules = {"min_notional": Decimal("5.00"), "percent_price": (Decimal(1),) * 4, "features": ("amend",)}
    options = {"nodes": {"zone": "1"}, "options": {"speed": "100ms", "deep": True, "limit": 5}}
    (spec,) = plan_of(listed("a", **rules), [(True, "a")], **options).specs.values()
    stored = msgpack.unpackb(msgpack.packb(spec.to_dict()))
    assert ChildSpec.from_dict(stored) == spec


def test_settings_of_every_kind_survive_as_plain_data() -> None:
    own = {
        "max_order_notional": Decimal("1000.50"),
        "account_limits": {"orders_10s": Limit(100, 10.0, "account")},
        "pair_limits": {"A-B": Limits(max_open_orders=3)},
    }
    settings = MeshSettings("m", {"x": exchange_settings("x", accounts={"main": own})}, children=(ChildSpec("a", "k"),))
    for spec in Desired(settings).first_specs():
        assert ChildSpec.from_dict(msgpack.unpackb(msgpack.packb(spec.to_dict()))) == spec
        assert pickle.loads(pickle.dumps(spec)) == spec


def test_stored_wishes_that_are_none_fail_loudly() -> None:
    desired = desired_of(x=("a",))
    for change in ({"rules": {"x": [["yes", "a"]]}}, {"stopped": "x"}, {"more": 1}):
        with pytest.raises(Misconfigured, match="Wishes"):
            Desired(desired.settings, {**desired.to_dict(), **change})


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"levels": "200"}, "levels: is str"),
        ({"levels": True}, "levels: is bool"),
        ({"heartbeat_limit_s": None}, "heartbeat_limit_s: is NoneType"),
        ({"depth": 5}, "depth"),
        ({"connector": {}}, "exchange"),
        ({"instruments": {}}, "not a list"),
        ({"type": "venuemesh.actors.book.settings:Settings"}, "cannot be loaded"),
        ({"type": "os:getcwd"}, "not a class"),
    ],
)
def test_an_invalid_stored_child_spec_fails_loudly(change: dict[str, Any], complaint: str) -> None:
    (spec,) = plan(["a"], [(True, "a")]).specs.values()
    plain = spec.to_dict()
    with pytest.raises(Misconfigured, match=complaint):
        ChildSpec.from_dict({**plain, "config": {**plain["config"], **change}})


def spares(**count: int) -> dict[str, list[Cell]]:
    return {node: [Cell(f"{node}-{n}", node, CellState.SPARE, None) for n in range(k)] for node, k in count.items()}


def weighing(tier: Tier, node: str, weight: int = 1) -> Child:
    return Child(ChildSpec(f"{tier.name}-{node}", "k", tier=tier, weight=weight), 1, cell="x", node=node)


def test_placement() -> None:
    nodes = {"a": {"zone": "1"}, "b": {"zone": "2"}, "c": {}}
    children = [weighing(Tier.LIMITS, "a", 5), weighing(Tier.LIMITS, "b"), weighing(Tier.LIMITS, "c")]
    seats = Seats(nodes, children, spares(a=0, b=0, c=2))
    assert seats.choose(ChildSpec("s", "k")) == "c"
    assert seats.choose(ChildSpec("s", "k"), last="a") == "a"
    assert seats.choose(ChildSpec("s", "k", labels=(("zone", "1"),)), last="b") == "a"
    assert seats.choose(ChildSpec("s", "k", node="z")) is None
    assert seats.choose(ChildSpec("s", "k", node="b")) == "b"
    seats.spares["c"].clear()
    assert seats.choose(ChildSpec("s", "k")) == "b"


def test_books_are_spread_over_nodes_with_unequal_other_work() -> None:
    labels: dict[str, dict[str, str]] = {"a": {}, "b": {"zone": "1"}, "c": {"zone": "1"}}
    fixed = [Child(ChildSpec(f"limits-{n}", "limits", tier=Tier.LIMITS), n, cell="x", node="c") for n in range(3)]
    specs = [ChildSpec(f"book-{n}", "book", tier=Tier.BOOK) for n in range(4)]
    specs += [ChildSpec(f"near-{n}", "book", tier=Tier.BOOK, labels=(("zone", "1"),)) for n in range(2)]
    seats, books = Seats(labels, fixed), Counter[str]()
    for spec in specs:
        node = seats.choose(spec)
        assert node is not None
        books[node] += 1
        seats.put(spec, node)
    assert books == {"a": 2, "b": 2, "c": 2}


def test_a_successor_stays_with_a_predecessor_that_may_live_and_moves_when_it_may_not_stay() -> None:
    nodes = {"n1": {"zone": "1"}, "n2": {"zone": "2"}}
    child = Child(ChildSpec("s", "k", labels=(("zone", "1"),)), 1, node="n1", predecessor=("n1", 7, 70))
    old = Cell("c", "n1", CellState.KILLING, None, 7, 70)
    assert Seats(nodes).seat(child, [old]) == "n1"
    child.spec = ChildSpec("s", "k", labels=(("zone", "2"),))
    assert Seats(nodes).seat(child, [old]) is None
    assert Seats(nodes).seat(child, []) == "n2"
    assert Seats({"n2": nodes["n2"]}).seat(child, [old]) == "n2"  # its node is lost


def test_routes_say_what_changed_since() -> None:
    table = RouteTable(7)
    start = table.version
    table.set(Route("a", "a", "c1", "n", (7, 1)))
    table.set(Route("b", "b", "c2", "n", (7, 2)))
    after = table.version
    assert table.changed_since(start, ["a"])
    assert not table.changed_since(after, ["a"])
    table.remove("b")
    assert not table.changed_since(after, ["a"])
    assert table.changed_since(after, ["b"])
    assert table.changed_since(after)
    assert table.changed_since(-1, ["nobody"])
    assert RouteTable(8).version > table.version


def test_mirror_leases_end_and_name_only_what_lives_elsewhere() -> None:
    leases, table = MirrorLeases(10.0), RouteTable(1)
    connector = ConnectorSettings("x")
    group = ChildSpec("book/x/group-1", "book", BookSettings(connector, levels=7, trade_ring=20))
    table.set(Route("book/x/a", "book/x/group-1", "c1", "n1", (1, 1), {"name": "a"}))
    table.set(Route("book/x/b", "book/x/b", "c2", "n2", (1, 2), {"name": "b"}))
    leases.ask("n2", ["book/x/a", "book/x/b", "book/x/none"], 0)
    books = {"book/x/a": {"levels": 7, "trades": 20}}
    assert leases.sources("n2", table, {group.address: group}) == {"book/x/group-1": {"node": "n1", "books": books}}
    assert leases.nodes(9_000_000_000) == ["n2"]
    assert leases.nodes(10_000_000_000) == []


def test_an_inherited_mirror_is_kept_for_one_lease_and_told_nothing_before_its_report() -> None:
    leases = MirrorLeases(10.0)
    leases.inherit("n2", 0)
    leases.ask("n2", ["book/x/a"], 1_000_000_000)  # a reader renews: the mirror may follow more than this book
    assert leases.is_unread("n2")
    leases.reported("n2", ["book/x/a", "book/x/b"], 2_000_000_000)
    assert not leases.is_unread("n2")
    leases.inherit("n3", 0)
    leases.reported("n3", [], 2_000_000_000)  # a successor that follows nothing yet: its readers have one lease to ask
    assert sorted(leases.nodes(9_000_000_000)) == ["n2", "n3"]
    assert leases.nodes(11_000_000_000) == ["n2"]
    assert leases.nodes(12_000_000_000) == []
    leases.inherit("n4", 0)  # never reported: nothing is known after its lease
    assert leases.nodes(10_000_000_000) == []
    assert not leases.is_unread("n4")
