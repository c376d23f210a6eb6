"""Bybit spot. A sister exchange with the same protocol is another `BybitConnector` with its spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...model.errors import Misconfigured
from ..samples import MarketDataSamples
from ..spec import ExchangeSpec
from .auth import BybitAuth
from .market import BybitCodec
from .orders import BybitTrading
from .spec import DEPTH, REGION, REGIONS, SPEC


@dataclass(frozen=True, slots=True)
class BybitConnector:
    """One exchange that speaks Bybit's protocol."""

    spec: ExchangeSpec

    @property
    def name(self) -> str:
        return self.spec.exchange

    def codec(
        self,
        rest: str | None = None,
        ws: str | None = None,
        depth: int = DEPTH.default,
        region: str = REGION.default,
        environment: str | None = None,
    ) -> BybitCodec:
        """Make a codec; `spec.options` say what the options do. Raises Misconfigured: a value that an option lacks.

        `environment` is None or one of `spec.environments` ("testnet"); a `region` is of the real exchange alone.
        """
        hosts = self.spec.hosts(environment)
        if hosts is None and region != REGION.default:
            hosts = REGIONS.get(region)
        if hosts is not None:
            rest, ws = rest or hosts.rest, ws or hosts.ws
        return BybitCodec(self.spec, rest, ws, depth, region)

    def trading(
        self,
        rest: str | None = None,
        ws_api: str | None = None,
        region: str = REGION.default,
        environment: str | None = None,
    ) -> BybitTrading:
        """Make a trading codec; `ws_api` is the base URL of the private websocket. Raises Misconfigured as `codec`."""
        if (problem := REGION.problem(region)) is not None:
            raise Misconfigured(REGION.name, problem)
        hosts = self.spec.hosts(environment) or (None if region == REGION.default else REGIONS[region])
        if hosts is not None:
            rest, ws_api = rest or hosts.rest, ws_api or hosts.ws
        return BybitTrading(self.spec, rest, ws_api)

    def auth(self, kind: str, api_key: str, secret: str | bytes, **fields: Any) -> BybitAuth:
        """Read a key of the kind "hmac" or "rsa". Raises Misconfigured."""
        return BybitAuth(kind, api_key, secret, **fields)

    def samples(self) -> MarketDataSamples:
        """Messages of our own in the manual's shape, for the conformance suite."""
        from .samples import SAMPLES

        return SAMPLES


CONNECTOR = BybitConnector(SPEC)
