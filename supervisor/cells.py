"""The port through which the supervisor reaches cells. `ray_cells` implements it over Ray, tests in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from ..actors.cell.messages import Gone, Unreachable
from ..model.errors import MeshError

PREFIX = "cell-"  # the name of every cell starts with it
UNANSWERED = (
    MeshError,
    Gone,
    Unreachable,
    TimeoutError,
)  # a call to a cell ended without an answer: repeat it or give it up


class NodeFacts(NamedTuple):
    """What the cluster tells about a living node; `host` is the name of its host."""

    labels: Mapping[str, str]
    host: str = ""


class Cells(Protocol):
    """The cells of one mesh, by name. `epoch` is the supervisor's; it is set before the first call to a cell.

    Every method that calls a cell raises `Gone` (the cell is dead) or `Unreachable` (the cell or the GCS cannot be
    reached at the moment).
    """

    epoch: int

    def __contains__(self, cell: str) -> bool: ...

    def forget(self, cell: str) -> None:
        """Drop the handle of a cell."""

    async def nodes(self) -> dict[str, NodeFacts]:
        """Return the living nodes of the cluster. Raises Unreachable."""

    async def names(self) -> list[str]:
        """Return the names of this mesh's cells that the cluster knows. Raises Unreachable."""

    async def find(self, cell: str) -> None:
        """Get the handle of a cell that this process did not create."""

    async def hello(self, cell: str, timeout_s: float | None = None) -> dict[str, Any]:
        """Return the cell's identity and assignment. Also raises TimeoutError, Fenced."""

    async def create(self, cell: str, node: str, trading: bool = False) -> dict[str, Any]:
        """Create a cell on a node; return its `hello` when it runs. Also raises ValueError.

        `trading`: the cell also imports the modules of an order manager.
        """

    async def life(self, cell: str) -> dict[str, Any]:
        """Wait as long as the cell lives; return why its life ended. Also raises Fenced."""

    async def adopt(self, cell: str, assignment: Mapping[str, Any]) -> dict[str, Any]:
        """Give a spare its assignment; return the result of the cell's `adopt`. Also raises Fenced."""

    async def stop(self, cell: str, timeout_s: float, final: bool) -> None:
        """Stop the role, then the cell; `final`: see `Context.is_final`. Also raises TimeoutError, Fenced."""

    async def status(self, cell: str, timeout_s: float) -> dict[str, Any]:
        """Return the role's status. Also raises TimeoutError."""

    async def ask(self, cell: str, address: str, kind: str, body: Any, timeout_s: float, deadline_s: float) -> Any:
        """Send one message to the role of a cell; return the reply. Also raises TimeoutError and the role's errors."""

    async def discard(self, cell: str) -> None:
        """Make Ray end the cell in any state."""
