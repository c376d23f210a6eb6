"""What a market needs of a mesh. `venuemesh.mesh` has the real one, `actors.cell.local` one in this process."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from ..model.instrument import Instrument
from ..orderbook.view import BookReading

V = TypeVar("V", bound=BookReading)


class Link(Protocol):
    """The mesh as a market reaches it.

    What may take time returns a future at once; `Market` blocks for the result and `AsyncMarket` awaits it.
    """

    mesh: str

    def exchanges(self) -> list[str]: ...

    def accounts(self, exchange: str) -> list[str]:
        """The accounts of an exchange that the mesh trades on."""

    def tracked(self, exchange: str) -> dict[str, Instrument]:
        """The tracked instruments of an exchange, by name, as of the newest route table this process has."""

    def view(self, kind: type[V], address: str, instrument: Instrument) -> V:
        """A view of a book: a `BookView` or an `AsyncBookView`, as `kind` says."""

    def submit(self, address: str, kind: str, body: Any, timeout_s: float) -> Future[Any]:
        """Send a message to a role and return at once; the future has the role's answer or error.

        Errors besides those of the role: RetryLater (provably not executed), OutcomeUnknown (no answer).
        """

    def network(self, exchange: str, running: bool, timeout_s: float) -> Future[None]:
        """Start or stop the feeds of an exchange; see `Market.stop_network`."""

    def own(self, address: str, owner: str, on_death: str) -> None:
        """Keep telling the order manager at `address` that `owner` lives, for as long as this process does."""
