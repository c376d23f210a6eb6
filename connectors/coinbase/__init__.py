"""Coinbase Exchange, the successor of Coinbase Pro: spot. Advanced Trade is another protocol."""

from __future__ import annotations

from dataclasses import dataclass

from ..connector import SpecifiedConnector
from ..spec import Hosts
from .market import CoinbaseCodec
from .spec import SPEC


@dataclass(frozen=True, slots=True)
class CoinbaseConnector(SpecifiedConnector):
    """An exchange with Coinbase Exchange's protocol."""

    def codec(self, rest: str | None = None, ws: str | None = None, environment: str | None = None) -> CoinbaseCodec:
        """Make a codec. Raises Misconfigured: the exchange has no such environment."""
        chosen = self._hosts(environment)
        return CoinbaseCodec(self.spec, rest or chosen.rest, ws or chosen.ws)

    def _hosts(self, environment: str | None) -> Hosts:
        return self.spec.hosts(environment) or Hosts(self.spec.rest, self.spec.ws)


CONNECTOR = CoinbaseConnector(SPEC)
