"""`venuemesh up --local --foreground` as a user or a service manager runs it: the printed Python works when pasted."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from venuemesh.actors.cell.pulse import process_start
from venuemesh.mesh.cluster import descendants

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
START_S = 200.0


def read_until(process, last):
    """Return what a process prints up to the line that begins with `last`."""
    text, deadline = "", time.monotonic() + START_S
    while not any(line.startswith(last) for line in text.split("\n")[:-1]):
        left = deadline - time.monotonic()
        assert left > 0, f"no {last!r} in {text}"
        if select.select([process.stdout], [], [], left)[0]:
            chunk = os.read(process.stdout.fileno(), 65536)
            assert chunk, f"ended with {process.wait()}: {text}"
            text += chunk.decode()
    return text


def test_the_printed_python_works_and_sigterm_stops_everything(state, tmp_path):
    command = [sys.executable, "-m", "venuemesh", "up", "--local", "--foreground", "--venues", "kraken,okx"]
    command += ["--pairs", "ETH-BTC", "--mesh", "pasted", "--wait", str(START_S)]
    with subprocess.Popen(command, env=state, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            printed = read_until(process, "Stop it with")
            started = descendants(process.pid)
            assert "2 of 2 books LIVE" in printed
            lines = [line.removeprefix("    ") for line in printed.splitlines() if line.startswith("    ")]
            assert len(lines) == 3
            pasted = subprocess.run(
                [sys.executable, "-i"],
                input="\n".join(lines) + "\n",
                env={**state, "PYTHONSTARTUP": ""},
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert "Level(price=" in pasted.stdout, pasted.stderr
            assert "exchange='kraken', account='main'" in pasted.stdout
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
    assert len([pid for pid, _ in started]) > 5
    assert not [pid for pid, start in started if process_start(pid) == start]
    assert not (Path(state["XDG_STATE_HOME"]) / "venuemesh" / "pasted.json").exists()
