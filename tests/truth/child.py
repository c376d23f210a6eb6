"""A process of the tests with a protocol of lines, forked from one that has imported what hosts and samplers need.

The imports take a host most of a second, in which the samplers next to it read as fast as they can. A fork is an
ordinary process with its own standard files.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from typing import Any
from unittest.mock import patch

MODULES = ["tests.truth.host", "tests.truth.sampler"]
PATIENCE_S = 45.0


def until(what: str, probe: Callable[[], Any], timeout_s: float = PATIENCE_S, also: Callable[[], str] = str) -> Any:
    """Return the result of `probe` once it is true; `also` adds to the error if it never is."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}; {also()}")
        time.sleep(0.02)


def _run(module: str, commands: Connection, answers: Connection) -> None:
    """Be the process: run a module's `main` with these standard files."""
    for number, end in enumerate((commands, answers)):
        os.dup2(end.fileno(), number)
        end.close()
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    import_module(module).main()


class Child:
    """One such process, ended by its id."""

    def __init__(self, module: str, asked: dict[str, Any]) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(MODULES)
        with patch.dict(os.environ, {"OPENBLAS_NUM_THREADS": "1"}):  # a process with threads is not forked safely
            ensure_running()
        theirs, ours = context.Pipe(duplex=False)
        answers, answered = context.Pipe(duplex=False)
        self._process = context.Process(target=_run, args=(module, theirs, answered), daemon=True)
        main = sys.modules["__main__"]  # the program that runs the tests: not needed there
        with patch.object(main, "__spec__", None), patch.object(main, "__file__", None, create=True):
            self._process.start()
        theirs.close()
        answered.close()
        self._commands, self._answers = os.fdopen(os.dup(ours.fileno()), "w"), os.fdopen(os.dup(answers.fileno()))
        ours.close()
        answers.close()
        assert self._process.pid is not None
        self.pid: int = self._process.pid
        self.say(json.dumps(asked))
        self.answer()

    def say(self, line: str) -> None:
        self._commands.write(line + "\n")
        self._commands.flush()

    def answer(self, timeout_s: float = PATIENCE_S) -> Any:
        """Return the next line of its output, read as JSON."""
        ready, _, _ = select.select([self._answers], [], [], timeout_s)
        if not ready:
            raise AssertionError(f"process {self.pid} wrote nothing for {timeout_s:g} s")
        line = self._answers.readline()
        if not line:
            raise AssertionError(f"process {self.pid} ended with {self.wait()}")
        return json.loads(line)

    def ask(self, line: str) -> Any:
        self.say(line)
        return self.answer()

    def signal(self, number: int) -> None:
        if self.ended is None:
            os.kill(self.pid, number)

    def stop_it(self) -> int:
        """SIGSTOP; return a time (CLOCK_MONOTONIC, ns) at which it had certainly stopped."""
        self.signal(signal.SIGSTOP)
        until(f"{self.pid} is stopped", lambda: self.ended is not None or self.state in "TZ")
        return time.monotonic_ns()

    @property
    def state(self) -> str:
        """As in /proc: R, S, T (stopped), Z, ..."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]

    @property
    def ended(self) -> int | None:
        """Its exit status, None while it runs."""
        return self._process.exitcode

    def kill(self) -> int:
        """SIGKILL; return a time at which it was certainly gone."""
        self._process.kill()
        self._process.join()
        self.close()
        self._answers.close()
        return time.monotonic_ns()

    def close(self) -> None:
        """End its standard input."""
        self._commands.close()

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """Wait for its end; return its status."""
        self._process.join(timeout_s)
        assert self._process.exitcode is not None, f"process {self.pid} runs still"
        return self._process.exitcode
