"""OKX spot. Another exchange with the same protocol is another `OkxConnector` with its own spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..connector import SpecifiedConnector
from .auth import OkxAuth
from .market import OkxCodec
from .orders import OkxTrading
from .spec import IS_DEMO, REGION, SPEC


@dataclass(frozen=True, slots=True)
class OkxConnector(SpecifiedConnector):
    """An exchange with OKX's protocol."""

    def codec(
        self,
        rest: str | None = None,
        ws: str | None = None,
        region: str = REGION.default,
        demo: bool = IS_DEMO.default,
    ) -> OkxCodec:
        """Make a codec; `spec.options` lists the options. Raises Misconfigured: an option does not allow its value."""
        return OkxCodec(self.spec, rest, ws, region, demo)

    def trading(
        self,
        rest: str | None = None,
        ws_api: str | None = None,
        region: str = REGION.default,
        demo: bool = IS_DEMO.default,
    ) -> OkxTrading:
        """Make a trading codec; demo trading has separate keys. Raises Misconfigured as `codec`."""
        return OkxTrading(self.spec, rest, ws_api, region, demo)

    def auth(self, kind: str, api_key: str, secret: str | bytes, **fields: Any) -> OkxAuth:
        """Read a key of the kind "hmac" and its `passphrase`. Raises Misconfigured."""
        return OkxAuth(kind, api_key, secret, **fields)


CONNECTOR = OkxConnector(SPEC)
