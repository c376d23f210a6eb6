"""The shared part of benchmarks of whole processes: servers, Ray clusters, meshes, and measuring.

Each server, cluster and mesh is a context manager that ends its processes by their ids, also when the benchmark is
interrupted or terminated; segments are in a directory of this process, which is removed at the end.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import statistics
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from venuemesh.actors.cell.pulse import process_start, usage
from venuemesh.exchange.launch import serving

EXCHANGE = "binance"
START_LIMIT_S = 90.0
LABEL = "bench-host"  # of the raylets of `more_nodes`
_SEGMENTS = "venuemesh-bench-"
_MEMORY = Path("/dev/shm")

Json = dict[str, Any]


# ---------------------------------------------------------------------- figures


def percentiles(values_ns: Sequence[int] | np.ndarray[Any, Any], unit: str = "us") -> Json:
    """Return p50 and p99 of durations in ns, in the unit, and their number, under keys that name the unit."""
    scale = {"us": 1e3, "ms": 1e6}[unit]
    if not len(values_ns):
        return {f"p50_{unit}": None, f"p99_{unit}": None, "samples": 0}
    p50, p99 = (float(value) / scale for value in np.percentile(np.asarray(values_ns), (50, 99)))
    return {f"p50_{unit}": round(p50, 1), f"p99_{unit}": round(p99, 1), "samples": len(values_ns)}


def median(values: Sequence[float | None]) -> float | None:
    """Return the median of the values that are not None; None if there are none."""
    there = [value for value in values if value is not None]
    return statistics.median(there) if there else None


def ratio(ours: float | None, baseline: float | None, digits: int = 1) -> float | None:
    """Return how many times the baseline is ours."""
    return None if not ours or baseline is None else round(baseline / ours, digits)


def load() -> float:
    """Return the machine's load average over the last minute, which influences absolute figures."""
    return round(os.getloadavg()[0], 2)


def cpu_ns(pid: int) -> int:
    """Return the CPU time of a process so far, user and system, of all its threads, including ended ones.

    Exact to the ns if the kernel offers other processes' CPU clocks (Linux), else in clock ticks.
    Source: clock_getcpuclockid(3): the clock of a process is (~pid << 3) | 2.
    """
    if sys.platform == "linux":
        return time.clock_gettime_ns((~pid << 3) | 2)
    found = usage(pid)
    return 0 if found is None else int(found.cpu_s * 1e9)


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of a process: resident, and proportional (shared pages are divided by the number of sharing processes)."""

    rss: int
    pss: int | None


def memory(pid: int) -> Memory:
    """Raises ProcessLookupError when the process is gone."""
    found = usage(pid)
    if found is None:
        raise ProcessLookupError(pid)
    return Memory(found.rss, found.pss)


def mib(size: float | None) -> float | None:
    return None if size is None else round(size / 2**20, 1)


def wait_until(true: Callable[[], Any], limit_s: float, what: str, every_s: float = 0.01) -> Any:
    """Wait until `true` returns a true value and return it. Raises TimeoutError, which names `what`."""
    deadline = time.monotonic() + limit_s
    while not (found := true()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {limit_s:g} s")
        time.sleep(every_s)
    return found


# ---------------------------------------------------------------------- processes


def _terminated(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + signum)


@contextlib.contextmanager
def ended_in_order() -> Iterator[None]:
    """Turn SIGTERM into an exception while the block runs, so that processes started in it are ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@dataclass(frozen=True, slots=True)
class Server:
    """A server process of ours and the base URLs it printed."""

    pid: int
    urls: Json

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.urls["rest"] + path, timeout=10) as answer:
            return json.load(answer)

    def set_rate(self, rate: float) -> None:
        """Set the frame server's frames per second and pair."""
        body = json.dumps({"rate": rate}).encode()
        request = urllib.request.Request(self.urls["rest"] + "/rate", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=10).close()

    def sent(self) -> int:
        """Return the number of frames that the frame server has sent."""
        return int(self.get("/sent")["sent"])


@contextlib.contextmanager
def frame_server(pairs: int, levels: int = 15) -> Iterator[Server]:
    """Run the raw frame server; see `benchmarks.frame_server`."""
    with serving("benchmarks.frame_server", "--pairs", str(pairs), "--levels", str(levels)) as (pid, urls):
        yield Server(pid, urls)


@contextlib.contextmanager
def local_exchange(symbols: Sequence[str], rate: float, seed: int = 1) -> Iterator[Server]:
    """Run the local exchange at `rate` level changes a second over all symbols."""
    options = ["--json", "--parent", str(os.getpid()), "--seed", str(seed), "--rate", str(rate)]
    with serving("venuemesh.exchange", *options, "--symbols", ",".join(symbols)) as (pid, urls):
        yield Server(pid, urls[EXCHANGE])


@contextlib.contextmanager
def own_segments(*names: str) -> Iterator[list[Path]]:
    """Make a private segment root for each name, the first one for this process; remove them at the end.

    First removes the files of killed benchmarks.
    """
    base = _MEMORY if _MEMORY.is_dir() else Path(os.environ.get("TMPDIR", "/tmp"))
    for left in base.glob(f"{_SEGMENTS}*"):
        owner, _, started = left.name.removeprefix(_SEGMENTS).partition("-")
        if owner.isdigit() and str(process_start(int(owner))) != started:
            shutil.rmtree(left, ignore_errors=True)
    root = base / f"{_SEGMENTS}{os.getpid()}-{process_start(os.getpid())}"
    before = os.environ.get("VENUEMESH_SEGMENTS")
    try:
        root.mkdir(mode=0o700)
        roots = [root / name for name in names or ("segments",)]
        for one in roots:
            one.mkdir(mode=0o700)
        os.environ["VENUEMESH_SEGMENTS"] = str(roots[0])
        yield roots
    finally:
        if before is None:
            os.environ.pop("VENUEMESH_SEGMENTS", None)
        else:
            os.environ["VENUEMESH_SEGMENTS"] = before
        shutil.rmtree(root, ignore_errors=True)


# ---------------------------------------------------------------------- Ray and the mesh


@contextlib.contextmanager
def one_node() -> Iterator[None]:
    """Run a Ray cluster of one node with a separate segment root."""
    from venuemesh.mesh.cluster import local_ray

    with ended_in_order(), own_segments(), local_ray():
        yield


@dataclass(frozen=True, slots=True)
class Raylet:
    """A further raylet of this machine: its node id and its processes, without its workers."""

    id: str
    pids: list[int]


@contextlib.contextmanager
def more_nodes(address: str, roots: Mapping[str, Path]) -> Iterator[list[Raylet]]:
    """Add a raylet to the cluster at `address` for each name, labelled `LABEL` = name, with its segment root."""
    import ray
    from ray._private.node import Node
    from ray._private.parameter import RayParams

    from venuemesh.mesh.cluster import LOOPBACK, OBJECT_STORE_BYTES

    started: list[Any] = []
    try:
        found: list[Raylet] = []
        for name, root in roots.items():
            params = RayParams(
                gcs_address=address,
                node_ip_address=LOOPBACK,
                num_cpus=2,
                num_gpus=0,
                labels={LABEL: name},
                object_store_memory=OBJECT_STORE_BYTES,
                min_worker_port=0,
                max_worker_port=0,
                include_log_monitor=False,
                dashboard_agent_listen_port=0,
                env_vars={"VENUEMESH_SEGMENTS": str(root)},
            )
            # the reaper ends the raylet if this process is killed
            started.append(Node(params, head=False, shutdown_at_exit=True, spawn_reaper=True))
            pids = [one.process.pid for group in started[-1].all_processes.values() for one in group]

            def joined(name: str = name) -> list[str]:
                return [n["NodeID"] for n in ray.nodes() if n["Alive"] and n["Labels"].get(LABEL) == name]

            found.append(Raylet(wait_until(joined, START_LIMIT_S, f"the raylet {name}")[0], pids))
        yield found
    finally:
        for node in started:
            node.kill_all_processes(check_alive=False, allow_graceful=True)


@contextlib.contextmanager
def mesh_of(
    name: str,
    exchanges: Json,
    mesh: Json | None = None,
    limit_s: float = START_LIMIT_S,
    journal: Json | None = None,
) -> Iterator[Any]:
    """Run a mesh of these exchanges on the cluster this process is connected to; yield it when every book is LIVE.

    Restarts are never delayed, because benchmarks kill often.
    """
    from venuemesh.config.mesh import check_config
    from venuemesh.mesh.mesh import launch

    settings = {"mesh": {"name": name, **(mesh or {})}, "restart": {"intensity": 1000}}
    settings["journal"] = {"remember": False, **(journal or {})}
    running = launch(check_config({**settings, "exchanges": exchanges}, "benchmark"))
    try:
        if refused := running.wait_started(limit_s):
            raise RuntimeError(f"pairs refused: {refused}")
        yield running
    finally:
        running.shutdown()


def rows_of(mesh: Any, prefix: str) -> list[Json]:
    """Return the rows of the supervisor's tree whose address has the prefix."""
    return [row for row in mesh.status()["children"] if row["address"].startswith(prefix)]


def on_node(actor: Any, node: str | None) -> Any:
    """Return the actor class bound to a node; None: anywhere."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    if node is None:
        return actor
    return actor.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))


@contextlib.contextmanager
def two_nodes() -> Iterator[tuple[str, str]]:
    """Run a Ray cluster of two raylets; yield their node ids. This process is on the first.

    Each node has a separate segment root, so that books of the other node come over the network.
    """
    import ray

    from venuemesh.mesh.cluster import local_ray

    with (
        ended_in_order(),
        own_segments("feed", "strategy") as (_, strategy),
        local_ray() as address,
        more_nodes(address, {"strategy": strategy}) as (second,),
    ):
        yield ray.get_runtime_context().get_node_id(), second.id
