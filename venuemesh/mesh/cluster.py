"""Ray clusters: start a local one that dies with this process, join one that runs.

A local cluster is owned by the process that started it: its raylet and GCS are children that the kernel ends when that
process ends, for any reason. It listens on loopback only, token authentication is always on, and everything that Ray
writes is below a folder that only its user may enter: Ray gives its own folders mode 0777.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from loguru import logger
from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available

from ..actors.cell.pulse import is_alive, kill_process
from ..keystore.private import check_way
from ..model.errors import MeshNotRunning, Misconfigured
from ..orderbook.segment.directory import private_directory, segment_root
from .forks import are_used, as_python_of_ray, forking
from .token import check_token, make_token

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # with Ray's default of 15, books yield to every other process of the machine
}
CONNECT_S = 5.0
JOIN_S = 20.0  # how long `up` waits for a Ray whose service is starting on this host
LOOK_S = 0.1
_own: set[str] = set()  # addresses of the clusters that this process started, which have a token
RAYLET, GCS_OPTION = "raylet", "--gcs-address="
LOOPBACK = "127.0.0.1"
SESSIONS = "r"  # the folder of Ray's sessions, below a private one
LONGEST_ABOVE = 107 - len("/vm-12345678/r/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store")  # a socket
LINGER_S = 1.0  # time for the processes of a cluster to end by themselves
OBJECT_STORE_BYTES = 100 * 1024 * 1024  # nothing large goes through the object store: books are in segments


def descendants(pid: int) -> list[tuple[int, int]]:
    """Return the living processes that descend from `pid`, as (pid, start time); empty where there is no /proc."""
    children: dict[int, list[tuple[int, int]]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(int(fields[1]), []).append((int(stat.parent.name), int(fields[19])))
    found: list[tuple[int, int]] = []
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            found.append(child)
            waiting.append(child[0])
    return found


def _prepare_ray() -> None:
    """Set Ray's environment variables; redirect Ray's output to the log, at level trace.

    Ray prints to standard output that a worker died, for example; the supervisor handles that, and `status` shows it.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("ray").setLevel(logging.ERROR)
    worker = ray._private.worker
    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda data, **_: logger.trace("Ray says: {}", data["lines"])


@contextlib.contextmanager
def local_ray(num_cpus: int | None = None) -> Iterator[str]:
    """Run a Ray cluster of one node while the block runs; yield its address.

    Its session directory has a short temporary path and is removed with the cluster.

    Raises:
        Misconfigured: other users of this host could change the cluster's folder, its token (see `token`) or the
            folder of segments; nothing was started.
    """
    private_directory(segment_root())  # the roles make theirs below it, but a start of Ray is long
    make_token()
    _prepare_ray()
    with contextlib.ExitStack() as own:
        folder = own.enter_context(private_folder())
        forks = own.enter_context(contextlib.ExitStack())
        try:  # around the start, too: after an interrupt during the start, processes would stay for half a minute
            with _without_helpers(), own_signals(), loopback_allowed(), contextlib.ExitStack() as start:
                if are_used():
                    start.enter_context(as_python_of_ray(forks.enter_context(forking(folder))))
                ray.init(
                    address="local",
                    num_cpus=num_cpus if num_cpus is not None else max(2, os.cpu_count() or 2),
                    object_store_memory=OBJECT_STORE_BYTES,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    configure_logging=False,
                    _temp_dir=str(folder / SESSIONS),
                    _node_ip_address=LOOPBACK,
                )
            address = str(ray.get_runtime_context().gcs_address)
            _own.add(address)
            try:
                yield address
            finally:
                _own.discard(address)
        finally:
            with uninterrupted():
                started = descendants(os.getpid())
                ray.shutdown()
                forks.close()
                _end(started)


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Make a temporary folder for the block that only this user may enter, with a path short enough for Ray's sockets.

    Raises:
        Misconfigured: another user could replace the folder.
    """
    above = tempfile.gettempdir()
    if len(os.fsencode(above)) > LONGEST_ABOVE:
        above = "/tmp"
    check_way(Path(above), "the folder for temporary files ($TMPDIR)")
    with tempfile.TemporaryDirectory(prefix="vm-", dir=above, ignore_cleanup_errors=True) as name:  # mode 0700
        yield Path(name)


@contextlib.contextmanager
def loopback_allowed() -> Iterator[None]:
    """Let Ray take a loopback address as it is in the block; by itself it replaces it by an address of the network."""
    services = ray._private.services
    before = services.resolve_ip_for_localhost
    services.resolve_ip_for_localhost = _as_it_is
    try:
        yield
    finally:
        services.resolve_ip_for_localhost = before


def _as_it_is(host: str) -> str:
    return host


def local_processes() -> dict[str, int]:
    """Return the processes without which the cluster of `local_ray` cannot work, name to pid."""
    node = ray._private.worker._global_node
    found: dict[str, Any] = {} if node is None else node.all_processes
    return {name: found[name][0].process.pid for name in ("gcs_server", "raylet") if found.get(name)}


@contextlib.contextmanager
def own_signals() -> Iterator[None]:
    """Keep this process's handler of SIGTERM while the block starts Ray, whose two handlers end a process at once."""
    utils, handler = ray._private.utils, signal.getsignal(signal.SIGTERM)
    before = getattr(utils, "set_sigterm_handler", None)
    if handler in (signal.SIG_DFL, None) or threading.current_thread() is not threading.main_thread():
        yield
        return
    if before is not None:
        utils.set_sigterm_handler = _start_nothing
    try:
        yield
    finally:
        if before is not None:
            utils.set_sigterm_handler = before
        signal.signal(signal.SIGTERM, handler)  # the other one is the C core's, which Python does not know


@contextlib.contextmanager
def _without_helpers() -> Iterator[None]:
    """Let Ray start no helper in the block that a mesh on one node does not use. Each takes a second of a core.

    These are the autoscaler (nothing to scale), the log monitor (it prints the workers' output, which goes to files),
    the dashboard's server (without a dashboard it only counts usage), and the parts of the node's agent that serve the
    dashboard. `ray.init` has no options for them. A Ray without these functions starts what it starts.
    """
    node, utils = ray._private.node.Node, ray._private.utils
    found: list[tuple[Any, str, Any]] = [
        (node, name, _start_nothing) for name in ("start_monitor", "start_log_monitor", "start_api_server")
    ]
    found.append((utils, "get_dashboard_dependency_error", _no_dashboard))
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in found if hasattr(owner, name)]
    try:
        for owner, name, replacement in found:
            if hasattr(owner, name):
                setattr(owner, name, replacement)
        yield
    finally:
        for owner, name, original in before:
            setattr(owner, name, original)


def _start_nothing(*_: Any, **__: Any) -> None:
    return None


def _no_dashboard() -> ImportError:
    """Say that the dashboard's requirements are missing; the node's agent leaves out what serves the dashboard."""
    return ImportError("this cluster has no dashboard")


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore Ctrl-C in the block, so that a second Ctrl-C does not interrupt the cleanup."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end(started: list[tuple[int, int]]) -> None:
    """Kill processes that outlive their cluster by `LINGER_S`: Ray's agents need ten seconds or more to end."""
    deadline = time.monotonic() + LINGER_S
    while any(is_alive(*process) for process in started) and time.monotonic() < deadline:
        time.sleep(0.02)
    for process in started:
        kill_process(*process)


def join_ray(address: str, *, mesh: str = "", wait_s: float = 0.0) -> None:
    """Connect this process to the Ray cluster at `address`, unless it is connected already.

    Raises:
        MeshNotRunning: within `wait_s` there is no cluster at the address, or it refuses this process.
        Misconfigured: other users of this host can read or change the token.
    """
    if ray.is_initialized():
        return
    _prepare_ray()
    deadline = time.monotonic() + wait_s
    while True:
        try:
            reach(address, mesh)
            break
        except MeshNotRunning:
            if time.monotonic() > deadline:
                raise
            time.sleep(LOOK_S)
    check_token()
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)  # Ray does this for "auto", not for an address
    try:
        with own_signals(), loopback_allowed():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        lines = str(error).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        raise MeshNotRunning(mesh, f"no Ray cluster at {address} ({reason})") from error


def is_own_cluster() -> bool:
    """Return whether `local_ray` of this process started the cluster that this process is connected to."""
    return str(ray.get_runtime_context().gcs_address) in _own


def is_same_cluster(address: str, connected: str) -> bool:
    """Return whether two addresses, host:port or "auto", may be of one cluster; a host may have a name and a number."""
    if address in ("auto", connected):
        return True
    (host, _, port), (other, _, other_port) = address.rpartition(":"), connected.rpartition(":")
    try:
        hosts = {socket.gethostbyname(host), socket.gethostbyname(other)}
        return port == other_port and (len(hosts) == 1 or LOOPBACK in hosts)
    except OSError:
        return False


def spawn_actor(cls: type, *arguments: Any) -> Any:
    """Start a Ray actor of a class in the cluster this process is connected to; return its handle."""
    return ray.remote(num_cpus=0)(cls).remote(*arguments)


def kill_actor(handle: Any) -> None:
    """End a Ray actor without asking it. An actor that has already ended is not an error."""
    ray.kill(handle)


def reach(address: str, mesh: str) -> None:
    """Fail at once when no process listens at the address: Ray itself would try for half a minute."""
    if address == "auto":
        return  # Ray finds the raylets of this host itself
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise Misconfigured("address", f"{address!r} is neither host:port nor 'auto'")
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except OSError as error:
        raise MeshNotRunning(mesh, f"no process answers at {address} ({error.strerror or error})") from error
    if (clusters := _raylets_here()) is not None and not any(is_same_cluster(address, one) for one in clusters):
        raise MeshNotRunning(
            mesh,
            f"no raylet of the Ray cluster at {address} runs on this host: it has ended, or was never started here",
        )


def _raylets_here() -> list[str] | None:
    """Return the addresses of the Ray clusters whose raylets run on this host; None: the system does not show them."""
    if not Path("/proc/1/cmdline").exists():  # no /proc, or one that hides the processes of other users
        return None
    found = []
    for name in Path("/proc").glob("[0-9]*/comm"):
        try:
            if name.read_text().strip() == RAYLET:
                arguments = (name.parent / "cmdline").read_bytes().decode(errors="replace").split("\0")
                found += [text.removeprefix(GCS_OPTION) for text in arguments if text.startswith(GCS_OPTION)]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def logs_here() -> str:
    """Return the folder of the logs of this node, whose cluster this process is connected to."""
    node: Any = ray._private.worker._global_node
    return str(node.get_logs_dir_path())
