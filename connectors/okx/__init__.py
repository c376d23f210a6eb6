"""OKX spot, and its companies of other regions: the same connector with other hosts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..connector import SpecifiedConnector, sister
from ..spec import Hosts
from .auth import OkxAuth
from .market import OkxCodec
from .orders import OkxTrading
from .spec import DEMO_NAME, REGIONS, SPEC


@dataclass(frozen=True, slots=True)
class OkxConnector(SpecifiedConnector):
    """An exchange with OKX's protocol."""

    def codec(self, rest: str | None = None, ws: str | None = None, environment: str | None = None) -> OkxCodec:
        """Make a codec; `spec.options` lists the options. Raises Misconfigured: an option does not allow its value."""
        chosen = self._hosts(environment)
        return OkxCodec(self.spec, rest or chosen.rest, ws or chosen.ws, environment == DEMO_NAME)

    def trading(self, rest: str | None = None, ws_api: str | None = None, environment: str | None = None) -> OkxTrading:
        """Make a trading codec; `ws_api` is the base URL of the private websocket. Raises Misconfigured as `codec`."""
        chosen = self._hosts(environment)
        return OkxTrading(self.spec, rest or chosen.rest, ws_api or chosen.ws, environment == DEMO_NAME)

    def _hosts(self, environment: str | None) -> Hosts:
        """Return the base URLs; demo trading has separate ones."""
        return self.spec.hosts(environment) or Hosts(self.spec.rest, self.spec.ws)

    def auth(self, kind: str, api_key: str, secret: str | bytes, **fields: Any) -> OkxAuth:
        """Read a key of the kind "hmac" and its `passphrase`. Raises Misconfigured."""
        return OkxAuth(kind, api_key, secret, **fields)


CONNECTOR = OkxConnector(SPEC)
OKX_EEA, OKX_US = (
    sister(CONNECTOR, name, real, environments={DEMO_NAME: demo}) for name, (real, demo) in REGIONS.items()
)
