"""Where ccxt comes from: it pins many packages, so it lives in an environment of its own and runs as a subprocess.

The environment is `.cache/ccxt-venv`, made on demand. Where ccxt cannot be installed the tests are skipped with the
reason, except in CI, where they fail.
"""

from __future__ import annotations

import os
import subprocess
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / ".cache" / "ccxt-venv"
WANTED = "ccxt>=4.5.90"


@pytest.fixture(scope="session")
def ccxt_python() -> Path:
    python = PLACE / "bin" / "python"
    ready = PLACE / ".installed"
    if not ready.exists():
        try:
            venv.create(PLACE, with_pip=True, clear=True)
            subprocess.run(
                [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", WANTED],
                check=True,
                capture_output=True,
                text=True,
                timeout=600,
            )
        except (subprocess.SubprocessError, OSError) as error:
            why = f"ccxt cannot be installed here: {getattr(error, 'stderr', None) or error}"
            if os.environ.get("CI") == "true":
                pytest.fail(why)
            pytest.skip(why)
        ready.touch()
    return python
