"""The folder of recorded traffic, or a skip with the reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def captures(exchange: str) -> Path:
    """Return the folder of an exchange's recordings; skip the test if it does not exist."""
    configured = os.environ.get("VENUEMESH_CAPTURES")
    root = Path(configured) if configured else Path(__file__).resolve().parents[3] / "shared" / "captures"
    if not (root / exchange).is_dir():
        pytest.skip(f"no recordings of {exchange} in {root}; set VENUEMESH_CAPTURES")
    return root / exchange
