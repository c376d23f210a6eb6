"""Bybit spot. Another exchange with the same protocol is another `BybitConnector` with its own spec."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..connector import SpecifiedConnector
from .auth import BybitAuth
from .market import BybitCodec
from .orders import BybitTrading
from .spec import DEMO, DEPTH, ENVIRONMENT, OFFER, REGION, SPEC, hosts


@dataclass(frozen=True, slots=True)
class BybitConnector(SpecifiedConnector):
    """An exchange with Bybit's protocol."""

    def codec(
        self,
        rest: str | None = None,
        ws: str | None = None,
        depth: int = DEPTH.default,
        region: str = REGION.default,
        environment: str = ENVIRONMENT.default,
    ) -> BybitCodec:
        """Make a codec; `spec.options` lists the options. Raises Misconfigured: an option does not allow its value."""
        chosen = hosts(self.spec, region, environment)
        return BybitCodec(self.spec, rest or chosen.rest, ws or chosen.ws, depth)

    def trading(
        self,
        rest: str | None = None,
        ws_api: str | None = None,
        region: str = REGION.default,
        environment: str = ENVIRONMENT.default,
    ) -> BybitTrading:
        """Make a trading codec; `ws_api` is the base URL of the private websocket. Raises Misconfigured as `codec`."""
        chosen = hosts(self.spec, region, environment)
        offer = (
            replace(OFFER, batch_place=0, batch_cancel=0, ws_orders=False) if environment == DEMO else OFFER
        )  # demo.mdx
        return BybitTrading(self.spec, rest or chosen.rest, ws_api or chosen.ws_api or chosen.ws, offer)

    def auth(self, kind: str, api_key: str, secret: str | bytes, **fields: Any) -> BybitAuth:
        """Read a key of the kind "hmac" or "rsa". Raises Misconfigured."""
        return BybitAuth(kind, api_key, secret, **fields)


CONNECTOR = BybitConnector(SPEC)
