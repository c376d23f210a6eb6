"""Exchanges by the ccxt package: a connector for each of its ids, `ccxt:ID`. An optional extra."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...model.errors import Misconfigured, NotOffered
from ..connector import SpecifiedConnector
from ..spec import REAL
from .auth import CcxtAuth
from .market import CcxtCodec
from .orders import CcxtTrading
from .package import PREFIX
from .session import Session, settings_of
from .spec import SANDBOX, can_trade, described, offer_of, spec_of, takes_quote_amounts


@dataclass(frozen=True, slots=True)
class CcxtConnector(SpecifiedConnector):
    """One exchange of ccxt. `settings` are those of every session, below the option `settings`; JSON."""

    settings: str = "{}"

    @property
    def exchange_id(self) -> str:
        return self.spec.exchange.removeprefix(PREFIX)

    @property
    def has(self) -> Mapping[str, Any]:
        """What ccxt's class has, by the names of its unified methods."""
        found: Mapping[str, Any] = described(self.exchange_id).has
        return found

    def codec(
        self,
        rest: str | None = None,
        ws: str | None = None,
        environment: str | None = None,
        depth: int = 100,
        poll_s: float = 2.0,
        settings: str = "{}",
    ) -> CcxtCodec:
        """Make a codec; `spec.options` lists the options. Raises Misconfigured: an option does not allow its value."""
        where = self._where(environment, settings, rest=rest, ws=ws)
        chosen = settings_of(where["settings"])
        session = Session(self.exchange_id, rest=rest, ws=ws, settings=chosen, sandbox=SANDBOX in where)
        has = session.exchange.has
        features = ("quote_amount",) if takes_quote_amounts(has) else ()
        has_time = has.get("fetchTime") is True
        return CcxtCodec(self.spec, session, where, depth=depth, poll_s=poll_s, has_time=has_time, features=features)

    def trading(
        self,
        rest: str | None = None,
        ws_api: str | None = None,
        environment: str | None = None,
        settings: str = "{}",
    ) -> CcxtTrading:
        """Make a trading codec; `ws_api` is the base URL of private websockets. Raises Misconfigured as `codec`.

        Raises:
            NotOffered: ccxt has no orders, balances or open orders of this exchange.
        """
        if not can_trade(self.exchange_id):
            raise NotOffered(self.name, "trading through ccxt")
        where = self._where(environment, settings, rest=rest, ws=ws_api, private=ws_api)
        return CcxtTrading(self.spec, offer_of(self.exchange_id), where)

    def auth(self, kind: str, api_key: str, secret: str | bytes, **fields: Any) -> CcxtAuth:
        """Read a key and the fields that ccxt requires. Raises Misconfigured."""
        return CcxtAuth(self.exchange_id, kind, api_key, secret, **fields)

    def _where(self, environment: str | None, settings: str, **given: str | None) -> dict[str, str]:
        """Return the settings of a session as text. Raises Misconfigured: one is not allowed."""
        merged = settings_of(self.settings) | settings_of(settings)
        if environment not in (None, REAL, *self.spec.environments):
            raise Misconfigured(
                "environment", f"{environment!r} is not one of {REAL}, {', '.join(self.spec.environments)}"
            )
        found = {name: value for name, value in given.items() if value}
        found["settings"] = json.dumps(merged)
        return found | ({SANDBOX: "true"} if environment == SANDBOX else {})


def ccxt_connector(exchange: str, settings: str = "{}") -> CcxtConnector:
    """Return the connector of `ccxt:ID`. Raises UnknownExchange, Misconfigured: as `package.exchange_class`."""
    return CcxtConnector(spec_of(exchange.removeprefix(PREFIX), settings_of(settings)), settings)
