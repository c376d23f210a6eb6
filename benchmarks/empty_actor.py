"""A Ray actor that does nothing and imports nothing: the cost of any actor without a book."""

from __future__ import annotations

import os
from typing import Any

import ray


class _Empty:
    async def pid(self) -> int:
        return os.getpid()


Empty: Any = ray.remote(num_cpus=0)(_Empty)
