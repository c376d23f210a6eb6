"""Log the machine's events and effects. This module decides nothing; it keeps times, and what it has logged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from loguru import logger

from ..model.backoff import Backoff
from ..model.time import SECOND_NS, in_ns
from .tree import events as m
from .tree.machine import Machine

AGAIN = Backoff(first_s=10.0, cap_s=600.0, jitter=0.0)  # between two lines about a cell that does not end
ADVICE = "end the process on its host with kill -9; a host that does not answer is dropped when Ray declares it lost"


@dataclass(slots=True)
class _Kill:
    """A cell that is killed again and again: since when, how many lines were logged, and when the next one is due."""

    since_ns: int
    due_ns: int
    lines: int = 1
    steps: set[str] = field(default_factory=set)  # that were logged, each once


class EventLog:
    """Logs events and effects in their order; `now_ns` is monotonic.

    The machine kills a cell again every few seconds until it has ended. The first attempt is logged step by step, the
    others in one line at growing intervals.
    """

    def __init__(self) -> None:
        self._adopting_ns: dict[str, int] = {}
        self._kills: dict[str, _Kill] = {}

    def event(self, event: m.Event, machine: Machine, now_ns: int) -> None:
        """Log an event before the machine processes it, while the cell still has its address."""
        match event:
            case m.Tick() | m.RunChildren() | m.Amend() | m.Readiness():
                return
            case m.NodeSeen(node, labels, host):
                if node not in machine.nodes:
                    logger.info("node seen", node=node[:12], host=host, labels=_own(labels))
            case m.NodeLost(node):
                logger.warning("node lost", node=node[:12], host=machine.hosts.get(node))
            case m.Suspected(nodes):
                log = logger.warning if nodes else logger.info
                log("nodes that do not answer", nodes=" ".join(sorted(node[:12] for node in nodes)) or "none")
            case m.CellCreated(cell, pid, _):
                logger.debug("spare ready", cell=cell, pid=pid)
            case m.CreateFailed(cell, error):
                logger.warning("cell not created", cell=cell, reason=error)
            case m.Adopted(cell):
                began_ns = self._adopting_ns.pop(cell, now_ns)
                logger.info("serving", **_whom(machine, cell), took_ms=(now_ns - began_ns) / 1e6)
            case m.Failed(cell, error):
                logger.warning("role failed", **_whom(machine, cell), reason=error)
            case m.Died(cell, _, by):
                self._adopting_ns.pop(cell, None)
                if cell in machine.cells:
                    logger.log("INFO" if machine.ending else "WARNING", "cell died", **_whom(machine, cell), seen_by=by)
            case m.Hung(cell):
                logger.warning("cell hangs", **_whom(machine, cell))
            case m.KillFailed(cell):
                if self._is_first(cell, "kill failed"):
                    logger.warning("cell not killed", **_whom(machine, cell))
            case m.Found(cell, _, pid, _, incarnation, spec):
                address = spec.address if spec is not None else None
                logger.info("cell found", address=address, incarnation=_dotted(incarnation), cell=cell, pid=pid)
            case m.StopChildren(addresses):
                logger.info("no longer wanted", addresses=" ".join(addresses))
            case m.RestartRequested(addresses):
                logger.info("restart requested", addresses=" ".join(addresses))
            case m.UpgradeRequested():
                logger.info("upgrade requested", children=len(machine.children), cells=len(machine.cells))
            case m.MovesRequested(nodes):
                logger.info("moves requested", moves=" ".join(f"{a}->{node[:12]}" for a, node in nodes.items()))
            case m.Drained(hosts):
                logger.info("drained hosts", hosts=" ".join(hosts) or None)
            case m.ShutDown():
                logger.info("shutting down", children=len(machine.children), cells=len(machine.cells))

    def effect(self, effect: m.Effect, machine: Machine, now_ns: int) -> None:
        """Log an effect that the machine has decided."""
        match effect:
            case m.Create(cell, node):
                logger.debug("creating a cell", cell=cell, node=node[:12])
            case m.AdoptCell(cell, incarnation, spec, restarts, _):
                self._adopting_ns[cell] = now_ns
                known = {"address": spec.address, "incarnation": _dotted(incarnation)}
                logger.info("adopting", **known, cell=cell, restarts=restarts)
            case m.StopCell(cell):
                logger.info("stopping", **_whom(machine, cell))
            case m.KillCell(cell, _, _, _, agent):
                self._adopting_ns.pop(cell, None)
                self._killing(cell, agent, machine, now_ns)
            case m.Discard(cell):
                if self._is_first(cell, "discard"):
                    logger.warning("discarding", cell=cell)
            case m.HandedOver(address, cell, None):
                logger.info("successor took over", **({"address": address} | _whom(machine, cell or "")))
            case m.HandedOver(address, cell, error):
                logger.warning("successor dropped", address=address, cell=cell, reason=error)
            case m.Degraded(address, error, after_ns):
                logger.error("DEGRADED", address=address, why=error, retry_s=after_ns / SECOND_NS)

    def not_discarded(self, cell: str, error: BaseException) -> None:
        """Log that Ray could not end a cell."""
        if self._is_first(cell, "not discarded"):
            logger.warning("cell not discarded", cell=cell, reason=error)

    def _is_first(self, cell: str, step: str) -> bool:
        """Return whether a step must be logged: it is the first one of this kind in the kills of a cell."""
        kill = self._kills.get(cell)
        if kill is None:
            return True
        is_first = step not in kill.steps
        kill.steps.add(step)
        return is_first

    def _killing(self, cell: str, agent: str | None, machine: Machine, now_ns: int) -> None:
        kill = self._kills.get(cell)
        if kill is None:
            self._kills = {name: one for name, one in self._kills.items() if name in machine.cells}
            self._kills[cell] = _Kill(now_ns, now_ns + in_ns(AGAIN.delay_s(1)))
            logger.warning("killing", **_whom(machine, cell), agent=agent)
        elif now_ns >= kill.due_ns:
            kill.lines += 1
            kill.due_ns = now_ns + in_ns(AGAIN.delay_s(kill.lines))
            host = machine.hosts.get(machine.cells[cell].node) if cell in machine.cells else None
            logger.warning(
                "a cell has not ended: neither its agent nor Ray can reach it",
                **_whom(machine, cell),
                host=host,
                for_s=(now_ns - kill.since_ns) / SECOND_NS,
                agent=agent,
                advice=ADVICE,
            )


def _dotted(incarnation: tuple[int, int] | None) -> str | None:
    return None if incarnation is None else f"{incarnation[0]}.{incarnation[1]}"


def _own(labels: Mapping[str, str]) -> str | None:
    """Return the operator's labels, without Ray's labels."""
    return ",".join(f"{key}={value}" for key, value in labels.items() if not key.startswith("ray.io/")) or None


def _whom(machine: Machine, cell: str) -> dict[str, object]:
    known = machine.cells.get(cell)
    if known is None:
        return {"cell": cell}
    return {"address": known.address, "cell": cell, "pid": known.pid, "node": known.node[:12]}
