"""Kraken spot: market data and trading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..connector import SpecifiedConnector
from .auth import KrakenAuth
from .level3 import KrakenOrderLevelCodec
from .market import KrakenCodec
from .orders import KrakenTrading
from .spec import DEPTH, SPEC


@dataclass(frozen=True, slots=True)
class KrakenConnector(SpecifiedConnector):
    """An exchange with Kraken's protocol: REST, and version 2 of the websocket."""

    def codec(self, rest: str | None = None, ws: str | None = None, depth: int = DEPTH.default) -> KrakenCodec:
        """Make a codec; `spec.options` lists the options. Raises Misconfigured: an option does not allow its value."""
        return KrakenCodec(self.spec, rest, ws, depth)

    def order_level_codec(
        self,
        rest: str | None = None,
        ws: str | None = None,
        ws_l3: str | None = None,
        depth: int = DEPTH.default,
    ) -> KrakenOrderLevelCodec:
        """Make a codec of order-level books, as `codec` does."""
        return KrakenOrderLevelCodec(self.spec, rest, ws, ws_l3, depth)

    def trading(self, rest: str | None = None, ws_api: str | None = None) -> KrakenTrading:
        """Make a trading codec. `ws_api` is the private websocket, for the user stream and for orders."""
        return KrakenTrading(self.spec, rest, ws_api)

    def auth(self, kind: str, api_key: str, secret: str | bytes, **fields: Any) -> KrakenAuth:
        """Read a key of the kind "hmac", the only one that Kraken has. Raises Misconfigured."""
        return KrakenAuth(kind, api_key, secret, **fields)


CONNECTOR = KrakenConnector(SPEC)
