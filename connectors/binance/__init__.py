"""Binance spot. A sister exchange with the same protocol is another `BinanceConnector` with its spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...model.errors import Misconfigured
from ..samples import MarketDataSamples
from ..spec import ExchangeSpec
from .auth import BinanceAuth, read_key
from .market import BinanceCodec
from .orders import BinanceTrading
from .spec import DEPTH_SPEED, SNAPSHOT_LIMIT, SPEC


@dataclass(frozen=True, slots=True)
class BinanceConnector:
    """One exchange that speaks Binance's protocol."""

    spec: ExchangeSpec

    @property
    def name(self) -> str:
        return self.spec.exchange

    def codec(
        self,
        rest: str | None = None,
        ws: str | None = None,
        depth_speed: str = DEPTH_SPEED.default,
        snapshot_limit: int = SNAPSHOT_LIMIT.default,
        environment: str | None = None,
    ) -> BinanceCodec:
        """Make a codec; `spec.options` say what the options do. Raises Misconfigured: a value that an option lacks."""
        hosts = self.spec.hosts(environment)
        if hosts is not None:
            rest, ws = rest or hosts.rest, ws or hosts.ws
        return BinanceCodec(self.spec, rest, ws, depth_speed, snapshot_limit)

    def trading(
        self, rest: str | None = None, ws_api: str | None = None, environment: str | None = None
    ) -> BinanceTrading:
        """Make a trading codec; see `BinanceTrading` for what it means to give `rest` alone.

        `environment` is None or one of `spec.environments` ("testnet"), whose keys are of that environment alone.
        """
        hosts = self.spec.hosts(environment)
        if hosts is not None:
            rest, ws_api = rest or hosts.rest, ws_api or hosts.ws_api
        return BinanceTrading(self.spec, rest, ws_api)

    def auth(
        self, kind: str, api_key: str, secret: str | bytes, passphrase: str | bytes | None = None, **fields: Any
    ) -> BinanceAuth:
        """Read a key of the kind "hmac", "rsa" or "ed25519"; `passphrase` opens an encrypted one. Raises Misconfigured:
        also for other fields, of which Binance's keys have none."""
        for name in fields:
            raise Misconfigured("the API key", f"Binance's keys have no {name}")
        return read_key(kind, api_key, secret, passphrase)

    def samples(self) -> MarketDataSamples:
        """Messages of our own in the manual's shape, for the conformance suite."""
        from .samples import SAMPLES

        return SAMPLES


CONNECTOR = BinanceConnector(SPEC)
