"""The sync classes are up to date: `scripts/generate-sync` makes the same from the async classes."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_generated_files_are_up_to_date():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "generate-sync", "--check"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
