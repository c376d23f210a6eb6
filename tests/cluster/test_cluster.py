"""A mesh on a head and two workers; every host is killed, stopped and cut off. See docs/testing.md, The cluster."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.cluster.running import TITLE, Running, node_of
from tests.cluster.world import MESH

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]  # a new mesh takes up to three minutes of it


def test_books_are_spread_and_labels_are_respected(running: Running) -> None:
    with running.case("up"):
        children, hosts = running.children(), running.nodes()
        assert len(hosts) == 3
        count = Counter(hosts[row["node"]] for name, row in children.items() if name.startswith("book/"))
        assert max(count.values()) - min(count[name] for name in running.hosts) <= 1, count
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
