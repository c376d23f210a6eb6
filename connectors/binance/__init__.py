"""Binance spot and Binance.US: exchanges with the same protocol share the codec, and each has its own spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..connector import SpecifiedConnector
from .auth import BinanceAuth
from .market import BinanceCodec
from .orders import BinanceTrading
from .spec import DEPTH_SPEED, SNAPSHOT_LIMIT, SPEC
from .us import US_SPEC


@dataclass(frozen=True, slots=True)
class BinanceMarketData(SpecifiedConnector):
    """One exchange that sends market data by Binance's protocol."""

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
        return BinanceCodec(self.spec, rest, ws, depth_speed, snapshot_limit)


@dataclass(frozen=True, slots=True)
class BinanceConnector(BinanceMarketData):
    """One exchange that also takes orders by Binance's protocol."""

    def trading(
        self, rest: str | None = None, ws_api: str | None = None, environment: str | None = None
    ) -> BinanceTrading:
        """Make a trading codec; see `BinanceTrading` for `rest` without `ws_api`.

        `environment` is None or one of `spec.environments` ("testnet"); keys are valid in one environment only.
        """
        hosts = self.spec.hosts(environment)
        if hosts is not None:
            rest, ws_api = rest or hosts.rest, ws_api or hosts.ws_api
        return BinanceTrading(self.spec, rest, ws_api)

    def auth(self, kind: str, api_key: str, secret: str | bytes, **fields: Any) -> BinanceAuth:
        """Read a key of the kind "hmac", "rsa" or "ed25519"; `passphrase` opens an encrypted one. Raises
        Misconfigured."""
        return BinanceAuth(kind, api_key, secret, **fields)


CONNECTOR = BinanceConnector(SPEC)
BINANCE_US = BinanceMarketData(US_SPEC)
