"""`MeshLink`: the link between a market and a running mesh (see `market.link.Link`)."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, TypeVar

from ..model.instrument import Instrument
from ..orderbook.view import BookReading
from . import commands
from .session import session

V = TypeVar("V", bound=BookReading)


class MeshLink:
    """A mesh by name: uses the session of the process it is in, also after it was pickled into another process."""

    def __init__(self, mesh: str) -> None:
        self.mesh = mesh

    def exchanges(self) -> list[str]:
        return sorted(session(self.mesh).routes.tracked())

    def accounts(self, exchange: str) -> list[str]:
        return session(self.mesh).routes.accounts(exchange)

    def tracked(self, exchange: str) -> dict[str, Instrument]:
        return dict(session(self.mesh).routes.tracked().get(exchange, {}))

    def view(self, kind: type[V], address: str, instrument: Instrument) -> V:
        return session(self.mesh).view(kind, address, instrument)

    def submit(self, address: str, kind: str, body: Any, timeout_s: float) -> Future[Any]:
        return session(self.mesh).submit(address, kind, body, timeout_s)

    def network(self, exchange: str, running: bool, timeout_s: float) -> Future[None]:
        return commands.network(self.mesh, exchange, running, timeout_s)

    def own(self, address: str, owner: str, on_death: str) -> None:
        session(self.mesh).own(address, owner, on_death)
