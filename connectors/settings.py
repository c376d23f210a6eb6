"""The exchange of a role, its connector and its base URLs: a part of every role's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ..model.errors import Misconfigured, NotOffered
from ..model.hosts import is_loopback
from . import registry
from .market_codec import Codec, Connector, OrderLevelConnector
from .order_codec import TradingCodec, TradingConnector, trading_connector
from .spec import ExchangeSpec

OptionValue = str | int | float | bool


@dataclass(frozen=True, slots=True)
class ConnectorSettings:
    """The settings for reaching one exchange.

    `exchange` is the name in addresses; `connector` names the entry point (empty: the exchange's name). `rest`, `ws`,
    `ws_api` and `ws_l3` are base URLs that replace the connector's own (None: those of the environment). `environment`
    is one of the connector's `environments` (None: the real exchange). `egress` is the rate budget of
    the requests. `options` are the connector's options by name; an absent option has the connector's default.
    """

    exchange: str
    connector: str = ""
    rest: str | None = None
    ws: str | None = None
    ws_api: str | None = None
    environment: str | None = None
    egress: str = "default"
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    ws_l3: str | None = None

    def __post_init__(self) -> None:
        """Raises Misconfigured: an option has no name, or is not text, a number, or true or false."""
        if not self.connector:
            object.__setattr__(self, "connector", self.exchange)
        for name, value in self.options.items():
            if not isinstance(name, str) or not name.isidentifier() or not isinstance(value, OptionValue):
                raise Misconfigured(
                    f"option {name!r} of {self.exchange}", f"{value!r} is not text, a number, or true or false"
                )
        object.__setattr__(self, "options", dict(self.options))

    def find(self) -> Connector:
        """Return the connector. Raises UnknownExchange, Misconfigured."""
        return registry.connector(self.connector)

    def find_trading(self) -> TradingConnector:
        """Return the connector, which must trade. Raises UnknownExchange, Misconfigured, NotOffered."""
        return trading_connector(self.find())

    @property
    def spec(self) -> ExchangeSpec:
        return self.find().spec

    def market_codec(self) -> Codec:
        """Make a market codec for one role. Raises UnknownExchange, Misconfigured."""
        found = self.find()
        taken = {option.name for option in found.spec.options if option.market}
        return found.codec(self.rest, self.ws, **self._environment(found.spec), **self._checked(found.spec, taken))

    def order_level_codec(self) -> Codec:
        """Make a market codec of order-level books for one role.

        Raises:
            UnknownExchange, NotOffered: no connector, or one without order-level books.
            Misconfigured: an option or environment is wrong, or a URL would send an account's proof in clear, or to the
                real exchange although other hosts are configured.
        """
        found = self.find()
        offer = found.spec.order_level
        if offer is None or not isinstance(found, OrderLevelConnector):
            raise NotOffered(self.exchange, "order-level books")
        if offer.needs_account:
            check_encrypted(self.exchange, rest=self.rest, ws=self.ws, ws_l3=self.ws_l3)
        if offer.ws is not None and (self.ws or self.rest) is not None and self.ws_l3 is None:
            reason = "rest and ws replace the exchange's own hosts; name the host of order-level books, too"
            raise Misconfigured(f"ws_l3 of {self.exchange}", reason)
        taken = {option.name for option in found.spec.options if option.market}
        more = {**self._environment(found.spec), **self._checked(found.spec, taken)}
        return found.order_level_codec(self.rest, self.ws, self.ws_l3, **more)

    def order_codec(self) -> TradingCodec:
        """Make an order codec for one role.

        Raises:
            UnknownExchange, NotOffered: no connector, or one that does not trade.
            Misconfigured: an option or environment is wrong, or a URL would send keys in clear over a network.
        """
        check_encrypted(self.exchange, rest=self.rest, ws=self.ws, ws_api=self.ws_api)
        found = self.find_trading()
        taken = {option.name for option in found.spec.options if option.orders}
        return found.trading(
            self.rest, self.ws_api, **self._environment(found.spec), **self._checked(found.spec, taken)
        )

    @property
    def rest_base(self) -> str:
        """The base URL of REST. Raises Misconfigured: the exchange has no such environment."""
        spec = self.spec
        hosts = spec.hosts(self.environment)
        return (self.rest or (hosts.rest if hosts is not None else spec.rest)).rstrip("/")

    def _environment(self, spec: ExchangeSpec) -> dict[str, str]:
        """Return the environment for a codec, where it is not the real exchange. Raises Misconfigured."""
        if self.environment is None or spec.hosts(self.environment) is None:
            return {}
        return {"environment": self.environment}

    def _checked(self, spec: ExchangeSpec, taken: set[str]) -> dict[str, OptionValue]:
        """Return the options for a codec. Raises Misconfigured: the connector does not accept one of them."""
        for name, value in self.options.items():
            if (problem := spec.option_problem(name, value)) is not None:
                raise Misconfigured(f"option {name!r} of {self.exchange}", problem)
        return {name: value for name, value in self.options.items() if name in taken}


def check_encrypted(exchange: str, **urls: str | None) -> None:
    """Check the base URLs, by name, of an account: each request on it names its key.

    Raises:
        Misconfigured: a URL of another host is not encrypted.
    """
    for name, url in urls.items():
        parts = urlsplit(url or "")
        if parts.scheme in ("http", "ws") and not is_loopback(parts.hostname or ""):
            raise Misconfigured(
                f"{name} of {exchange}",
                f"{parts.scheme}://{parts.hostname} would send the account's key in clear over the network; use "
                f"{parts.scheme}s://, or a tunnel that ends on this host",
            )
