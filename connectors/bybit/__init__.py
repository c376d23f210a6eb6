"""Bybit spot, and its sites of other countries: the same connector with other hosts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from ..connector import SpecifiedConnector, sister
from ..spec import Hosts
from .auth import BybitAuth
from .market import BybitCodec
from .orders import BybitTrading
from .spec import DCP, DEMO, DEPTH, OFFER, SITES, SPEC


@dataclass(frozen=True, slots=True)
class BybitConnector(SpecifiedConnector):
    """An exchange with Bybit's protocol."""

    def codec(
        self,
        rest: str | None = None,
        ws: str | None = None,
        depth: int = DEPTH.default,
        environment: str | None = None,
    ) -> BybitCodec:
        """Make a codec; `spec.options` lists the options. Raises Misconfigured: an option does not allow its value."""
        chosen = self._hosts(environment)
        return BybitCodec(self.spec, rest or chosen.rest, ws or chosen.ws, depth)

    def trading(
        self,
        rest: str | None = None,
        ws_api: str | None = None,
        environment: str | None = None,
        dcp: bool = DCP.default,
    ) -> BybitTrading:
        """Make a trading codec; `ws_api` is the base URL of the private websocket. Raises Misconfigured as `codec`."""
        chosen = self._hosts(environment)
        offer = (
            replace(OFFER, batch_place=0, batch_cancel=0, ws_orders=False) if environment == DEMO else OFFER
        )  # demo.mdx
        return BybitTrading(self.spec, rest or chosen.rest, ws_api or chosen.ws_api or chosen.ws, offer, dcp)

    def _hosts(self, environment: str | None) -> Hosts:
        return self.spec.hosts(environment) or Hosts(self.spec.rest, self.spec.ws)

    def auth(self, kind: str, api_key: str, secret: str | bytes, **fields: Any) -> BybitAuth:
        """Read a key of the kind "hmac" or "rsa". Raises Misconfigured."""
        return BybitAuth(kind, api_key, secret, **fields)


CONNECTOR = BybitConnector(SPEC)
SISTERS = SimpleNamespace(**{name: sister(CONNECTOR, name, at, options=(DEPTH, DCP)) for name, at in SITES.items()})
