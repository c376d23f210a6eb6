"""Process 1 of a host: mounts the host's folders, reaps, and keeps services running as systemd would.

    python -m tests.cluster.init FOLDER BOOT

`FOLDER/services.json` is a list of {name, argv, env}. The services start when `FOLDER/online` has the number BOOT,
which also means that the host has its network. A service that ends is started again after `RESTART_S`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HOME = Path("/srv")  # the folder of the host, in its own mounts
RESTART_S = 1.0  # RestartSec= of the units in docs/cluster.md
LOOK_S = 0.02
OWN_FILES = {"hosts": "/etc/hosts", "machine-id": "/etc/machine-id"}


def mount(folder: Path) -> None:
    """Give the host its own home, temporary folder, shared memory and names."""
    subprocess.run(["mount", "--bind", folder, HOME], check=True)
    for name, path in OWN_FILES.items():
        if Path(path).exists():
            subprocess.run(["mount", "--bind", HOME / name, path], check=True)
    for path in ("/dev/shm", "/tmp"):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", path], check=True)
    subprocess.run(["hostname", (HOME / "name").read_text()], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def start(service: dict[str, object]) -> int:
    """Start a service with its own session and its output in `log/NAME`; return its pid."""
    with (HOME / "log" / str(service["name"])).open("ab") as log:
        process = subprocess.Popen(
            service["argv"],  # type: ignore[arg-type]
            env=service["env"],  # type: ignore[arg-type]
            cwd=str(service["cwd"]),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return process.pid


def main() -> None:
    folder, boot = Path(sys.argv[1]), sys.argv[2]
    mount(folder)
    (HOME / "booted").write_text(boot)
    while not (HOME / "online").exists() or (HOME / "online").read_text() != boot:
        time.sleep(LOOK_S)
    waiting = {service["name"]: (0.0, service) for service in json.loads((HOME / "services.json").read_text())}
    running: dict[int, dict[str, object]] = {}
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        now = time.monotonic()
        for name, (due, service) in list(waiting.items()):
            if now >= due:
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
                waiting[ended["name"]] = (time.monotonic() + RESTART_S, ended)
        signal.sigtimedwait([signal.SIGCHLD], RESTART_S / 2)


if __name__ == "__main__":
    main()
