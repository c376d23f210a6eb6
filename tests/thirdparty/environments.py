"""Environments of public clients, separate ones in `.cache`, because the clients pin many packages."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".cache"
UV = Path(sys.executable).with_name("uv")


def python_of(name: str, wanted: str) -> Path:
    """Return the interpreter of the environment of `name`, which is created on demand.

    Raises:
        OSError, subprocess.SubprocessError: it cannot be installed here.
    """
    place = CACHE / f"{name}-venv"
    python, ready = place / "bin" / "python", place / ".installed"
    if not ready.exists():
        venv.create(place, with_pip=not UV.exists(), clear=True)
        by_uv = [UV, "pip", "install", "--index-strategy", "unsafe-best-match", "--python", python]
        command = by_uv if UV.exists() else [python, "-m", "pip", "install", "--disable-pip-version-check"]
        subprocess.run([*command, "--quiet", wanted], check=True, capture_output=True, text=True, timeout=900)
        ready.touch()
    return python
