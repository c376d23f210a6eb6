"""The interface between a market and a mesh. `venuemesh.mesh` implements it over Ray, `venuemesh.testing` locally."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from ..model.instrument import Instrument
from ..orderbook.view import BookReading

V = TypeVar("V", bound=BookReading)


class Link(Protocol):
    """A market's way to a mesh.

    A call that may take time returns a future at once; `Market` blocks for the result and `AsyncMarket` awaits it.
    """

    mesh: str

    def exchanges(self) -> list[str]: ...

    def accounts(self, exchange: str) -> list[str]:
        """The accounts of an exchange that the mesh trades on."""

    def tracked(self, exchange: str) -> dict[str, Instrument]:
        """The tracked instruments of an exchange, by name, in this process's newest route table."""

    def view(self, kind: type[V], address: str, instrument: Instrument) -> V:
        """Return a view of a book: a `BookView` or an `AsyncBookView`, depending on `kind`."""

    def submit(self, address: str, kind: str, body: Any, timeout_s: float) -> Future[Any]:
        """Send a message to a role and return at once; the future has the role's answer or error.

        Errors apart from those of the role: RetryLater (provably not executed), OutcomeUnknown (no answer).
        """

    def network(self, exchange: str, running: bool, timeout_s: float) -> Future[None]:
        """Start or stop the feeds of an exchange; see `Market.stop_network`."""

    def own(self, address: str, owner: str, on_death: str) -> None:
        """Renew the lease of `owner` at the order manager at `address` as long as this process lives."""
