"""Connectors that this process finds under their names during a test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from venuemesh.connectors import registry


@contextlib.contextmanager
def lent(connector: Any) -> Iterator[None]:
    """Let this process find a connector under its name, instead of an installed one, until the block ends."""
    registry.lend(connector)
    try:
        yield
    finally:
        registry.take_back(connector)
