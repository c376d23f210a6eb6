"""What the cases do to hosts. Each fault begins, lasts, and ends; the mesh is checked by `Running.case` afterwards."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from tests.cluster.hosts import Host, until
from tests.cluster.net import deliver, drop
from tests.cluster.running import TITLE, Running, node_of

DETECTED_S = 60.0  # Ray declares a lost host dead after 9 to 12 s; a lost supervisor is replaced then
FROZEN_S, BRIEF_S, LONG_S = 20.0, 6.0, 30.0
LATE_MS, LOSS = 25.0, 0.01  # each way
MOVES = 12  # Ray chooses the host of a supervisor; this many restarts find a worker
PARTS = ("limits/east/east", "orders/east/second", "supervisor")
BOTH = "supervisor and limits/east/east"
Fault = Callable[[Running, Host, dict[str, Any]], None]


def last(seconds: float) -> None:
    """Let a fault last: its length is the case."""
    time.sleep(seconds)


def power(running: Running, host: Host, row: dict[str, Any]) -> None:
    """Lose the power of a host; the others take over all books; then it boots again."""
    node, lost_ns = node_of(host), time.monotonic_ns()
    host.cut_power()
    until(
        "the mesh knows that the host is lost",
        lambda: node not in running.known_nodes(),
        DETECTED_S * running.pace,
        1.0,
    )
    running.wait_live(time.monotonic_ns())
    row["survivors_live_s"] = running.since_live(lost_ns)
    host.boot()


def freeze(running: Running, host: Host, row: dict[str, Any]) -> None:
    """Stop every process of a host for longer than Ray waits for it."""
    host.freeze()
    last(FROZEN_S)
    host.thaw()


def brief_cut(running: Running, host: Host, row: dict[str, Any]) -> None:
    """Pull a host's cable, and plug it in before the cluster declares the host dead."""
    running.world.network.pull(host.name)
    last(BRIEF_S)
    running.world.network.plug(host.name)


def long_cut(running: Running, host: Host, row: dict[str, Any]) -> None:
    """Pull a host's cable for longer than the cluster waits for it."""
    running.world.network.pull(host.name)
    last(LONG_S)
    running.world.network.plug(host.name)


def kill_supervisor(running: Running) -> None:
    """Kill the supervisor's process; return when another one serves."""
    (pid,) = running.host_of("supervisor").titled(f"{TITLE}supervisor")
    os.kill(pid, signal.SIGKILL)

    def is_replaced() -> bool:
        return any(
            other != pid for host in running.hosts.values() if host.is_up for other in host.titled(f"{TITLE}supervisor")
        )

    until("another supervisor runs", is_replaced, 60.0)
    running.status()


def victim(running: Running, part: str) -> Host:
    """Return the worker with a part of the mesh: one of `PARTS`, or "fewest": the one with the fewest of them; or
    `BOTH`: the one with the supervisor and a rate budget."""
    workers = [host for name, host in running.hosts.items() if name != "a" and host.is_up]
    if part == "fewest":
        return min(workers, key=lambda host: sum(running.host_of(one) is host for one in PARTS))
    if part == BOTH:
        budget = victim(running, PARTS[0])
        for _ in range(MOVES):
            if running.host_of("supervisor") is budget:
                return budget
            kill_supervisor(running)
        raise AssertionError(f"Ray never placed the supervisor on {budget.name} in {MOVES} restarts")
    for _ in range(MOVES):
        found = running.host_of(part)
        if found in workers:
            return found
        assert part == "supervisor", f"{part} runs on {found.name}, which lacks its label"
        kill_supervisor(running)
    raise AssertionError(f"Ray never placed the supervisor on a worker in {MOVES} restarts")


def cut_between(host: Host, others: list[Host]) -> None:
    """Lose everything between a host and others, both ways; the host reaches everyone else."""
    for other in others:
        drop(host.pid, other.address)
        drop(other.pid, host.address)


def join_again(host: Host, others: list[Host]) -> None:
    """End `cut_between`."""
    for other in others:
        deliver(host.pid, other.address)
        deliver(other.pid, host.address)


def restart_postgres(running: Running, number: signal.Signals) -> None:
    """End PostgreSQL by a signal; return when the service has started it again and it takes connections."""
    world = running.world
    (server,) = world.servers("data")
    os.kill(server, number)
    until("PostgreSQL has ended", lambda: server not in world.x.pids(), 30.0)
    until("PostgreSQL serves again", running.world.has_postgres, 60.0)
