"""A mesh as a long-running service: `start` and `stop`, behind `venuemesh up` and `venuemesh down`.

Without an address, `start` runs a host process in the background that owns a Ray cluster of one node: the cluster ends
when that process ends, for any reason. With an address the mesh runs in that cluster, and `start` leaves no process.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..actors.cell.pulse import process_start
from ..mesh.run_file import RunFile, make_run_directory, read_run_file
from ..model.address import Address
from ..model.errors import MeshError, MeshNotRunning, Misconfigured, UnknownInstrument
from .output import Say, ignore

if TYPE_CHECKING:
    from ..config.mesh import MeshConfig

STOP_LIMIT_S = 30.0


def start(config: MeshConfig, *, address: str | None, wait_s: float, say: Say = ignore) -> dict[str, Any]:
    """Start the mesh; return its name and address, and how many books there are and are LIVE.

    `say` gets a line for each step of the start.

    Raises:
        Misconfigured: a mesh of that name runs already, or a configured pair is not listed (`UnknownInstrument`).
            Nothing was started.
    """
    name = config.mesh.name
    known = read_run_file(name)
    if known is not None and known.host_pid is not None and known.host_is_alive():
        raise Misconfigured(
            f"mesh {name!r}", f"runs already at {known.address}; stop it with `venuemesh down --mesh {name}`"
        )
    make_run_directory()  # if the folder cannot be made, nothing is started
    if address is not None:
        from ..mesh.cluster import join_ray

        say(f"joining the Ray cluster at {address}")
        join_ray(address, mesh=name)
        started = _launch_checked(config, wait_s, say)
        RunFile(name, address).write()
        return {**started, "address": address}
    return _spawn_host(config, wait_s, say)


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
            raise MeshNotRunning(name, "its host process has ended; its run file was removed")
        _end_host(known.host_pid)
    else:
        from ..mesh.mesh import connect

        connect(name, address=address).shutdown()
    if known is not None:
        known.remove()


def _launch_checked(config: MeshConfig, wait_s: float, say: Say) -> dict[str, Any]:
    from ..mesh.mesh import launch

    say("starting the supervisor")
    mesh = launch(config)
    try:
        refused = mesh.wait_started(wait_s, say)
        for address, reason in refused.items():
            book = Address.parse(address)
            raise UnknownInstrument(book.exchange, book.name, reason)
    except BaseException:
        mesh.shutdown()
        raise
    return {"mesh": config.mesh.name, **mesh.count_books()}


# ---------------------------------------------------------------------- the host process


def _spawn_host(config: MeshConfig, wait_s: float, say: Say) -> dict[str, Any]:
    say("starting the host process")
    log = make_run_directory() / f"{config.mesh.name}.log"
    try:
        errors = log.open("wb")
    except OSError as error:
        raise Misconfigured(str(log), f"cannot be written: {error.strerror or error}") from error
    with errors:
        host = subprocess.Popen(
            [sys.executable, "-m", "venuemesh.cli.service", str(wait_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            cwd="/",
        )
    assert host.stdin is not None
    assert host.stdout is not None
    host.stdin.write(config.model_dump_json().encode())
    host.stdin.close()
    answer: dict[str, Any] = {"step": ""}
    try:
        while "step" in answer:
            line = host.stdout.readline()
            if not line:
                host.wait()
                raise Misconfigured(f"mesh {config.mesh.name!r}", f"its host process ended while it started; see {log}")
            answer = json.loads(line)
            if "step" in answer:
                say(answer["step"])
    except KeyboardInterrupt:
        _end_host(host.pid)
        raise
    if "error" in answer:
        host.wait()
        raise Misconfigured(f"mesh {config.mesh.name!r}", answer["error"])
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


def _host(config: MeshConfig, wait_s: float) -> None:
    """Own a Ray cluster and the mesh in it until SIGTERM or Ctrl-C. Runs in a separate process."""
    _step("starting Ray")
    from ..mesh.cluster import local_ray
    from ..mesh.mesh import connect

    name = config.mesh.name
    run: RunFile | None = None
    try:
        with local_ray() as address:
            signal.signal(signal.SIGTERM, _interrupt)  # Ray's own handler ends this process at once
            run = RunFile(name, address, os.getpid(), process_start(os.getpid()))
            run.write()
            started = _launch_checked(config, wait_s, _step)
            try:
                _answer({**started, "address": address})
                while True:
                    signal.pause()
            finally:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                connect(name).shutdown()
    finally:
        if run is not None:
            run.remove()


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _step(text: str) -> None:
    """Write a line of progress to the starting process."""
    sys.stdout.write(json.dumps({"step": text}) + "\n")
    sys.stdout.flush()


def _answer(line: Mapping[str, Any]) -> None:
    """Write one line to the starting process, and close standard output."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)


def _main() -> None:
    from ..config.mesh import MeshConfig

    config = MeshConfig.model_validate_json(sys.stdin.buffer.read())
    try:
        _host(config, float(sys.argv[1]))
    except MeshError as error:
        _answer({"error": str(error)})
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    _main()
