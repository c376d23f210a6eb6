"""The settings of a node's link."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Where a node listens for the mirrors of other nodes: on its own address, on `port`; 0 is any free one."""

    port: int = 0
