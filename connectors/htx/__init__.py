"""HTX spot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..connector import SpecifiedConnector
from .auth import HtxAuth
from .market import HtxCodec
from .orders import HtxTrading
from .spec import BOOK, SPEC


@dataclass(frozen=True, slots=True)
class HtxConnector(SpecifiedConnector):
    """An exchange with HTX's protocol."""

    def codec(self, rest: str | None = None, ws: str | None = None, book: str = BOOK.default) -> HtxCodec:
        """Make a codec; `spec.options` lists the options. Raises Misconfigured: an option does not allow its value."""
        return HtxCodec(self.spec, rest, ws, book)

    def trading(self, rest: str | None = None, ws_api: str | None = None) -> HtxTrading:
        """Make a trading codec; `ws_api` is the base URL of the private websocket."""
        return HtxTrading(self.spec, rest, ws_api)

    def auth(self, kind: str, api_key: str, secret: str | bytes, **fields: Any) -> HtxAuth:
        """Read a key of the kind "hmac" or "ed25519". Raises Misconfigured."""
        return HtxAuth(kind, api_key, secret, **fields)


CONNECTOR = HtxConnector(SPEC)
