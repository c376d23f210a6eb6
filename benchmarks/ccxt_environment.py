"""The Python that runs ccxt: this one if it has the package, as after `make setup`, else a separate environment's."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import venv
from pathlib import Path

PLACE = Path(__file__).resolve().parents[1] / ".cache" / "ccxt-venv"
WANTED = "ccxt>=4.5.90,<4.6"


def ccxt_python() -> Path:
    """Return an interpreter that has ccxt; if this one has not, `.cache/ccxt-venv` is made on demand.

    Raises:
        OSError, subprocess.SubprocessError: ccxt cannot be installed here.
    """
    if importlib.util.find_spec("ccxt") is not None:
        return Path(sys.executable)
    python, ready = PLACE / "bin" / "python", PLACE / ".installed"
    if not ready.exists():
        venv.create(PLACE, with_pip=True, clear=True)
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", WANTED]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
        ready.touch()
    return python
