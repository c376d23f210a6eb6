"""Coinbase Exchange, the successor of Coinbase Pro: spot. Advanced Trade is another protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..connector import SpecifiedConnector
from ..spec import Hosts
from .auth import CoinbaseAuth
from .full import CoinbaseOrderLevelCodec
from .market import CoinbaseCodec
from .orders import CoinbaseTrading
from .spec import SPEC


@dataclass(frozen=True, slots=True)
class CoinbaseConnector(SpecifiedConnector):
    """An exchange with Coinbase Exchange's protocol."""

    def codec(self, rest: str | None = None, ws: str | None = None, environment: str | None = None) -> CoinbaseCodec:
        """Make a codec. Raises Misconfigured: the exchange has no such environment."""
        chosen = self._hosts(environment)
        return CoinbaseCodec(self.spec, rest or chosen.rest, ws or chosen.ws)

    def order_level_codec(
        self, rest: str | None = None, ws: str | None = None, ws_l3: str | None = None, environment: str | None = None
    ) -> CoinbaseOrderLevelCodec:
        """Make a codec of order-level books, as `codec` does."""
        chosen = self._hosts(environment)
        return CoinbaseOrderLevelCodec(self.spec, rest or chosen.rest, ws_l3 or ws or chosen.ws)

    def trading(
        self, rest: str | None = None, ws_api: str | None = None, environment: str | None = None
    ) -> CoinbaseTrading:
        """Make a trading codec; `ws_api` is the base URL of the websocket. Raises Misconfigured as `codec`."""
        chosen = self._hosts(environment)
        return CoinbaseTrading(self.spec, rest or chosen.rest, ws_api or chosen.ws)

    def auth(self, kind: str, api_key: str, secret: str | bytes, **fields: Any) -> CoinbaseAuth:
        """Read a key of the kind "hmac" and its `passphrase`. Raises Misconfigured."""
        return CoinbaseAuth(kind, api_key, secret, **fields)

    def _hosts(self, environment: str | None) -> Hosts:
        return self.spec.hosts(environment) or Hosts(self.spec.rest, self.spec.ws)


CONNECTOR = CoinbaseConnector(SPEC)
