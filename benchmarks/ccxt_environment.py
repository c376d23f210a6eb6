"""The environment of ccxt: ccxt pins many packages, so it has a separate environment and process."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

PLACE = Path(__file__).resolve().parents[1] / ".cache" / "ccxt-venv"
WANTED = "ccxt>=4.5.90"


def ccxt_python() -> Path:
    """Return the interpreter of `.cache/ccxt-venv`, which is created on demand.

    Raises:
        OSError, subprocess.SubprocessError: ccxt cannot be installed here.
    """
    python, ready = PLACE / "bin" / "python", PLACE / ".installed"
    if not ready.exists():
        venv.create(PLACE, with_pip=True, clear=True)
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", WANTED]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
        ready.touch()
    return python
