"""The end of a mesh: which processes are waited for, and in which order everything stops. Pure."""

from __future__ import annotations

from ...model.time import in_ns
from .child import Tier
from .events import ShutDown, StopCell
from .records import CellState, Child, ChildState
from .succession import Succession

_CREATING_AT_END_S = 10.0
_BETWEEN_S = 8.0  # a shutdown waits at most so long for order managers that are restarted


class Ending(Succession):
    """Ends what the tree runs, once a shutdown was requested."""

    def _shut_down(self, event: ShutDown, now_ns: int) -> None:
        self.rolling.clear()
        if self._ends_by_ns is None:
            self._ends_by_ns = now_ns + in_ns(_BETWEEN_S)

    def _begin_end(self, now_ns: int) -> None:
        """End everything, once every order manager has a process that can do its last work, or none will soon."""
        if self._ends_by_ns is None or self.ending:
            return
        is_late = now_ns >= self._ends_by_ns or self._holds
        if not is_late and any(map(self._is_between, self.children.values())):
            return
        for cell in self.cells.values():
            if cell.state is CellState.CREATING:  # wait until it exists, then stop it like any other cell
                cell.deadline_ns = now_ns + in_ns(_CREATING_AT_END_S)
        self.ending = True
        for successor in self.handovers:
            self._drop_successor(successor.address, now_ns)
        for cell in self.cells.values():
            if cell.state is CellState.LEAVING:
                self._end(cell, self.settings.leave_s, now_ns)

    def _is_between(self, child: Child) -> bool:
        """Return whether an order manager has no serving process now and will have one soon: it is restarted, or moves,
        or takes over. Its last work, such as to cancel orders, waits for that process."""
        if child.spec.tier is not Tier.ORDERS or not child.wanted or not child.served_once:
            return False
        if child.state is ChildState.STOPPING:
            return child.restarting
        successor = self.handovers.get(child.spec.address)
        if child.state is ChildState.SERVING:
            return child.node in self.suspected and successor is not None and not successor.serves
        return child.state in (ChildState.WAITING, ChildState.STARTING)

    def _wind_down(self, now_ns: int) -> None:
        """Stop the latest tier that still runs, then the spares, and last the agents, because they remove files.

        A tier runs as long as one of its processes is asked to stop, also one that has no child, such as a successor.
        """
        for child in [c for c in self.children.values() if c.cell is None]:
            self._drop(child.spec.address)
        running = [c for c in self.children.values() if c.spec.tier is not Tier.AGENT]
        others = [cell for cell in self.cells.values() if self._child_of(cell) is None]
        stopping = [cell.tier for cell in others if cell.state is CellState.STOPPING and cell.tier is not None]
        if running or stopping:
            latest = max(tier.ends for tier in (*(child.spec.tier for child in running), *stopping))
            for child in [c for c in running if c.spec.tier.ends == latest]:
                child.wanted = False
                self._stop(child, now_ns, restart=False)
            return
        for cell in others:
            if cell.state is CellState.SPARE:
                cell.state, cell.deadline_ns = CellState.STOPPING, now_ns + 1_000_000_000
                self._effects.append(StopCell(cell.name, 0.5))
        if not [cell for cell in others if cell.name in self.cells]:
            for child in list(self.children.values()):
                child.wanted = False
                self._stop(child, now_ns, restart=False)
