"""An exchange as data: hosts, endpoints with their costs, limits, features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any, Generic, TypeVar

from ..model.errors import Misconfigured
from ..model.order import OrderType, TimeInForce
from ..model.time import MILLISECOND_NS
from .limit_answers import Cost, LimitAnswer, by_status


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One REST endpoint. `cost` is the cost of one call in the egress's limits; `source` is the manual page
    and the date on which it was read.

    `cost_by_size` overrides the first cost by a size parameter: ((up to 100, 5), (up to 500, 25), ...).
    """

    method: str
    path: str
    cost: tuple[tuple[str, int], ...] = ()
    source: str = ""
    cost_by_size: tuple[tuple[int, int], ...] = ()
    call: str | None = None  # the same as a method of the exchange's websocket API
    order_count: int = 0  # orders that one call counts against the account's order limits

    def spends(self, size: int | None = None) -> tuple[tuple[str, int], ...]:
        """Return the cost of one call for `size` rows; a size above the table has the cost of its last row."""
        if size is None or not self.cost_by_size:
            return self.cost
        amount = next((cost for up_to, cost in self.cost_by_size if size <= up_to), self.cost_by_size[-1][1])
        return ((self.cost[0][0], amount), *self.cost[1:])


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `amount` per window of `per_s` seconds. `scope` is the unit that shares the limit: an egress, a
    connection or (in `ExchangeSpec.account_limits` and `key_limits`) an account. `by_pair`, only in `key_limits`: each
    pair has its own window.
    """

    amount: int
    per_s: float
    scope: str = "egress"
    by_pair: bool = False


@dataclass(frozen=True, slots=True)
class Decay:
    """A counter of a key or an account that rises with each request and falls by `per_s` a second; at most `amount`.

    `by_pair`: each pair has its own counter.
    """

    amount: int
    per_s: float
    by_pair: bool = False


T = TypeVar("T", str, int, float, bool)


@dataclass(frozen=True, slots=True)
class Option(Generic[T]):
    """One option of a connector: a key of `[exchanges.NAME.options]`, passed to the codec as a keyword.

    The type of `default` is the option's type. `choices`, if any, are all accepted values; `least` and `most` bound a
    number. `words` describe the option. `market` and `orders`: which of the two codecs gets the option.
    """

    name: str
    default: T
    words: str
    choices: tuple[T, ...] = ()
    least: T | None = None
    most: T | None = None
    market: bool = True
    orders: bool = False

    def problem(self, value: Any) -> str | None:
        """Return why `value` is not allowed, with the allowed values; None if it is allowed."""
        kind = type(self.default)
        if type(value) is not kind and not (kind is float and type(value) is int):
            return f"{value!r} is not {KINDS[kind]}{self._allowed()}"
        fits = not self.choices or value in self.choices
        fits = fits and (self.least is None or value >= self.least) and (self.most is None or value <= self.most)
        return None if fits else f"{value!r} is not allowed{self._allowed()}"

    def checked(self, value: T) -> T:
        """Return `value`. Raises Misconfigured: it is not allowed."""
        if (problem := self.problem(value)) is not None:
            raise Misconfigured(self.name, problem)
        return value

    def _allowed(self) -> str:
        if self.choices:
            return f"; it is one of {', '.join(map(str, self.choices))}"
        bounds = [f"at least {self.least}"] if self.least is not None else []
        bounds += [f"at most {self.most}"] if self.most is not None else []
        return f"; it is {' and '.join(bounds)}" if bounds else ""


KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class KeyField:
    """A further secret field of a key, besides the API key and its secret: a passphrase, an account's name.

    `name` is its name in files, keystores and `TradingConnector.auth`; `words` describe it.
    """

    name: str
    words: str


REAL = "real"  # the environment whose URLs are the spec's


@dataclass(frozen=True, slots=True)
class Hosts:
    """Base URLs of one environment of an exchange."""

    rest: str
    ws: str
    ws_api: str | None = None


class BookSource(Enum):
    """The source of a whole book."""

    REST = "rest"  # requested over REST; joined to the deltas kept in the meantime
    REQUESTED = "requested"  # requested over the socket; joined to the deltas kept in the meantime
    PUSHED = "pushed"  # sent in the feed after each subscription and at any other time
    EVERY_FRAME = "every frame"  # each message is a whole book


class Proof(Enum):
    """The proof that no delta is missing; `connectors/sequence.py` has the rule of each kind."""

    RANGE = "range"  # a delta covers the numbers `first` to `last`, and the next delta begins after `last`
    CHAIN = "chain"  # a delta states the number of the previous delta
    STEP = "step"  # each delta has the next number
    CHECKSUM = "checksum"  # a delta has a checksum of the book after it
    CONNECTION = "connection"  # only the connection itself: readers see "unsequenced"


class Compared(Enum):
    """What of a book over REST shows that a book whose stream is silent misses nothing."""

    NUMBER = "number"  # its number is not higher, as both count the same changes; or its levels are the same
    LEVELS = "levels"  # its levels are the same
    PRICES = "prices"  # its prices are the same; its sizes are rounded


@dataclass(frozen=True, slots=True)
class BookFeed:
    """How an exchange sends books, as data. The shared code reads it, and the conformance suite tests each declaration.

    With a `window` the exchange sends only that many best levels a side, and readers drop levels that fall out of the
    window. If no book comes within `first_book_s` after a subscription (or a request over the socket), it is requested
    again. `resync_cost` is the cost of another subscription in the limits that an egress shares. A book whose stream
    is silent is compared with a book over REST, by what is `compared`; None: the exchange has no comparable book, and
    only trades show that the stream has stopped. `by_order`: the feed has every order (L3), and the levels follow.
    """

    source: BookSource = BookSource.REST
    proof: Proof = Proof.RANGE
    window: int | None = None
    first_book_s: float = 10.0
    resync_cost: tuple[tuple[str, int], ...] = ()
    compared: Compared | None = Compared.LEVELS
    by_order: bool = False

    @property
    def is_joined(self) -> bool:
        """Whether whole books are requested separately from the deltas, which wait for them."""
        return self.source in (BookSource.REST, BookSource.REQUESTED)

    @property
    def is_numbered(self) -> bool:
        """Whether deltas have numbers of the exchange; if not, the mesh counts deltas itself."""
        return self.proof in (Proof.RANGE, Proof.CHAIN, Proof.STEP)

    @property
    def is_comparable(self) -> bool:
        """Whether the numbers are known to be the same on all connections: a book over REST counts with them, too."""
        return self.is_numbered and (self.source is BookSource.REST or self.compared is Compared.NUMBER)


@dataclass(frozen=True, slots=True)
class OrderLevelOffer:
    """The order-level (L3) books that an exchange offers; the connector is then a `market_codec.OrderLevelConnector`.

    `ws` is the URL of their feed if it is not that of other market data. `needs_account`: an account must prove itself
    with each subscription, and the codec is a `market_codec.SubscribesWithAccess`.
    """

    book: BookFeed
    ws: str | None = None
    needs_account: bool = False


@dataclass(frozen=True, slots=True)
class CandleStream:
    """How an exchange streams candles, of each interval that it offers.

    One message subscribes to at most `pairs_per_message` pairs of one interval; a connection has at most `max_streams`
    pairs and intervals.
    """

    pairs_per_message: int
    max_streams: int


@dataclass(frozen=True, slots=True)
class CandleOffer:
    """The candles that an exchange offers: over REST, and in a `stream` if it has one.

    `intervals` maps our name of each interval ("1m", "4h", "1M": `model/candle.py`) to the exchange's. One answer has
    at most `page` candles. The exchange has only the newest `kept` candles of an interval (None: no limit stated).
    """

    intervals: Mapping[str, str]
    page: int
    kept: int | None = None
    stream: CandleStream | None = None  # with it the codec is a `market_codec.StreamsCandles`

    def name_of(self, interval: str) -> str | None:
        """Return our name of the exchange's interval; None if the exchange's name is not among `intervals`."""
        return next((ours for ours, theirs in self.intervals.items() if theirs == interval), None)


def named(pairs: str) -> dict[str, str]:
    """Return the table that a text writes as "OURS=THEIRS ...", with spaces between."""
    return dict(pair.split("=") for pair in pairs.split())


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """A message that the exchange expects at intervals, besides the pings of the websocket protocol."""

    frame: bytes
    every_s: float


@dataclass(frozen=True, slots=True)
class Dial:
    """An address for one connection, which the exchange closes at the age `max_age_s` (None: never).

    `keepalive_s` overrides the period of the spec's `keepalive`.
    """

    url: str
    max_age_s: float | None = None
    keepalive_s: float | None = None


@dataclass(frozen=True, slots=True)
class ExchangeSpec:
    """An exchange as data, each figure with its source in a comment."""

    exchange: str
    rest: str
    ws: str
    endpoints: Mapping[str, Endpoint]
    limits: Mapping[str, Limit]
    silence_s: float  # a connection that is silent for longer is dead
    max_connection_s: float  # the exchange closes connections of this age; we close ours earlier
    max_streams: int  # per connection
    streams_per_instrument: int  # streams of `max_streams` that one tracked pair needs
    wire_decimals: int  # decimals that the exchange writes
    max_snapshot: int  # the largest number of levels a side of a snapshot
    whole_books: bool = False  # a book over REST always has all levels, with any requested number
    used_headers: Mapping[str, str] = field(default_factory=dict)  # response header -> the limit whose count it states
    # Reads what an answer states about limits, by status, headers, body and the request's cost; besides `used_headers`
    limit_answer: Callable[[int, Mapping[str, str], bytes, Cost], LimitAnswer] = by_status
    decimals_by_pair: bool = False  # True: as many decimals as the scales of the pair's instrument
    book: BookFeed = BookFeed()
    order_level: OrderLevelOffer | None = None
    candles: CandleOffer | None = None  # with it the codec is a `market_codec.ServesCandles`
    keepalive: KeepAlive | None = None
    gzip: bool = False  # messages are compressed by gzip, independently of the websocket protocol's compression
    contiguous_trade_ids: bool = False  # True: the ids of a pair's trades have no gaps, so a gap shows lost trades
    example_pairs: tuple[str, ...] = ()
    unknown_symbol: frozenset[str] = frozenset()  # codes of `Rejected` that mean "no such symbol"
    lists_halted: bool = True  # the list of instruments has pairs that do not trade now
    ws_api: str | None = None  # URL for requests over a websocket, including orders
    account_limits: Mapping[str, Limit] = field(default_factory=dict)  # on orders, kept by the exchange per account
    key_limits: Mapping[str, Decay | Limit] = field(default_factory=dict)  # kept by the exchange per key or account
    account_headers: Mapping[str, str] = field(default_factory=dict)  # response header -> the account limit it reports
    environments: Mapping[str, Hosts] = field(default_factory=dict)  # besides the real exchange, such as "testnet"
    sister_of: str | None = None  # the exchange whose protocol this exchange speaks, at separate hosts
    time_resolution_ns: int = MILLISECOND_NS  # of the time in `Codec.server_time`
    key_fields: tuple[KeyField, ...] = ()  # further fields of a key, besides the API key and its secret
    options: tuple[Option[Any], ...] = ()  # options of the configuration, passed to the codecs as keywords

    def option_problem(self, name: str, value: Any) -> str | None:
        """Return why the connector does not accept this value of this option; None if it does."""
        option = next((option for option in self.options if option.name == name), None)
        if option is not None:
            return option.problem(value)
        if not self.options:
            return f"{self.exchange} has no options"
        return f"{self.exchange} has no such option; its options are {', '.join(known.name for known in self.options)}"

    def limit(self, name: str) -> Limit:
        """Return a limit by its name.

        A counter that falls with time is returned as the window in which it falls to zero.
        """
        if name in self.limits:
            return self.limits[name]
        counter = self.key_limits[name]
        if isinstance(counter, Limit):
            return counter
        return Limit(counter.amount, counter.amount / counter.per_s, "account")

    def hosts(self, environment: str | None) -> Hosts | None:
        """Return the base URLs of an environment; None and "real" mean the real exchange.

        Raises:
            Misconfigured: the exchange has no such environment.
        """
        if environment in (None, REAL):
            return None
        if environment not in self.environments:
            known = ", ".join((REAL, *self.environments))
            raise Misconfigured("environment", f"{environment!r} is not one of {known}, those of {self.exchange}")
        return self.environments[environment]

    @property
    def sequenced(self) -> bool:
        """Whether numbers or checksums prove that no delta is missing."""
        return self.book.proof is not Proof.CONNECTION


class Amend(Enum):
    """A change of an open order that one request makes. The order keeps both its ids; `replace` makes a new order."""

    SMALLER = "smaller"  # a smaller amount
    LARGER = "larger"  # a larger amount
    PRICE = "price"  # another price, together with another amount or alone


@dataclass(frozen=True, slots=True)
class Offer:
    """The trading features of an exchange, each figure with its source in the connector's `spec.py`.

    `processing_s`: how long the exchange may still process a request after the request's validity has ended.
    `client_id_pattern` is a regular expression for whole client order ids. `batch` sizes are 0 if batches are not
    offered.
    """

    order_types: frozenset[OrderType]
    times_in_force: frozenset[TimeInForce]
    self_trade_modes: frozenset[str] = frozenset()
    quote_amount: bool = False  # MARKET orders by quote amount
    by_spent_asset: bool = False  # a MARKET order states only what it spends: a buy its quote amount, a sell its amount
    amend: frozenset[Amend] = frozenset()
    amend_keeps_place: frozenset[Amend] = frozenset()  # the changes after which the order keeps its place in the queue
    replace: bool = False
    order_lists: frozenset[str] = frozenset()  # "OCO", "OTO", "OTOCO"
    batch_place: int = 0
    batch_cancel: int = 0
    batch_of_pair: bool = False  # the orders of one batch are of one pair
    cancel_all: bool = False
    dead_man_s: tuple[int, int] | None = None  # the shortest and longest time that the dead-man switch takes
    stream: bool = True  # False: reports come by polling only
    token_every_s: float | None = None  # how often the token of an open stream is requested again, which extends it
    ws_orders: bool = False  # orders over a websocket, too
    client_id_pattern: str = "[A-Za-z0-9_-]{1,36}"
    late_reject: bool = False  # an unacceptable order is acknowledged first, and rejected later
    late_fees: bool = False  # a fill may be reported without its fee, which a later report or the list of fills states
    processing_s: float = 1.0
    appears_s: float = 0.0  # how long after its acknowledgement lookups may not find an order
    max_validity_s: float = 60.0  # longest validity window of a request
    maker_fee: Decimal = Decimal(0)  # the exchange's default schedule, as a fraction: 0.001
    taker_fee: Decimal = Decimal(0)
    fills_page: int = 500  # rows of a full page of fills, after which there may be more
    lookup_s: float | None = None  # how long after its placement a query finds an order that has ended; None: always
    purges_unfilled: bool = False  # no query and no list finds an order that ended without a fill
    history_s: float | None = None  # how far back the lists of orders and fills go; None: no limit stated
    nonces: bool = False  # signed REST requests of one key must have rising nonces, so one process signs them all
    min_validity_s: float = 0.001  # shortest validity window of a request
    fills_by_time: bool = False  # trade ids do not rise, so fills are requested by time, each answer complete
    asks_balances: bool = False  # the stream does not state locked balances: request balances after changes of orders
    streams_in_order: bool = False  # the stream states balances after the report of the order that changed them
    fee_on_top: bool = False  # a buy locks its fee in addition to its value
    sent_id: Callable[[str], str] = str  # converts a client order id to the form that is sent to the exchange
