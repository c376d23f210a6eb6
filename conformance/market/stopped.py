"""The check of streams that stop: the mesh's own book role on an exchange that omits frames on request."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol

from ...connectors.market_codec import Connector
from ...model.address import catalog_address, is_book_of
from ...model.instrument import Instrument
from ...testing import LocalMesh
from .suite import expect

BOUND_S = 15.0  # from the stop of a stream until its book is not LIVE; see docs/architecture.md
SILENT_S = 3.0  # for so long a new subscription that stays silent must not be LIVE
READY_S = 30.0
LOOK_S = 0.05


class Faulty(Protocol):
    """An exchange that omits the frames of one book on request, while everything else continues; both pairs trade."""

    @property
    def config(self) -> dict[str, Any]:
        """The configuration of a mesh that tracks the pairs, as plain data."""

    @property
    def pairs(self) -> Sequence[str]:
        """Two pairs; the book of the first one is stopped."""

    def stop_book(self, symbol: str) -> None:
        """Omit every frame of a book from now on. Blocks."""

    def go_on(self) -> None:
        """Omit nothing from now on. Blocks."""


class StoppedStreams:
    """A subclass names a connector, and an exchange that it speaks to."""

    connector: ClassVar[Connector]

    @classmethod
    def exchange(cls) -> AbstractContextManager[Faulty]:
        """Return the exchange; it ends with the check."""
        raise NotImplementedError("override `exchange`: it returns the exchange whose streams stop")

    def test_a_stream_that_stops_alone_is_noticed(self) -> None:
        """A book whose stream stops while trades continue leaves LIVE within 15 s, alone, until it continues."""
        with self.exchange() as exchange, LocalMesh(exchange.config) as mesh:
            self._mesh, (stopped, other) = mesh, exchange.pairs
            self._wait(lambda: self._states(stopped, other) == ["LIVE", "LIVE"], READY_S, "both books to be LIVE")
            exchange.stop_book(self._symbol(stopped))
            trades = self._seen(stopped)["trades"]
            what = f"{stopped}, whose stream stopped, to leave LIVE"
            self._wait(lambda: self._states(stopped) != ["LIVE"], BOUND_S, what)
            error, traded = self._seen(stopped)["error"], self._seen(stopped)["trades"] > trades
            expect(
                "stopped" in str(error) and traded, f"the reason of {stopped} is {error!r}; trades continued: {traded}"
            )
            silent_from = time.monotonic()
            while time.monotonic() - silent_from < SILENT_S:
                state = self._states(stopped)[0]
                expect(state != "LIVE", f"{stopped} is LIVE after a new subscription that sends no change")
                time.sleep(LOOK_S)
            exchange.go_on()
            self._wait(lambda: self._states(stopped) == ["LIVE"], READY_S, f"{stopped} to be LIVE again")
            resyncs = self._seen(other)["resyncs"]
            expect(resyncs == 0, f"{other}, whose stream continued, left LIVE {resyncs} times")

    def _wait(self, condition: Callable[[], bool], most_s: float, what: str) -> None:
        end = time.monotonic() + most_s
        while not condition():
            expect(time.monotonic() < end, f"waited {most_s:g} s for {what}")
            time.sleep(LOOK_S)

    def _seen(self, pair: str) -> Any:
        name = self.connector.name
        address = next(address for address in self._mesh.addresses() if is_book_of(address, name))
        return self._mesh.ask(address, "stats")["pairs"][pair]

    def _states(self, *pairs: str) -> list[str]:
        return [self._seen(pair)["state"] for pair in pairs]

    def _symbol(self, pair: str) -> str:
        rows = self._mesh.ask(catalog_address(self.connector.name), "instruments")["instruments"]
        return next(one.symbol for one in map(Instrument.from_dict, rows) if one.name == pair)
