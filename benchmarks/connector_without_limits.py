"""Binance's connector without the limits of an egress, for benchmarks on the local exchange.

`installed` registers the connector by an entry point in a folder on PYTHONPATH, for this process and its children.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from venuemesh.connectors.binance import BinanceConnector
from venuemesh.connectors.binance.spec import SPEC

NAME = "without-limits"
MANY = 1_000_000_000
CONNECTOR = BinanceConnector(
    replace(SPEC, limits={name: replace(limit, amount=MANY) for name, limit in SPEC.limits.items()})
)
ACCOUNT_LIMITS = {name: [MANY, limit.per_s] for name, limit in SPEC.account_limits.items()}


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """Install the connector while the block runs. Enter the block before Ray starts."""
    with tempfile.TemporaryDirectory(prefix="venuemesh-bench-") as folder:
        info = Path(folder) / "venuemesh_bench-0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: venuemesh-bench\nVersion: 0\n")
        (info / "entry_points.txt").write_text(f"[venuemesh.connectors]\n{NAME} = {__name__}:CONNECTOR\n")
        root = str(Path(__file__).resolve().parent.parent)
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join(one for one in (folder, root, before) if one)
        sys.path.insert(0, folder)
        try:
            yield
        finally:
            sys.path.remove(folder)
            if before is None:
                del os.environ["PYTHONPATH"]
            else:
                os.environ["PYTHONPATH"] = before
