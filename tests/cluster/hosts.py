"""A host: namespaces of network, processes, mounts and names, with its own home, temporary folder and shared memory."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.cluster.init import HOME
from tests.cluster.net import Network, end_with_parent

ROOT = Path(__file__).resolve().parents[2]
VENV = "venuemesh/venv"  # below the home of a host, as in docs/cluster.md
BOOT_S = 20.0


def until(what: str, probe: Callable[[], Any], within_s: float, pause_s: float = 0.05) -> Any:
    """Return the result of `probe` once it is true. Raises AssertionError: not in time."""
    deadline = time.monotonic() + within_s
    while not (found := probe()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        time.sleep(pause_s)
    return found


class Host:
    """One host. `folder` is its home, which survives `cut_power`; /tmp and /dev/shm do not."""

    def __init__(self, network: Network, folder: Path, name: str, address: str, peers: Mapping[str, str]) -> None:
        """`peers`: the addresses of all hosts by name, for /etc/hosts."""
        self.name, self.address, self.folder = name, address, folder
        self._network = network
        self._boots = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.services: list[dict[str, Any]] = []
        folder.mkdir(mode=0o755)
        for part in ("log", "venuemesh"):
            (folder / part).mkdir(mode=0o755)
        (folder / VENV).symlink_to(Path(sys.prefix))
        (folder / "name").write_text(name)
        (folder / "machine-id").write_text(secrets.token_hex(16) + "\n")
        names = "".join(f"{peer} {of}\n" for of, peer in peers.items())
        (folder / "hosts").write_text(f"127.0.0.1 localhost\n{names}")

    # ------------------------------------------------------------------ its life

    def serve(
        self,
        name: str,
        argv: Sequence[str],
        environment: Mapping[str, str] | None = None,
        after: tuple[str, str] | None = None,
    ) -> None:
        """Add a service of the next boot; with `after` it starts when that service has written that text."""
        whole = self.environment() | (environment or {})
        self.services.append({"name": name, "argv": list(argv), "env": whole, "cwd": str(ROOT), "after": after})

    def boot(self) -> None:
        """Start the host and its services."""
        self._boots += 1
        (self.folder / "services.json").write_text(json.dumps(self.services))
        init = [sys.executable, "-m", "tests.cluster.init", str(self.folder), str(self._boots)]
        # -i: shared memory of System V, of which PostgreSQL leaves some when it is killed, ends with the host
        unshare = ["unshare", "-n", "-p", "-m", "-u", "-i", "-f", "--kill-child", "--mount-proc", *init]
        with (self.folder / "log" / "init").open("ab") as log:
            self._process = subprocess.Popen(
                unshare, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=end_with_parent
            )
        until(f"{self.name} has mounted its folders", self._has_booted, BOOT_S)
        self._network.attach(self.name, self.pid, self.address)
        (self.folder / "online").write_text(str(self._boots))

    def _has_booted(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"{self.name} did not boot: {(self.folder / 'log' / 'init').read_text()[-1000:]}")
        booted = self.folder / "booted"
        return booted.exists() and booted.read_text() == str(self._boots)

    @property
    def is_up(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process 1 of the host, as the machine numbers it."""
        assert self._process is not None
        return int(Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()[0])

    def cut_power(self) -> None:
        """End the host at once: nothing of it sends a last packet."""
        self._network.pull(self.name)
        self.end()

    def end(self) -> None:
        """End all processes of the host, as the kernel does with those of a namespace without its process 1."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self._process.wait()

    def freeze(self) -> None:
        """Stop all processes of the host, until none runs that could start another."""
        stopped: set[int] = set()
        while fresh := [pid for pid in self.pids() if pid not in stopped]:
            for pid in fresh:
                _signal(pid, signal.SIGSTOP)
                stopped.add(pid)

    def thaw(self) -> None:
        for pid in self.pids():
            _signal(pid, signal.SIGCONT)

    # ------------------------------------------------------------------ its processes

    def pids(self) -> list[int]:
        """Return the processes of the host, as the machine numbers them."""
        own = os.stat(f"/proc/{self.pid}/ns/pid").st_ino
        return [pid for pid in _processes() if _namespace(pid) == own]

    def titled(self, part: str) -> list[int]:
        """Return the processes of the host whose command line contains this text."""
        return [pid for pid in self.pids() if part in _command_line(pid)]

    def inner_pids(self, part: str) -> dict[int, str]:
        """Return the command lines of the processes that contain this text, by the number that the host gives them."""
        found = {}
        for pid in self.titled(part):
            try:
                rows = Path(f"/proc/{pid}/status").read_text().splitlines()
            except (FileNotFoundError, ProcessLookupError):
                continue
            (numbers,) = [row.split()[1:] for row in rows if row.startswith("NSpid:")]
            found[int(numbers[-1])] = _command_line(pid).strip()
        return found

    def environment(self) -> dict[str, str]:
        """Return the environment of a login on this host."""
        return {
            "HOME": str(HOME),
            "PATH": f"{HOME / VENV}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
        }

    def run(self, command: str, within_s: float = 60.0) -> str:
        """Run a command of the shell on the host, in the repository's folder; return its standard output.

        Raises AssertionError: it failed, with its output.
        """
        shell = ["env", "-i", *(f"{name}={value}" for name, value in self.environment().items()), "sh", "-ec", command]
        entered = ["nsenter", "-t", str(self.pid), "-n", "-p", "-m", "-u", f"--wd={ROOT}", *shell]
        try:
            done = subprocess.run(entered, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=within_s)
        except subprocess.TimeoutExpired as late:
            raise AssertionError(f"on {self.name}, not within {within_s:g} s: {command}\n{late.output}") from late
        assert done.returncode == 0, f"on {self.name}: {command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def prepare(self, command: str) -> None:
        """Run a command of the shell in the home of the host before it boots."""
        environment = self.environment() | {"HOME": str(self.folder)}
        subprocess.run(["sh", "-ec", command], check=True, env=environment, cwd=ROOT)

    def log(self, service: str) -> str:
        path = self.folder / "log" / service
        return path.read_text(errors="replace") if path.exists() else ""


def _processes() -> Iterable[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _namespace(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}/ns/pid").st_ino
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
