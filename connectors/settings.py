"""Which exchange a role talks to, through which connector and by which way: one part of every role's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..model.errors import Misconfigured
from . import registry
from .market_codec import Codec, Connector
from .order_codec import TradingCodec, TradingConnector, trading_connector
from .spec import ExchangeSpec

Option = str | int | float | bool
SNAPSHOT_LIMIT = "snapshot_limit"


@dataclass(frozen=True, slots=True)
class ConnectorSettings:
    """One exchange as the mesh is configured to reach it.

    `exchange` is the name in addresses; `connector` names the entry point, the exchange's name if empty. `rest`, `ws`
    and `ws_api` are base URLs that replace the connector's own (None: they do not). `egress` is the rate budget that
    requests spend. `options` are the connector's own, by name; an option that is absent has the connector's default.
    """

    exchange: str
    connector: str = ""
    rest: str | None = None
    ws: str | None = None
    ws_api: str | None = None
    egress: str = "default"
    options: Mapping[str, Option] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises Misconfigured: an option has no name, or is neither text nor a number nor a truth value."""
        if not self.connector:
            object.__setattr__(self, "connector", self.exchange)
        for name, value in self.options.items():
            if not isinstance(name, str) or not name.isidentifier() or not isinstance(value, Option):
                raise Misconfigured(f"option {name!r} of {self.exchange}", f"{value!r} is not a value of an option")
        object.__setattr__(self, "options", dict(self.options))

    def find(self) -> Connector:
        """Return the connector. Raises UnknownExchange, Misconfigured."""
        return registry.connector(self.connector)

    def find_trading(self) -> TradingConnector:
        """Return the connector as one that trades. Raises UnknownExchange, Misconfigured, NotOffered."""
        return trading_connector(self.find())

    @property
    def spec(self) -> ExchangeSpec:
        return self.find().spec

    def market_codec(self) -> Codec:
        """Make a market codec for one role. Raises UnknownExchange, Misconfigured."""
        options = {name: value for name, value in self.options.items() if name != SNAPSHOT_LIMIT}
        return self.find().codec(self.rest, self.ws, **options)

    def order_codec(self) -> TradingCodec:
        """Make an order codec for one role. Raises UnknownExchange, Misconfigured, NotOffered."""
        return self.find_trading().trading(self.rest, self.ws_api)

    @property
    def snapshot_limit(self) -> int:
        """How many levels a side a snapshot is asked for with."""
        return int(self.options.get(SNAPSHOT_LIMIT, 1000))
