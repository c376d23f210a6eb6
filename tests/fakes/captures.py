"""Where recorded traffic lies, or a skip with the reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def captures(exchange: str) -> Path:
    """The folder of an exchange's recordings; skips the test where there is none."""
    told = os.environ.get("VENUEMESH_CAPTURES")
    root = Path(told) if told else Path(__file__).resolve().parents[3] / "shared" / "captures"
    if not (root / exchange).is_dir():
        pytest.skip(f"no recordings of {exchange} in {root}; set VENUEMESH_CAPTURES")
    return root / exchange
