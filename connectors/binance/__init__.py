"""Binance spot, and Binance.US, a sister exchange with its own spec and some separate requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..connector import SpecifiedConnector
from .auth import BinanceAuth
from .market import BinanceCodec
from .orders import BinanceTrading
from .spec import DEPTH_SPEED, SNAPSHOT_LIMIT, SPEC
from .us import US_SPEC, BinanceUsAuth, BinanceUsCodec, BinanceUsTrading


@dataclass(frozen=True, slots=True)
class BinanceConnector(SpecifiedConnector):
    """An exchange with Binance's protocol; a sister may have codecs and a signer that differ in some requests."""

    market: type[BinanceCodec] = BinanceCodec
    orders: type[BinanceTrading] = BinanceTrading
    key: type[BinanceAuth] = BinanceAuth

    def codec(
        self,
        rest: str | None = None,
        ws: str | None = None,
        depth_speed: str = DEPTH_SPEED.default,
        snapshot_limit: int = SNAPSHOT_LIMIT.default,
        environment: str | None = None,
    ) -> BinanceCodec:
        """Make a codec; `spec.options` lists the options. Raises Misconfigured: an option does not allow its value."""
        hosts = self.spec.hosts(environment)
        if hosts is not None:
            rest, ws = rest or hosts.rest, ws or hosts.ws
        return self.market(self.spec, rest, ws, depth_speed, snapshot_limit)

    def trading(
        self, rest: str | None = None, ws_api: str | None = None, environment: str | None = None
    ) -> BinanceTrading:
        """Make a trading codec; see `BinanceTrading` for `rest` without `ws_api`.

        `environment` is None, "real" or one of `spec.environments` ("testnet"); keys are valid in one environment only.
        """
        hosts = self.spec.hosts(environment)
        if hosts is not None:
            rest, ws_api = rest or hosts.rest, ws_api or hosts.ws_api
        return self.orders(self.spec, rest, ws_api)

    def auth(self, kind: str, api_key: str, secret: str | bytes, **fields: Any) -> BinanceAuth:
        """Read a key of the kind "hmac", "rsa" or "ed25519" (Binance.US: "hmac"); `passphrase` opens an encrypted one.
        Raises Misconfigured."""
        return self.key(kind, api_key, secret, **fields)


CONNECTOR = BinanceConnector(SPEC)
BINANCE_US = BinanceConnector(US_SPEC, BinanceUsCodec, BinanceUsTrading, BinanceUsAuth)
