"""The process that hosts a mesh: it owns the Ray cluster, and the local exchanges, until SIGTERM or Ctrl-C.

`venuemesh up` starts it in the background, with the mesh as JSON on its standard input; `venuemesh up --foreground` is
such a process itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from ..actors.cell.pulse import process_start
from ..mesh.run_file import RunFile
from ..model.address import Address
from ..model.errors import MeshError, MeshNotRunning, RetryLater, UnknownInstrument
from .local_venues import LocalVenues
from .output import Say

if TYPE_CHECKING:
    from ..config.mesh import MeshConfig

LOOK_S = 1.0  # between two checks whether a mesh in a cluster of another process has ended
Answer = Callable[[Mapping[str, Any]], None]


def host(plan: MeshConfig | LocalVenues, address: str | None, wait_s: float | None, say: Say, answer: Answer) -> None:
    """Start the mesh, `answer` what runs, and end it in an orderly way at SIGTERM or Ctrl-C.

    Without an `address` the mesh gets a Ray cluster that ends with this process, for any reason.

    Raises:
        Misconfigured: the mesh cannot start.
        RetryLater: the mesh does not answer, or a process that it needs has ended.
    """
    with contextlib.ExitStack() as own, _until_interrupted():
        signal.signal(signal.SIGTERM, _interrupt)
        config = own.enter_context(plan.running(say)) if isinstance(plan, LocalVenues) else plan
        say("starting Ray" if address is None else f"joining the Ray cluster at {address}")
        from ..mesh.cluster import JOIN_S, join_ray, local_processes, local_ray, logs_here
        from ..mesh.mesh import connect

        name, pid = config.mesh.name, os.getpid()
        if address is None:
            where = own.enter_context(local_ray())
        else:
            where = address
            join_ray(address, mesh=name, wait_s=JOIN_S)
        run = RunFile(
            name, where, pid, process_start(pid), config.journal.url, logs_here(), isinstance(plan, LocalVenues)
        )
        run.write()
        ended: list[str] = []
        own.callback(lambda: replace(run, ended=ended[0]).write() if ended else run.remove())
        started = launch_checked(config, wait_s, say)
        parts = local_processes() if address is None else {}
        own.callback(lambda: connect(name).shutdown() if all(map(process_start, parts.values())) else None)
        answer({**started, "address": run.address})
        if parts:
            cause = f"a process of its Ray cluster has ended: {_wait_for_end(parts)}"
            ended.append(f"{cause}. Open orders stay open at the exchange; `venuemesh up` starts the mesh again")
            raise RetryLater(1.0, f"mesh {name!r} has ended, because {cause}")
        _wait_for_mesh(name)


def launch_checked(config: MeshConfig, wait_s: float | None, say: Say) -> dict[str, Any]:
    """Start a mesh in the cluster this process has joined; end it again if it cannot start as configured.

    What has not started in time may still start, so a mesh that answers is left running; `missing` names what it lacks.
    `wait_s` None: see `Mesh.wait_started`.
    """
    from ..mesh.mesh import launch
    from ..mesh.progress import missing_parts, paces, refused_pairs

    say("starting the supervisor")
    mesh = launch(config)
    missing: list[str] = []
    try:
        try:
            refused = mesh.wait_started(wait_s, say)
        except RetryLater:
            tree = mesh.status()
            missing, refused = [*missing_parts(tree), *paces(tree)], refused_pairs(tree)
        for address, reason in refused.items():
            book = Address.parse(address)
            raise UnknownInstrument(book.exchange, book.name, reason)
    except BaseException:
        mesh.shutdown()
        raise
    return {"mesh": config.mesh.name, **mesh.count_books(), "missing": missing}


def plain(plan: MeshConfig | LocalVenues) -> bytes:
    """Return what a host process in the background shall run, as JSON."""
    if isinstance(plan, LocalVenues):
        return json.dumps({"local": asdict(plan)}).encode()
    return json.dumps({"config": plan.model_dump(mode="json")}).encode()


def _read_plan(text: bytes) -> MeshConfig | LocalVenues:
    raw = json.loads(text)
    if "local" in raw:
        local = raw["local"]
        return LocalVenues(local["mesh"], tuple(local["venues"]), tuple(local["pairs"]))
    from ..config.mesh import MeshConfig

    return MeshConfig.model_validate_json(json.dumps(raw["config"]))


def notify(state: str) -> None:
    """Tell the service manager about a state of this process, where it has asked for that ($NOTIFY_SOCKET)."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
        out.connect("\0" + path[1:] if path.startswith("@") else path)
        out.sendall(state.encode())


def _wait_for_end(processes: Mapping[str, int]) -> str:
    """Wait until one of the cluster's processes ends; return its name."""
    poll = select.poll()
    with contextlib.ExitStack() as handles:
        names = {}
        for name, pid in processes.items():
            handle = os.pidfd_open(pid)
            handles.callback(os.close, handle)
            poll.register(handle, select.POLLIN)
            names[handle] = name
        return ", ".join(names[handle] for handle, _ in poll.poll())


def _wait_for_mesh(mesh: str) -> None:
    """Wait until the mesh has ended. Raises RetryLater: its cluster is away."""
    from ..mesh.mesh import connect

    while not signal.sigtimedwait((), LOOK_S):
        try:
            connect(mesh)
        except MeshNotRunning:
            return


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def _until_interrupted() -> Iterator[None]:
    """End the block at SIGTERM or Ctrl-C; after the block both are ignored, so that the cleanup is not interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        return
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)


# ---------------------------------------------------------------------- in the background


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
    from ..mesh import cluster, mesh  # noqa: F401 - Ray is imported before the plan comes

    try:
        host(_read_plan(sys.stdin.buffer.read()), None, float(sys.argv[1]) if sys.argv[1:] else None, _step, _answer)
    except MeshError as error:
        _answer({"error": str(error)})
        sys.exit(2)


if __name__ == "__main__":
    _main()
