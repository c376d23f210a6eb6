"""A test that hangs on the loop of cells ends at its time limit."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HANGS = """
import asyncio

async def test_hangs():
    await asyncio.Event().wait()

async def test_ends():
    await asyncio.sleep(0)
"""


def test_a_coroutine_that_waits_for_ever_fails_at_the_limit(tmp_path):
    file = tmp_path / "test_hangs.py"
    file.write_text(HANGS)
    options = "-p", "tests.fakes.timed_loop", "-o", "asyncio_mode=auto", "--timeout", "1", "--rootdir", str(tmp_path)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "the time limit of the test" in done.stdout
