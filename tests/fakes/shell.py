"""A process that runs commands of the command line, one after another, for tests that read what commands print.

A command in a separate process spends two seconds of a core on its imports and on joining Ray. A `Shell` joins Ray
once, with its first command that needs Ray. Each command has its own arguments, output and exit status, as usual.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from typing import Any, TextIO

COMMAND = "from tests.fakes.shell import serve; serve()"


class Shell:
    """Runs commands in one process with this environment; call it with the arguments of a command."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", COMMAND],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: Any, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `venuemesh ...`; return what it printed and its exit status, which must be 0 if `check` is set."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        command = [str(one) for one in arguments]
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"{command}: the process ended with {self._process.wait()}"
        done = subprocess.CompletedProcess(command, **json.loads(line))
        assert done.returncode == 0 or not check, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


def serve() -> None:
    """Run the commands of standard input, one in a line; answer each with a line on standard output."""
    with os.fdopen(os.dup(1), "w") as answers:
        for line in sys.stdin:
            answers.write(json.dumps(_run(json.loads(line))) + "\n")
            answers.flush()


def _run(arguments: list[str]) -> dict[str, Any]:
    from venuemesh.__main__ import main

    sys.argv[:] = ["venuemesh", *arguments]
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(output.fileno(), 1)
        os.dup2(errors.fileno(), 2)
        try:
            main()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        except Exception:
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        return {"returncode": status, "stdout": _text(output), "stderr": _text(errors)}


def _text(file: TextIO) -> str:
    file.seek(0)
    return file.read()
