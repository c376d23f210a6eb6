"""ccxt's environment; see `benchmarks/ccxt_environment.py`.

Where ccxt cannot be installed the tests are skipped with the reason, except in CI, where they fail.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from benchmarks import ccxt_environment


@pytest.fixture(scope="session")
def ccxt_python() -> Path:
    try:
        return ccxt_environment.ccxt_python()
    except (subprocess.SubprocessError, OSError) as error:
        reason = f"ccxt cannot be installed here: {getattr(error, 'stderr', None) or error}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
