"""One answer on the websocket, before it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Reply:
    """A result or an error, and what begins once the answer is written."""

    result: dict[str, Any] | None = None
    error: str | None = None
    symbol: object = None  # named beside an error
    then: Callable[[], None] | None = None
