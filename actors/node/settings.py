"""The settings of a node's own roles."""

from __future__ import annotations

from dataclasses import dataclass

from ..cell.pulse import HEARTBEAT_LIMIT_S

MIRROR_LEASE_S = 15.0  # length of the lease of a process that reads a book of another node


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """When a node agent considers a process hung.

    A cell whose event loop did not run for `hang_limit_s` is killed and replaced. The supervisor and an agent, which
    watch the others, are killed after `watcher_limit_s` (None: five times as long as a cell, at least 5 s): to the
    supervisor, an agent of a busy host looks like one that hangs. Readers consider a segment dead after
    `heartbeat_limit_s`.
    """

    hang_limit_s: float = 2.0
    watcher_limit_s: float | None = None
    heartbeat_limit_s: float = HEARTBEAT_LIMIT_S

    @property
    def watcher_hang_limit_s(self) -> float:
        return max(5.0, 5 * self.hang_limit_s) if self.watcher_limit_s is None else self.watcher_limit_s


@dataclass(frozen=True, slots=True)
class MirrorSettings:
    """Readers consider a mirrored book dead after `heartbeat_limit_s`."""

    heartbeat_limit_s: float = HEARTBEAT_LIMIT_S
