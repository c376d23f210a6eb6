"""Runs a server process while a block runs."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from ..model.errors import Misconfigured

END_LIMIT_S = 10.0


@contextlib.contextmanager
def serving(module: str, *arguments: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Run a module that prints one JSON object when it serves; yield its process id and the object.

    The process has its own session, so that Ctrl-C reaches only the caller. The end of the block ends the process, by
    SIGKILL if necessary.

    Raises:
        Misconfigured: the process ended before it served.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    with process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise Misconfigured(module, f"ended with status {process.wait()} before it served")
            yield process.pid, json.loads(line)
        finally:
            process.terminate()
            try:
                process.wait(END_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
