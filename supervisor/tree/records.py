"""The machine's records: cells, children and their states."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from .child import ChildSpec, Tier
from .policy import History


class CellState(Enum):
    CREATING = "creating"
    SPARE = "spare"
    ADOPTING = "adopting"
    SERVING = "serving"
    LEAVING = "leaving"  # its successor has the routes; it serves until callers and mirrors have followed
    STOPPING = "stopping"
    KILLING = "killing"


class ChildState(Enum):
    WAITING = "WAITING"  # for a cell, a node, or the children that must start before it
    STARTING = "STARTING"
    SERVING = "SERVING"
    STOPPING = "STOPPING"
    KILLING = "KILLING"  # its cell hung
    BACKOFF = "BACKOFF"
    DEGRADED = "DEGRADED"  # ended too often; retried with growing delays
    STOPPED = "STOPPED"  # ended for good, by its restart type


@dataclass(slots=True)
class Cell:
    name: str
    node: str
    state: CellState
    deadline_ns: int | None = None
    pid: int = 0
    start: int = 0
    address: str | None = None
    tier: Tier | None = None  # of its role
    retired: ChildSpec | None = None  # it leaves because this replica is not wanted
    incarnation: tuple[int, int] | None = None
    trading: bool = False  # has imported the modules of an order manager
    answers: bool = True  # whether it answered when this supervisor found it
    version: str = ""  # of the code that it runs; empty: unknown
    outdated: bool = False  # it started before the upgrade that was requested last


@dataclass(slots=True)
class Child:
    spec: ChildSpec
    order: int
    state: ChildState = ChildState.WAITING
    cell: str | None = None
    node: str | None = None
    incarnation: tuple[int, int] | None = None
    history: History = field(default_factory=History)
    restarts: int = 0
    last_error: str | None = None
    retry_ns: int = 0
    predecessor: tuple[str, int, int] | None = None  # (node, pid, start) that must be dead before the next serves
    served_once: bool = False
    wanted: bool = True
    ready: bool | None = None  # whether its incarnation does its work, such as a LIVE book; None: not reported
    settled: frozenset[str] | None = None  # the pairs of a book that are LIVE or HALTED; None: not reported
    restarting: bool = False
    move_to: str | None = None  # the node of its next start, if that still exists
