"""A mesh on a head and two workers; every host is killed, stopped and cut off. See docs/testing.md, The cluster."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.cluster import faults
from tests.cluster.hosts import until
from tests.cluster.net import deliver, drop
from tests.cluster.running import TITLE, Running, node_of
from tests.cluster.world import MESH
from venuemesh.model.address import BOOK, REPLICA, Address, replica_of

UNNOTICED_S = 0.5  # a loaded machine delays heartbeats of a healthy host

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]  # a new mesh takes up to three minutes of it


def test_books_are_spread_and_labels_are_respected(running: Running) -> None:
    with running.case("up"):
        children, hosts = running.children(), running.nodes()
        assert len(hosts) == 3
        books = {a: hosts[row["node"]] for a, row in children.items() if a.startswith(("book/", "replica/"))}
        for kinds, most in (((BOOK,), 1), ((BOOK, REPLICA), 2)):  # a replica may not take the emptiest host
            count = Counter(host for address, host in books.items() if Address.parse(address).kind in kinds)
            assert max(count.values()) - min(count[name] for name in running.hosts) <= most, books
        assert all(books[address] != books[replica_of(address)] for address in running.redundant_books()), books
        east = {hosts[row["node"]] for name, row in children.items() if "/east/" in name or name == "catalog/east"}
        assert east <= {"b", "c"}, east
        budgets = {name for name in children if name.startswith("limits/")}
        assert budgets == {"limits/west/default", "limits/east/east"}


def test_a_reader_maps_only_the_files_of_its_node(running: Running) -> None:
    with running.case("maps"):
        for host in running.hosts.values():
            (reader,) = host.titled("tests.cluster.reader")
            node, memory = node_of(host), os.stat(f"/proc/{host.pid}/root/dev/shm").st_dev
            assert node is not None
            lines = Path(f"/proc/{reader}/maps").read_text().splitlines()
            maps = [line.split(maxsplit=5) for line in lines if "@" in line]
            assert len({fields[5] for fields in maps}) >= len(running.books()), maps
            for fields in maps:
                major, minor = (int(part, 16) for part in fields[3].split(":"))
                assert os.makedev(major, minor) == memory, (host.name, fields)
                assert f"/{MESH}/{node[:12]}/" in fields[5], (host.name, fields)
            assert host.titled(TITLE)


@pytest.mark.parametrize("part", [*faults.PARTS, "fewest"], ids=lambda part: part.partition("/")[0])
@pytest.mark.parametrize(
    "fault", [faults.power, faults.freeze, faults.brief_cut, faults.long_cut], ids=lambda fault: fault.__name__
)
def test_a_worker_is_lost(running: Running, fault: faults.Fault, part: str) -> None:
    host = faults.victim(running, part)
    with running.case(f"{fault.__name__} with {part}", host=host.name, roles=running.roles(host)) as row:
        fault(running, host, row)
    gaps = {name: gap for name, gap in row["redundant_gaps_s"].items() if name != host.name}
    assert max(gaps.values()) <= UNNOTICED_S * running.pace, f"readers of redundant books noticed the loss: {gaps}"


def test_the_supervisor_and_a_rate_budget_are_lost_at_once(running: Running) -> None:
    host = faults.victim(running, faults.BOTH)
    with running.case(f"power with {faults.BOTH}", host=host.name, roles=running.roles(host)) as row:
        faults.power(running, host, row)


@pytest.mark.parametrize("part", ["limits/east/east", "orders/east/second"], ids=lambda part: part.partition("/")[0])
def test_a_host_is_cut_from_the_cluster_and_reaches_exchange_and_journal(running: Running, part: str) -> None:
    """Only the epoch in the journal keeps the old order manager from trading next to the new one."""
    host = faults.victim(running, part)
    others = [other for other in running.hosts.values() if other is not host]
    with running.case(f"cut from the cluster with {part}", host=host.name, roles=running.roles(host)):
        faults.cut_between(host, others)
        faults.last(faults.LONG_S)
        faults.join_again(host, others)


@pytest.mark.parametrize("way", ["from the host", "to the host"])
def test_a_partition_loses_one_way(running: Running, way: str) -> None:
    host = faults.victim(running, "orders/east/second")
    others = [other for other in running.hosts.values() if other is not host]
    lost = [(host, other) if way == "from the host" else (other, host) for other in others]
    with running.case(f"one way lost, {way}", host=host.name, roles=running.roles(host)):
        for sender, receiver in lost:
            drop(sender.pid, receiver.address)
        faults.last(faults.LONG_S)
        for sender, receiver in lost:
            deliver(sender.pid, receiver.address)


@pytest.mark.parametrize("part", ["limits/east/east", "supervisor"], ids=lambda part: part.partition("/")[0])
def test_a_host_has_a_bad_cable(running: Running, part: str) -> None:
    """Frames that are late or lost are no reason to replace anything."""
    host = faults.victim(running, part)
    with running.case(f"bad cable with {part}", host=host.name, roles=running.roles(host)):
        running.rebalance(host)  # or books of an earlier case would move by themselves now
        before = running.incarnations()
        running.world.network.impair(host.name, faults.LATE_MS, faults.LOSS)
        faults.last(faults.LONG_S)
        running.world.network.repair(host.name)
        assert running.incarnations() == before


def test_a_host_is_drained_and_takes_actors_again(running: Running) -> None:
    host = faults.victim(running, "orders/east/second")
    with running.case("drained", host=host.name, roles=running.roles(host)) as row:
        other = next(one for one in running.hosts.values() if one is not host)
        answer = json.loads(other.run(f"venuemesh drain {host.name} --json --wait 200", 240.0).splitlines()[-1])
        row["drain"] = answer
        assert answer["left"].keys() <= {"supervisor", *running.belonging(host)}
        assert {child["address"] for child in running.on(host)} <= running.belonging(host)
        assert running.state_of(host) == "DRAINED"
        running.wait_live(time.monotonic_ns())
        other.run(f"venuemesh drain --undo {host.name}", 60.0)
        assert running.state_of(host) == "UP"
        row["rebalance"] = running.rebalance(other)
        loads = row["rebalance"]["after"].values()
        assert max(loads) - min(loads) <= 1, row["rebalance"]


def test_the_supervisor_is_killed_three_times(running: Running) -> None:
    with running.case("supervisor killed three times"):
        for _ in range(3):
            faults.kill_supervisor(running)


def test_the_gcs_is_killed(running: Running) -> None:
    head = running.hosts["a"]
    with running.case("GCS killed", roles=running.roles(head)):
        (gcs,) = head.titled("gcs_server --")
        os.kill(gcs, signal.SIGKILL)
        until("another GCS runs", lambda: [pid for pid in head.titled("gcs_server --") if pid != gcs], 60.0)


def test_the_head_is_lost_and_comes_back(running: Running) -> None:
    head = running.hosts["a"]
    with running.case("head lost and back", roles=running.roles(head)):
        head.cut_power()
        faults.last(faults.BRIEF_S)
        head.boot()


def test_all_hosts_are_lost_and_come_back(running: Running) -> None:
    with running.case("all hosts lost and back"):
        for host in running.hosts.values():
            host.cut_power()
        for host in running.hosts.values():
            host.boot()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT], ids=["in order", "by a crash"])
def test_postgresql_restarts(running: Running, number: signal.Signals) -> None:
    with running.case(f"PostgreSQL restarted by {number.name}"):
        faults.restart_postgres(running, number)


def test_postgresql_fails_over(running: Running) -> None:
    running.world.start_standby()
    with running.case("PostgreSQL failed over"):
        running.world.fail_over()


def test_everything_restarts_during_trading(running: Running) -> None:
    with running.case("restart of everything"):
        supervisor = running.host_of("supervisor")
        other = next(host for host in running.hosts.values() if host is not supervisor)
        other.run("venuemesh restart '*'", 300.0)


def test_everything_is_upgraded_during_trading(running: Running) -> None:
    with running.case("upgrade") as row:
        before = {cell["pid"]: cell["node"] for cell in running.status()["cells"]}
        row["upgrade"] = json.loads(running.hosts["b"].run("venuemesh upgrade --json", 300.0).splitlines()[-1])
        assert row["upgrade"]["others"] == {}
        after = {cell["pid"]: cell["node"] for cell in running.status()["cells"]}
        assert not before.items() & after.items(), "a process has the code from before"


def test_a_host_joins_late(running: Running) -> None:
    with running.case("late host"):
        running.add_worker("d")
