"""Process 1 of a host: mounts the host's folders, reaps, and keeps services running as systemd would.

    python -m tests.cluster.init FOLDER BOOT

`FOLDER/services.json` is a list of {name, argv, env, cwd, after}. The services start when `FOLDER/online` has the
number BOOT, which also means that the host has its network; one with `after` (a service, a text) when that service has
written the text since its start, and it is killed when that service ends (After= and BindsTo= of systemd). What is left
of a service that ends is killed (KillMode=mixed), and it is started again after `RESTART_S`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HOME = Path("/srv")  # the folder of the host, in its own mounts
RESTART_S = 1.0  # RestartSec= of the units in docs/cluster.md
LOOK_S = 0.02
CODE = (Path(__file__).resolve().parents[2], Path(sys.prefix))  # shown also where a host's own folder would hide it
MARK = "SERVICE_OF_HOST"  # in the environment of all processes of a service
OWN_FILES = {"hosts": "/etc/hosts", "machine-id": "/etc/machine-id"}


def mount(folder: Path) -> None:
    """Give the host its own home, temporary folder, shared memory and names."""
    subprocess.run(["mount", "--bind", folder, HOME], check=True)
    for name, path in OWN_FILES.items():
        if Path(path).exists():
            subprocess.run(["mount", "--bind", HOME / name, path], check=True)
    for path in ("/dev/shm", "/tmp"):
        hidden = {code: os.open(code, os.O_PATH) for code in CODE if code.is_relative_to(path)}
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", path], check=True)
        for code, fd in hidden.items():
            if not code.exists():
                code.mkdir(parents=True)
                subprocess.run(["mount", "-c", "--bind", f"/proc/self/fd/{fd}", code], check=True, pass_fds=[fd])
            os.close(fd)
    subprocess.run(["hostname", (HOME / "name").read_text()], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def start(service: dict[str, Any]) -> int:
    """Start a service with its own session and its output in `log/NAME`; return its pid."""
    with (HOME / "log" / str(service["name"])).open("ab") as log:
        process = subprocess.Popen(
            service["argv"],
            env=service["env"] | {MARK: service["name"]},
            cwd=str(service["cwd"]),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return process.pid


def kill_rest(name: str) -> None:
    """Kill what is left of a service, until none is left that could start another."""
    mark = f"{MARK}={name}".encode()
    while True:
        found = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if _has(path, mark)]
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(LOOK_S)


def _has(environ: Path, mark: bytes) -> bool:
    try:
        return mark in environ.read_bytes().split(b"\0")  # empty: it has ended, and is not reaped yet
    except (FileNotFoundError, ProcessLookupError):
        return False


def log_sizes() -> dict[str, int]:
    return {path.name: path.stat().st_size for path in (HOME / "log").iterdir()}


def has_written(after: list[str] | None, sizes: dict[str, int]) -> bool:
    """Return whether another service has written a text since the sizes of the logs were taken."""
    if after is None:
        return True
    name, text = after
    path = HOME / "log" / name
    return path.exists() and text.encode() in path.read_bytes()[sizes.get(name, 0) :]


def main() -> None:
    folder, boot = Path(sys.argv[1]), sys.argv[2]
    mount(folder)
    (HOME / "booted").write_text(boot)
    while not (HOME / "online").exists() or (HOME / "online").read_text() != boot:
        time.sleep(LOOK_S)
    waiting = {service["name"]: (0.0, service) for service in json.loads((HOME / "services.json").read_text())}
    sizes = log_sizes()
    running: dict[int, dict[str, Any]] = {}
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        now = time.monotonic()
        for name, (due, service) in list(waiting.items()):
            if now >= due and has_written(service["after"], sizes):
                del waiting[name]
                running[start(service)] = service
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            ended = running.pop(pid, None)
            if ended is not None:
                kill_rest(str(ended["name"]))
                waiting[str(ended["name"])] = (time.monotonic() + RESTART_S, ended)
                sizes |= log_sizes()
                for other, service in running.items():
                    if service["after"] and service["after"][0] == ended["name"]:
                        with contextlib.suppress(ProcessLookupError):  # it has ended and is reaped next
                            os.killpg(other, signal.SIGKILL)
        signal.sigtimedwait([signal.SIGCHLD], RESTART_S / 2)


if __name__ == "__main__":
    main()
