"""`market.link.Link` over a directory of segments that this process writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar, cast

from ...model.address import BOOK, Address
from ...model.errors import NotOffered
from ...model.instrument import Instrument
from ...orderbook.view import BookReading
from ..state import MarketState
from .delivery import Delivery
from .view import ReplayView

V = TypeVar("V", bound=BookReading)


class ReplayLink:
    """The recorded instruments and their views. A recording has no exchange to request from or to trade on."""

    mesh = "replay"

    def __init__(
        self,
        exchange: str,
        directory: Path,
        held: Iterable[Instrument],
        delivery: Delivery,
        orders: Callable[[str, Any], dict[str, Any]],
    ) -> None:
        """`orders` answers a request for the orders of a book, by its address. Raises MeshError."""
        self._orders = orders
        self._exchange = exchange
        self._delivery = delivery
        self.directory = directory
        self.instruments = {instrument.name: instrument for instrument in held}
        self.views: list[ReplayView] = []

    def exchanges(self) -> list[str]:
        return [self._exchange]

    def accounts(self, exchange: str) -> list[str]:
        return []

    def tracked(self, exchange: str) -> dict[str, Instrument]:
        return dict(self.instruments)

    def view(self, kind: type[V], address: str, instrument: Instrument) -> V:
        view = ReplayView(self.directory, instrument, address, self._delivery)
        self.views.append(view)
        return cast("V", view)

    def _refusal(self, what: str) -> NotOffered:
        return NotOffered(f"a recording of {self._exchange}", what)

    def submit(self, address: str, kind: str, body: Any, timeout_s: float) -> Future[Any]:
        if kind == "orders" and Address.parse(address).kind == BOOK:
            answer: Future[Any] = Future()
            answer.set_result(self._orders(address, body))
            return answer
        raise self._refusal(f"{kind!r}: there is no exchange to request it from")

    def network(self, exchange: str, running: bool, timeout_s: float) -> Future[None]:
        raise self._refusal("a network to start or stop")

    def own(self, address: str, owner: str, on_death: str) -> None:
        raise self._refusal("orders: a replay does not fill them")


class ReplayState(MarketState):
    """The state of a market that cannot trade."""

    @property
    def orders_address(self) -> str:
        raise NotOffered(f"a recording of {self.exchange}", "an account: a replay does not fill orders")
