"""A mesh as a long-running service: `start`, `run` and `stop`, behind `venuemesh up` and `venuemesh down`.

Without an address, `start` runs a host process in the background that owns a Ray cluster of one node: the cluster ends
when that process ends, for any reason. With an address the mesh runs in that cluster, and `start` leaves no process.
`run` stays: this process is the host.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..keystore.state_folder import make_state_folder
from ..mesh.run_file import RunFile, read_run_file
from ..model.errors import MeshNotRunning, Misconfigured, RetryLater
from .host import Answer, host, launch_checked, notify, plain
from .local_venues import LocalVenues
from .output import Say, ignore

if TYPE_CHECKING:
    from ..config.mesh import MeshConfig

STOP_LIMIT_S = 30.0


def start(
    plan: MeshConfig | LocalVenues, *, address: str | None, wait_s: float | None, say: Say = ignore
) -> dict[str, Any]:
    """Start the mesh; return its name and address, how many books there are and are LIVE, and what is `missing`.

    A mesh that is not complete in time (`wait_s`; None: see `Mesh.wait_started`) is left running.
    `say` gets a line for each step of the start.

    Raises:
        Misconfigured: a mesh of that name runs already, a configured pair is not listed (`UnknownInstrument`), or an
            exchange cannot be reached or refuses a key. Nothing was started.
    """
    name = _startable(plan, address)
    if address is None:
        return _spawn_host(name, plan, wait_s, say)
    assert not isinstance(plan, LocalVenues)
    _check_for(name, plan, say)
    from ..mesh.cluster import JOIN_S, join_ray, logs_here

    say(f"joining the Ray cluster at {address}")
    join_ray(address, mesh=name, wait_s=JOIN_S)
    started = launch_checked(plan, wait_s, say)
    RunFile(name, address, journal=plan.journal.url, logs=logs_here()).write()
    return {**started, "address": address}


def run(
    plan: MeshConfig | LocalVenues, *, address: str | None, wait_s: float | None, say: Say = ignore, answer: Answer
) -> None:
    """Start the mesh, `answer` what runs, and end it in an orderly way at SIGTERM, Ctrl-C or `venuemesh down`.

    A service manager that waits for it (`Type=notify`) learns when the mesh runs and when it stops.

    Raises:
        Misconfigured: as `start`.
        RetryLater: the mesh does not answer, or a process that it needs has ended.
    """

    def running(started: Mapping[str, Any]) -> None:
        answer(started)
        notify("READY=1")

    _startable(plan, address)
    _check(plan, say)
    host(plan, address, wait_s, say, running)


def _startable(plan: MeshConfig | LocalVenues, address: str | None) -> str:
    """Return the name of a mesh that can be started. Raises Misconfigured."""
    name = plan.mesh if isinstance(plan, LocalVenues) else plan.mesh.name
    if isinstance(plan, LocalVenues) and address is not None:
        raise Misconfigured("--local", "runs on a Ray cluster of this host only; leave --address out")
    known = read_run_file(name)
    if known is not None and known.host_pid is not None and known.host_is_alive():
        raise Misconfigured(
            f"mesh {name!r}", f"runs already at {known.address}; stop it with `venuemesh down --mesh {name}`"
        )
    make_state_folder()  # if the folder cannot be made, nothing is started
    return name


def _check_for(name: str, plan: MeshConfig | LocalVenues, say: Say) -> None:
    """As `_check`, for a command that starts nothing if the exchanges are away. Raises Misconfigured."""
    try:
        _check(plan, say)
    except RetryLater as error:
        raise Misconfigured(f"mesh {name!r} was not started", error.reason) from error


def _check(plan: MeshConfig | LocalVenues, say: Say) -> None:
    """Check a configuration against its journal and its exchanges; see `check_journal` and `check_exchanges`."""
    if not isinstance(plan, LocalVenues):
        from .preflight import check_exchanges, check_journal_here

        check_journal_here(plan, say)
        check_exchanges(plan, say)


def stop(name: str, *, address: str | None) -> None:
    """Stop a mesh in an orderly way; then end its host process, if it has one.

    Raises:
        MeshNotRunning: no mesh of that name is known here.
    """
    known = read_run_file(name)
    if known is None and address is None:
        raise MeshNotRunning(
            name, "no mesh of that name is known on this machine; give the address of its Ray cluster with --address"
        )
    if known is not None and known.host_pid is not None:
        if not known.host_is_alive():
            known.remove()
            raise MeshNotRunning(name, known.ended or "its host process has ended; its run file was removed")
        _end_host(known.host_pid)
    else:
        from ..mesh.mesh import connect

        connect(name, address=address).shutdown()
    if known is not None:
        known.remove()


# ---------------------------------------------------------------------- the host process


def _spawn_host(name: str, plan: MeshConfig | LocalVenues, wait_s: float | None, say: Say) -> dict[str, Any]:
    say("starting the host process")
    log = make_state_folder() / f"{name}.log"
    try:
        errors = log.open("wb")
    except OSError as error:
        raise Misconfigured(str(log), f"cannot be written: {error.strerror or error}") from error
    with errors:
        host = subprocess.Popen(
            [sys.executable, "-m", "venuemesh.cli.host", *([] if wait_s is None else [str(wait_s)])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            cwd="/",
        )
    assert host.stdin is not None
    assert host.stdout is not None
    try:
        _check_for(name, plan, say)  # the host process imports meanwhile, and starts nothing before it has the plan
        host.stdin.write(plain(plan))
    except BrokenPipeError:
        pass  # it has ended; see below
    except BaseException:
        host.kill()
        host.wait()
        raise
    with contextlib.suppress(BrokenPipeError):
        host.stdin.close()
    answer: dict[str, Any] = {"step": ""}
    try:
        while "step" in answer:
            line = host.stdout.readline()
            if not line:
                host.wait()
                raise Misconfigured(f"mesh {name!r}", f"its host process ended while it started; see {log}")
            answer = json.loads(line)
            if "step" in answer:
                say(answer["step"])
    except KeyboardInterrupt:
        _end_host(host.pid)
        raise
    if "error" in answer:
        host.wait()
        raise Misconfigured(f"mesh {name!r}", answer["error"])
    return answer


def _end_host(pid: int) -> None:
    """Ask the host to stop; kill it if it does not stop within the limit. Its Ray cluster ends with it."""
    handle = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        if not _ended(handle, STOP_LIMIT_S):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            _ended(handle, 5.0)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def _ended(handle: int, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))
