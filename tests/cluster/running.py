"""A running mesh on hosts: where its roles are, and what must hold after every case."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster.evidence import Log, contradictions, live_at, shown, since_when_live, without_orders
from tests.cluster.hosts import Host, until
from tests.cluster.init import HOME
from tests.cluster.world import ADMIN_PORT, CLUSTER, MESH, PAUSE, PYTHON, World
from venuemesh.model.address import LINK, MIRROR, belongs_to_node, has_kind, replica_of

LIVE_WITHIN_S = 30.0  # after a fault has ended and every host is in the cluster again
JOINED_WITHIN_S = 150.0  # on a loaded machine Ray gives up its first start: its agent has 15 s
PAUSED_WITHIN_S = 30.0
COMPARED_WITHIN_S = 120.0
AWAY_S = 120.0  # a supervisor's return
COMMAND_S = 40.0  # one command `status`, while hosts start on the same two cores
REBALANCED_S = 240.0
STATUS_S = 2.0  # between two commands `status`
LEFT_S = 20.0  # a node agent sweeps every few seconds
TITLE = "venuemesh: "
NODE_ID = re.compile(r"--node_id=([0-9a-f]+)")
Child = dict[str, Any]


class Running:
    """A mesh, its hosts and what the strategies saw. `results` has a row per case."""

    def __init__(self, world: World, start_s: float) -> None:
        """`start_s`: how long its start took. A machine that is slow then is slow later: bounds grow with it."""
        self.world = world
        self.pace = max(1.0, start_s / world.quiet_start_s)
        self.hosts = world.hosts
        self.results: list[dict[str, Any]] = []
        self.keep: Callable[[], None] = lambda: None  # called after every case
        self.is_sound = True  # no case has failed in it
        self.readers: dict[str, Log] = {}
        self.notes: dict[str, Log] = {}
        for name in self.hosts:
            self._watch(name)

    def _watch(self, name: str) -> None:
        folder = self.hosts[name].folder
        self.readers[name], self.notes[name] = Log(folder / "reader.log"), Log(folder / "notes.log")

    def add_worker(self, name: str) -> None:
        """Start a host that the mesh has not seen, with its reader and trader."""
        self.world.add_worker(name)
        self._watch(name)

    # ------------------------------------------------------------------ where things are

    def status(self) -> dict[str, Any]:
        """Return the mesh's status by the command, on the first host that has it."""
        failure: AssertionError | None = None
        deadline = time.monotonic() + AWAY_S
        while time.monotonic() < deadline:
            for host in self.hosts.values():
                if host.is_up:
                    try:
                        text = host.run("venuemesh status --json", COMMAND_S)
                        found: dict[str, Any] = json.loads(text.splitlines()[-1])
                        return found
                    except AssertionError as error:
                        failure = error
            time.sleep(0.5)
        raise failure or AssertionError("no host is up")

    def children(self) -> dict[str, Child]:
        return {child["address"]: child for child in self.status()["children"]}

    def nodes(self) -> dict[str, str]:
        """Return the hosts by the id of their Ray node."""
        return {node: name for name, host in self.hosts.items() if host.is_up and (node := node_of(host))}

    def host_of(self, address: str) -> Host:
        """Return the host on which a role runs; `supervisor` names the supervisor."""
        if address == "supervisor":
            return next(host for host in self.hosts.values() if host.is_up and host.titled(f"{TITLE}supervisor"))
        node = self.children()[address]["node"]
        return self.hosts[self.nodes()[node]]

    def roles(self, host: Host) -> list[str]:
        """Return the titles of the roles that run on a host."""
        lines = (Path(f"/proc/{pid}/cmdline") for pid in host.titled(TITLE))
        texts = [line.read_bytes().rstrip(b"\0").decode() for line in lines if line.exists()]
        return sorted(text.removeprefix(TITLE) for text in texts)

    def incarnations(self) -> dict[str, list[int]]:
        """Return the incarnation of every role that does not depend on readers."""
        return {
            address: child["incarnation"]
            for address, child in self.children().items()
            if not has_kind(address, MIRROR) and not has_kind(address, LINK)
        }

    def rebalance(self, host: Host) -> dict[str, Any]:
        """Spread the books, by the command on a host; return its answer."""
        answer: dict[str, Any] = json.loads(host.run("venuemesh rebalance --json", REBALANCED_S).splitlines()[-1])
        return answer

    def on(self, host: Host) -> list[Child]:
        """Return the children that run on a host."""
        return [child for child in self.children().values() if child["node"] == node_of(host)]

    def belonging(self, host: Host) -> set[str]:
        """Return the addresses of the children that run on this host only."""
        return {child["address"] for child in self.on(host) if belongs_to_node(child["address"])}

    def state_of(self, host: Host) -> str:
        """Return the state of a host's node, as `status` has it."""
        state: str = next(row["state"] for row in self.status()["nodes"] if row["node"] == node_of(host))
        return state

    def books(self) -> set[str]:
        return {f"book/{name}" for name in self.world.books}

    def redundant_books(self) -> set[str]:
        """Return the books that two hosts keep."""
        return {address for address in self.books() if address.startswith("book/west/")}

    # ------------------------------------------------------------------ what must hold

    def wait_live(self, after_ns: int, within_s: float = LIVE_WITHIN_S) -> dict[str, float]:
        """Return, by host, the seconds after `after_ns` until its reader had every book LIVE, to stay.

        Raises AssertionError: a reader has not every book LIVE in time.
        """
        within_s *= self.pace
        deadline = time.monotonic() + within_s
        while True:
            missing = {
                name: sorted(self.books() - live_at(log.read(), after_ns))
                for name, log in self.readers.items()
                if self.hosts[name].is_up
            }
            if not any(missing.values()):
                break
            if time.monotonic() > deadline:
                rows = [
                    f"{row['address']} {row['state']} {row.get('status', {}).get('state')} {row['why']}"
                    for row in self.status()["children"]
                ]
                raise AssertionError(f"not LIVE within {within_s:g} s: {missing}\n" + "\n".join(rows))
            time.sleep(0.1)
        return self.since_live(after_ns)

    def since_live(self, after_ns: int) -> dict[str, float]:
        """Return, by host, the seconds after `after_ns` from which on its reader has had every book LIVE."""
        since = {
            name: since_when_live(log.read(), self.books())
            for name, log in self.readers.items()
            if self.hosts[name].is_up
        }
        return {name: max(0.0, round((at - after_ns) / 1e9, 2)) for name, at in since.items() if at is not None}

    def wait_both(self) -> None:
        """Wait until both actors of every redundant book have it LIVE."""
        copies = self.redundant_books() | {replica_of(address) for address in self.redundant_books()}

        def are_live() -> bool:
            rows = self.children()
            states = {a: (rows[a].get("status") or {}).get("pairs", {}) for a in copies if a in rows}
            return len(states) == len(copies) and all(
                pairs and all(pair["state"] == "LIVE" for pair in pairs.values()) for pairs in states.values()
            )

        until("both copies of every redundant book are LIVE", are_live, LIVE_WITHIN_S * self.pace, STATUS_S)

    def known_nodes(self) -> set[str]:
        """Return the ids of the nodes that the mesh counts as its own."""
        return {row["node"] for row in self.status()["nodes"]}

    def wait_joined(self) -> None:
        """Wait until every host's raylet is in the cluster and its agent serves."""

        def has_agents() -> bool:
            nodes = self.nodes()
            serving = {
                row["node"]
                for row in self.status()["children"]
                if row["address"].startswith("agent/") and row["state"] == "SERVING"
            }
            return len(nodes) == len(self.hosts) and set(nodes) <= serving

        until("every host has an agent that serves", has_agents, JOINED_WITHIN_S * self.pace, STATUS_S)

    def compare(self) -> dict[str, Any]:
        """Pause the traders, and compare journal, exchange and notes. Raises AssertionError: they differ."""
        asked_ns = time.monotonic_ns()
        for host in self.hosts.values():
            (host.folder / PAUSE).touch()
        try:
            paused_s = PAUSED_WITHIN_S * self.pace
            until("every trader has paused", lambda: self._have_paused(asked_ns), paused_s)
            host = next(host for host in self.hosts.values() if host.is_up)
            admin = f"http://127.0.0.1:{ADMIN_PORT} {HOME}/admin-token"
            program = f"RAY_AUTH_MODE=token {PYTHON} -m tests.cluster.checks {MESH} {CLUSTER} {admin}"
            accounts: dict[str, Any] = json.loads(host.run(program, COMPARED_WITHIN_S * self.pace).splitlines()[-1])
        finally:
            for host in self.hosts.values():
                (host.folder / PAUSE).unlink()
        problems = [f"{name}: {one}" for name, row in accounts.items() for one in row["problems"]]
        problems += contradictions([note for log in self.notes.values() for note in log.read()], accounts)
        assert not problems, "\n".join(problems)
        return {
            name: {"orders": len(row["journal"]), "fills": len(row["fills"]), "events": row["events"]}
            for name, row in accounts.items()
        }

    def _have_paused(self, after_ns: int) -> bool:
        for name, log in self.notes.items():
            if self.hosts[name].is_up:
                new = [note for note in log.read() if note["t"] > after_ns]
                if len({note["account"] for note in new if note["what"] == "paused"}) < len(self.world.accounts):
                    return False
        return True

    def wait_clean(self) -> None:
        """Wait until each host has only the files of its node, and only processes that the supervisor knows."""

        def left() -> dict[str, list[str]]:
            cells = self.status()["cells"]
            nodes = {host: node for node, host in self.nodes().items()}
            found = {}
            for name, host in self.hosts.items():
                known = {cell["pid"] for cell in cells if cell["node"] == nodes.get(name)}
                unknown = [
                    f"process {pid} {title}"
                    for pid, title in host.inner_pids(TITLE).items()
                    if pid not in known and not title.startswith(f"{TITLE}supervisor")
                ]
                folders = [path for path in segment_folders(host) if not nodes[name].startswith(path)]
                if unknown or folders:
                    found[name] = unknown + [f"segments of node {folder}" for folder in folders]
            return found

        last: list[dict[str, list[str]]] = [{}]

        def is_clean() -> bool:
            last[0] = left()
            return not last[0]

        try:
            until("nothing is left over", is_clean, LEFT_S * self.pace, STATUS_S)
        except AssertionError as error:
            raise AssertionError(f"{error}: {last[0]}") from None

    # ------------------------------------------------------------------ a case

    @contextmanager
    def case(self, name: str, **facts: Any) -> Iterator[dict[str, Any]]:
        """Run a fault in the block, which ends when the fault has ended; then check what must hold after every case."""
        row: dict[str, Any] = {"case": name, **facts, "pace": round(self.pace, 2)}
        self.is_sound = False
        began_ns = time.monotonic_ns()
        try:
            yield row
            ended_ns = time.monotonic_ns()
            self.wait_joined()
            joined_ns = time.monotonic_ns()
            row["joined_s"] = round((joined_ns - ended_ns) / 1e9, 1)
            row["live_s"] = self.wait_live(joined_ns)
            self.wait_both()
            row["accounts"] = self.compare()
            self.wait_clean()
            row["gaps_s"] = self.gaps(began_ns, self.books())
            notes = [note for log in self.notes.values() for note in log.read()]
            row["no_orders_s"] = without_orders(notes, began_ns, joined_ns)
            row["redundant_gaps_s"] = self.gaps(began_ns, self.redundant_books())
            row["passed"] = True
            self.is_sound = True
        except BaseException as error:
            row |= {"passed": False, "error": str(error)[:2000]}
            raise
        finally:
            row["seconds"] = round((time.monotonic_ns() - began_ns) / 1e9, 1)
            self.results.append(row)
            self.keep()

    def gaps(self, from_ns: int, books: set[str]) -> dict[str, float]:
        """Return, by host, the longest time in which its reader had one of these books not LIVE."""
        now_ns = time.monotonic_ns()
        found = {name: shown(log.rows, from_ns, now_ns) for name, log in self.readers.items()}
        return {
            name: round(max((one.longest_s for book, one in rows.items() if book in books), default=0.0), 2)
            for name, rows in found.items()
        }


def node_of(host: Host) -> str | None:
    """Return the id of the Ray node that runs on a host; None: none runs."""
    for pid in host.titled("raylet --raylet_socket_name"):
        try:
            found = NODE_ID.search(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode())
        except (FileNotFoundError, ProcessLookupError):
            continue
        if found:
            return found[1]
    return None


def segment_folders(host: Host) -> list[str]:
    """Return the names of the folders of nodes in a host's shared memory."""
    mesh = Path(f"/proc/{host.pid}/root/dev/shm") / f"venuemesh-{os.geteuid()}" / MESH
    return [path.name for path in mesh.iterdir()] if mesh.exists() else []


def up(world: World, say: Callable[[str], None] = print) -> Running:
    """Start the mesh; return when every reader has every book LIVE and every trader trades."""
    began = time.monotonic()
    world.start()
    running = Running(world, time.monotonic() - began)
    say(f"up after {time.monotonic() - began:.1f} s: pace {running.pace:.2f}")
    running.wait_live(0, 60.0)
    until("every trader is ready", lambda: all(_is_ready(log) for log in running.notes.values()), 60.0)
    say(f"readers and traders after {time.monotonic() - began:.1f} s")
    return running


def _is_ready(log: Log) -> bool:
    return any(note["what"] == "placed" for note in log.read())
