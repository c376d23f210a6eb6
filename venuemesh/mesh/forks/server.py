"""Import the roles, then fork a worker for each connection, until standard input ends.

The argument is the number of the inherited listening socket. A connection brings one JSON line (arguments, environment,
folder, nice) with the standard files. It gets `FORKED` when there is a fork, and the exit status when the worker ends.
A fork imports Ray itself: Ray reads its environment and seeds the generator of its ids as it is imported. What Ray
imports of others is imported before the fork; that is two thirds of the time.
"""

from __future__ import annotations

import array
import contextlib
import gc
import importlib
import importlib.util
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
import traceback
from typing import Any

from ...actors.cell.kinds import preload
from ...supervisor import shell, watchers  # noqa: F401

FORKED = b"f"
LARGEST = 1 << 20
LIST = "import sys, ray; print(*(name for name in sys.modules if name.partition('.')[0] not in ('ray', '__main__')))"


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Return the request and the three standard files."""
    data, ancillary, _, _ = connection.recvmsg(LARGEST, socket.CMSG_LEN(3 * 4))
    while not data.endswith(b"\n"):
        more = connection.recv(LARGEST)
        if not more:
            raise ConnectionError("the connection ended within a request")
        data += more
    files = array.array("i")
    files.frombytes(ancillary[0][2][:12])
    return json.loads(data), list(files)


def work(wanted: dict[str, Any], files: list[int]) -> int:
    """Run as the worker; return its exit status."""
    os.setpgid(0, 0)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(wanted["environment"])
    os.chdir(wanted["folder"])
    sys.argv[:] = wanted["arguments"]
    paths = wanted["environment"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [path for path in paths if path and path not in sys.path]
    os.nice(max(0, wanted["nice"] - os.nice(0)))
    try:
        runpy.run_path(wanted["arguments"][0], run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def import_what_ray_imports() -> None:
    """Import all modules that come with Ray, but none of Ray's own. Ray brings versions of some with it."""
    ray = importlib.util.find_spec("ray")
    assert ray is not None
    assert ray.origin is not None
    sys.path.insert(0, os.path.join(os.path.dirname(ray.origin), "thirdparty_files"))
    listed = subprocess.run([sys.executable, "-c", LIST], stdout=subprocess.PIPE, text=True, check=True).stdout
    for name in listed.split():
        with contextlib.suppress(ImportError):  # a compiled module may list what cannot be imported by name
            importlib.import_module(name)
    del sys.path[0]


def main() -> None:
    listening = socket.socket(fileno=int(sys.argv[1]))
    parent = sys.stdin.fileno()
    preload(trading=True)
    import_what_ray_imports()
    assert "ray" not in sys.modules, "imported before the fork, Ray would give the workers equal ids"
    assert threading.active_count() == 1 == len(os.listdir("/proc/self/task")), (
        "a process with threads is not forked safely"
    )
    gc.collect()
    gc.freeze()  # a fork's collector leaves these pages shared
    ended, wake = os.pipe()
    os.set_blocking(ended, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    selector = selectors.DefaultSelector()
    for file in (listening, parent, ended):
        selector.register(file, selectors.EVENT_READ)
    waiting: dict[int, socket.socket] = {}
    while True:
        for key, _ in selector.select():
            if key.fileobj == parent:
                return
            if key.fileobj == ended:
                os.read(ended, 4096)
                reap(waiting)
                continue
            connection = listening.accept()[0]
            try:
                wanted, files = receive(connection)
            except (OSError, ValueError, IndexError) as error:  # it was killed
                print(f"a request for a worker is not complete: {error!r}", file=sys.stderr, flush=True)
                connection.close()
                continue
            child = os.fork()
            if child == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                selector.close()
                for one in (*waiting.values(), connection, listening):
                    one.close()
                for file in (ended, wake):
                    os.close(file)
                status = 1
                try:
                    status = work(wanted, files)
                finally:
                    sys.stdout.flush()
                    sys.stderr.flush()
                    os._exit(status)
            for file in files:
                os.close(file)
            with contextlib.suppress(OSError):  # it was killed
                connection.send(FORKED)
            waiting[child] = connection


def reap(waiting: dict[int, socket.socket]) -> None:
    """Send the exit statuses of ended workers to their waiting clients."""
    while waiting:
        child, status = os.waitpid(-1, os.WNOHANG)
        if not child:
            return
        with waiting.pop(child) as connection:
            try:
                connection.send(b"%d" % os.waitstatus_to_exitcode(status))
            except OSError as error:  # it was killed
                print(f"no client waits for worker {child}: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
