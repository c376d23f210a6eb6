"""A real PostgreSQL for tests: a separate cluster in a temporary directory, on a Unix socket, ended by its id."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
import pytest

_PR_SET_PDEATHSIG = 1
_START_LIMIT_S = 60.0
FAST = (
    "fsync=off",
    "autovacuum=off",
    "full_page_writes=off",
    "listen_addresses=",
    "shared_buffers=32MB",
    "max_connections=40",
)


def binaries() -> Path | None:
    """Return the directory of `initdb` and `postgres`; None if they are not installed."""
    there = shutil.which("initdb")
    found = [Path(there).resolve().parent] if there else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -float(path.parent.name))
    return next((path for path in found if (path / "initdb").exists() and (path / "postgres").exists()), None)


def required_binaries() -> Path:
    """Return the directory as `binaries`; without it skip the test, or fail in CI (CI=true), which must install
    them."""
    found = binaries()
    if found is None:
        reason = "PostgreSQL is not installed: no initdb in PATH or /usr/lib/postgresql"
        if os.environ.get("CI", "").lower() in ("true", "1"):
            pytest.fail(f"{reason}; scripts/ci-packages installs it")
        pytest.skip(reason)
    return found


def unprivileged() -> dict[str, Any]:
    """Return the user to run as, for `subprocess`, because PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    pytest.skip("PostgreSQL refuses root, and there is no other user to run it as")


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


class Postgres:
    """Makes the cluster and starts it. `database` makes an empty one and returns its URL."""

    def __init__(self) -> None:
        self._bin = required_binaries()
        self._user = unprivileged()
        self._made = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.directory = Path(tempfile.mkdtemp(prefix="venuemesh-pg-"))
        if self._user:
            os.chown(self.directory, self._user["user"], self._user["group"])
        try:
            command = [self._bin / "initdb", "-D", self.directory / "data", "-U", "mesh", "-A", "trust"]
            self._run(*command, "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
            self.start()
        except BaseException:
            self.remove()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://mesh:sesame@/{database}?host={self.directory}"

    def database(self) -> str:
        """Make an empty database and return its URL."""
        self._made += 1
        name = f"journal_{self._made}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def schema(self) -> str:
        """Make an empty schema and return the URL of a database with only this schema: cheaper than `database`."""
        self._made += 1
        name = f"schema_{self._made}"
        self.execute(f"CREATE SCHEMA {name}")
        return f"{self.url('postgres')}&options=-csearch_path%3D{name}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        with psycopg.connect(host=str(self.directory), user="mesh", dbname=database, autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """Start the server and return when it serves."""
        settings = [part for setting in FAST for part in ("-c", setting)]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self.directory / "data", "-k", self.directory, *settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                preexec_fn=_end_with_parent,
                **self._user,
            )
        deadline = time.monotonic() + _START_LIMIT_S
        while True:
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self.directory / "log").read_text()[-2000:]) from None
                time.sleep(0.02)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server and every connection: SIGINT orderly, SIGQUIT as a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            try:
                self._process.wait(30.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def remove(self) -> None:
        """End the server at once, even with its files in disorder, and remove the cluster."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _run(self, *command: Any) -> None:
        done = subprocess.run(command, cwd=self.directory, capture_output=True, text=True, **self._user)
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]}: {done.stderr[-2000:]}")
