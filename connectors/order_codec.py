"""What a connector offers for trading: data, a sans-I/O codec, and signing. No socket, no clock, no randomness.

    NewOrder --codec.place--> Draft --auth.sign(draft, now)--> Signed --transport--> HttpResponse --codec.reply--> Reply

A `Draft` is a request without time and signature. `Signed` is the exact bytes and what ends their validity (`Ends`);
they are sent once. `text` is the same request as it may be journaled and logged: without key and signature. Where
requests go over a websocket, `Signed.call` is the frame; its answer is found by `Signed.request_id`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable
from urllib.parse import urlsplit

from ..model.errors import NotOffered
from ..model.http import HttpRequest, HttpResponse
from ..model.instrument import Instrument
from ..model.order import NewOrder, Order
from .market_codec import Connector
from .reading import LeftOut
from .reports import (
    AccountReport,
    Fees,
    FillReport,
    ListReport,
    Missed,
    OrderReport,
    StreamOpened,
    StreamReport,
    StreamSay,
)
from .spec import Offer


class Kind(Enum):
    """What a request asks for. The first ones change something: they are journaled before they are sent."""

    PLACE = "place"
    CANCEL = "cancel"
    CANCEL_ALL = "cancel_all"  # every open order of one pair
    AMEND = "amend"  # smaller amount, same priority
    REPLACE = "replace"  # cancel one and place another in one request
    PLACE_LIST = "place_list"
    BATCH_PLACE = "batch_place"
    BATCH_CANCEL = "batch_cancel"
    DEAD_MAN = "dead_man"
    ORDER = "order"  # one order by client id
    OPEN_ORDERS = "open_orders"
    FILLS = "fills"  # of one pair
    ORDERS = "orders"  # of one pair, open or not
    ACCOUNT = "account"  # balances, permissions, fees
    FEES = "fees"  # of one pair
    ORDER_COUNTS = "order_counts"  # what the exchange counts against the account's limits on orders
    TOKEN = "token"  # for the account's stream
    RAW = "raw"  # `market.request`

    @property
    def changes(self) -> bool:
        return self in CHANGES


CHANGES = frozenset(
    {
        Kind.PLACE,
        Kind.CANCEL,
        Kind.CANCEL_ALL,
        Kind.AMEND,
        Kind.REPLACE,
        Kind.PLACE_LIST,
        Kind.BATCH_PLACE,
        Kind.BATCH_CANCEL,
        Kind.DEAD_MAN,
    }
)


@dataclass(frozen=True, slots=True)
class Draft:
    """One request before it is signed. `params` keep their order, as text for the exchange; `orders` are client ids.

    `rest` and `call` name the same thing for both transports: ("POST", "/v1/orders") and "order.create". `host` is
    the base URL of the codec, so that signing needs no host of its own. `cost` is spent of limits that an egress
    shares; `order_count` is how many orders the request counts for against the account's order limits
    (`ExchangeSpec.account_limits`). `nonce`: set by the owner of the key's nonces before it signs (`Offer.nonces`).
    """

    kind: Kind
    rest: tuple[str, str]
    call: str | None
    params: tuple[tuple[str, str], ...]
    orders: tuple[str, ...] = ()
    pair: str | None = None
    cost: tuple[tuple[str, int], ...] = ()
    signed: bool = True
    host: str = ""
    order_count: int = 0
    nonce: int | None = None

    @property
    def changes(self) -> bool:
        """Whether it may change something: an answer that says nothing certain leaves its outcome unknown."""
        return self.kind.changes or (self.kind is Kind.RAW and self.rest[0] != "GET")


@dataclass(frozen=True, slots=True, repr=False)
class SignedRequest(HttpRequest):
    """An `HttpRequest` whose URL, headers and body hold a key and a signature: its repr shows method and path."""

    def __repr__(self) -> str:
        return f"SignedRequest({self.method} {urlsplit(self.url).path})"


@dataclass(frozen=True, slots=True)
class At:
    """The exchange refuses the bytes later than `ns` by its own clock."""

    ns: int


@dataclass(frozen=True, slots=True)
class WhenSuperseded:
    """The exchange refuses the bytes once it has taken a request with a nonce above `nonce`."""

    nonce: int


@dataclass(frozen=True, slots=True)
class Never:
    """Nothing ends the validity of the bytes."""


Ends = At | WhenSuperseded | Never
NO_END_NS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Signed:
    """The exact bytes of one request. Exactly one of `request` and `call` is there. Neither is in its repr."""

    draft: Draft
    request_id: str
    ends: Ends
    text: str  # what may be journaled: without key and signature
    digest: str  # SHA-256 of the exact bytes, hex
    request: HttpRequest | None = field(default=None, repr=False)
    call: bytes | None = field(default=None, repr=False)

    @property
    def not_after_ns(self) -> int:
        """The end by the exchange's clock; `NO_END_NS` where time ends nothing."""
        return self.ends.ns if isinstance(self.ends, At) else NO_END_NS


class Auth(Protocol):
    """Signs. Holds secrets: its repr and its errors show none; it does not pickle."""

    @property
    def key_hint(self) -> str:
        """Enough of the key to tell it from others: at most its first 4 characters and "..."."""

    def sign(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        """Sign for REST. `now_ns` is the exchange's clock as we know it."""

    def sign_call(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        """The same as a websocket call."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The readable answer to a request: what it says of orders, balances and fills, by its kind.

    `orders` of PLACE, CANCEL, AMEND, ORDER, OPEN_ORDERS, REPLACE, lists and batches; `absent` when the exchange says
    that it knows no such order; `refused`: per client order id, what it refused in an answer that succeeded else.
    `taken` are the client order ids whose request the exchange has accepted without saying what came of it: the stream
    or a later query says how the order stands. `then` asks for the rest of an answer that comes in pages.

    An order that an answer to OPEN_ORDERS does not have is asked for by itself, so that a row that was left out holds
    back only its own order.
    """

    orders: tuple[OrderReport, ...] = ()
    fills: tuple[FillReport, ...] = ()
    account: AccountReport | None = None
    fees: Fees | None = None
    lists: tuple[ListReport, ...] = ()
    refused: tuple[tuple[str, str, str], ...] = ()  # (client order id, code, reason)
    absent: bool = False
    taken: tuple[str, ...] = ()
    then: Draft | None = None
    token: str | None = field(default=None, repr=False)  # of TOKEN
    counts: dict[str, int] | None = None  # of ORDER_COUNTS: name of a limit of the spec -> what counts against it now
    left_out: tuple[LeftOut, ...] = ()  # odd rows of a list of orders or fills; the others are read

    @property
    def rows(self) -> int:
        """How many rows of fills the answer has, odd ones too: a full page means that there may be more."""
        return len(self.fills) + len(self.left_out)


def joined(first: Reply, more: Reply) -> Reply:
    """Return an answer with its next page; `then` is the next page's."""
    left_out = first.left_out + more.left_out
    return replace(more, orders=first.orders + more.orders, fills=first.fills + more.fills, left_out=left_out)


class Refusal(Enum):
    """What a refusal means for what was asked. The connector's table maps the exchange's codes to it."""

    REJECTED = "rejected"  # an explicit no; nothing was done
    NOT_THERE = "not_there"  # "unknown order": to a cancel it may mean filled; query
    DUPLICATE = "duplicate"  # an order of this id is there already: query it
    CLOCK = "clock"  # outside the validity window: nothing was done; measure the clock again
    NONCE = "nonce"  # the exchange had taken a higher nonce before: nothing was done
    KEY = "key"  # key, signature, permission, address: Misconfigured
    BUSY = "busy"  # not served, provably nothing done
    UNKNOWN = "unknown"  # the exchange does not know what became of the request


class TradingCodec(Protocol):
    """One exchange's trading: intents to drafts, answers and frames to reports."""

    offer: Offer

    def place(self, order: NewOrder, instrument: Instrument) -> Draft: ...
    def place_cost(self, order: NewOrder) -> tuple[tuple[tuple[str, int], ...], int]:
        """Return `cost` and `order_count` of the draft that `place` makes of this order, without making one.

        The manager takes them out of its limits before it judges the order.
        """

    def cancel(self, order: Order, instrument: Instrument) -> Draft: ...
    def cancel_all(self, instrument: Instrument) -> Draft: ...
    def amend(self, order: Order, instrument: Instrument, amount: Decimal) -> Draft: ...
    def replace(self, order: Order, instrument: Instrument, new: NewOrder) -> Draft: ...
    def place_list(self, kind: str, orders: Sequence[NewOrder], instrument: Instrument, list_id: str) -> Draft: ...
    def query(self, client_order_id: str, instrument: Instrument, exchange_order_id: str | None = None) -> Draft:
        """One order, reported under `client_order_id`. Give the exchange's id where it is known: some exchanges rename
        a cancelled order, and no longer find it under our id."""

    def open_orders(self) -> Draft: ...
    def fills(self, instrument: Instrument, since_ns: int | None, exchange_order_id: str | None = None) -> Draft:
        """Own fills of one pair, oldest first, of one order or since a time; a full page means there may be more."""

    def fills_after(self, instrument: Instrument, trade_id: str) -> Draft:
        """Own fills of one pair with trade ids (or `FillReport.page`) above `trade_id`: how pages are walked without
        losing one."""

    def account(self) -> Draft: ...
    def orders(self, instrument: Instrument, since_ns: int | None) -> Draft:
        """Orders of one pair, open or not, that were placed since a time, oldest first; the latest ones when None."""

    def fees(self, instrument: Instrument) -> Draft: ...
    def order_counts(self) -> Draft | None:
        """What the exchange counts against `ExchangeSpec.account_limits` now; None where it cannot be asked."""

    def raw(self, method: str, path: str, params: Sequence[tuple[str, str]], signed: bool) -> Draft:
        """Any request, for `market.request`. Raises Misconfigured: the path is not one of the exchange's interface."""

    def reply(self, signed: Signed, response: HttpResponse) -> Reply:
        """Read the answer to a request. A websocket answer is given as an `HttpResponse` with its own status.

        Raises:
            Rejected: an explicit no; nothing was done. `refusal(code)` says of which sort.
            RetryLater: not served and provably not executed.
            OutcomeUnknown: a 5xx, or the exchange says that it does not know.
            Misconfigured: key, signature or permission.
            DecodeError: the answer cannot be read (of a request that changes something: outcome unknown, too).
        """

    def refusal(self, code: str, reason: str = "") -> Refusal:
        """What `Rejected(code, reason)` means. Give the reason: some exchanges tell cases apart by their text alone."""

    def bind(self, instruments: Sequence[Instrument]) -> None:
        """Tell the codec all instruments of the exchange: reports name symbols."""

    # The user stream

    def stream_url(self) -> str: ...
    def stream_open(self, auth: Auth, request_id: str, now_ns: int, validity_ms: int) -> list[bytes]:
        """Frames that open the account's stream on a connection just made."""

    def stream_decode(
        self, frame: bytes | memoryview, recv_ns: int
    ) -> Sequence[StreamReport | StreamOpened | Missed | StreamSay]:
        """Reports of one frame; none of a frame that is not for us. Raises DecodeError (unknown order status too).

        `StreamSay` is what to answer; `StreamOpened` comes once all that `stream_open` began is confirmed.
        """

    def call_url(self) -> str:
        """Where orders go over a websocket. Raises NotOffered."""

    def call_answer(self, frame: bytes | memoryview) -> CallAnswer | None:
        """Read an answer; None of anything else."""


@runtime_checkable
class UsesTokens(Protocol):
    """A codec whose stream opens with a token that is asked for before each connection."""

    def token(self) -> Draft: ...
    def use_token(self, token: str) -> None:
        """Keep the token for the next `stream_open`."""


@runtime_checkable
class Batches(Protocol):
    """A codec of an exchange that takes several orders or cancels in one request (`Offer.batch_place`, `batch_cancel`).

    The reply has the outcome of each: `orders`, `taken` and `refused` name client order ids.
    """

    def batch(self, drafts: Sequence[Draft]) -> Draft:
        """Join requests of the kind PLACE or CANCEL, two or more of one kind, into one; `orders` are in their order."""


class CallAnswer(NamedTuple):
    """An answer over a websocket as REST would have given it: `reply` reads the body, budgets read the headers."""

    request_id: str
    status: int
    body: bytes
    headers: dict[str, str]


class TradingConnector(Connector, Protocol):
    """A connector that trades. One that reads market data only lacks these two methods; see `trading_connector`."""

    def trading(self, rest: str | None = None, ws_api: str | None = None, **options: Any) -> TradingCodec:
        """A fresh codec. `rest` and `ws_api` are base URLs that override the spec's (None: they do not)."""

    def auth(self, kind: str, api_key: str, secret: str | bytes, **fields: Any) -> Auth:
        """Read a key. `secret` is the text of an HMAC secret, or a private key as PEM.

        `fields` are the texts that `ExchangeSpec.key_fields` names.

        Raises:
            Misconfigured: an unknown kind, the secret is not one of that kind, or a field is missing. Says nothing of
                the content.
        """


def trading_connector(connector: Connector) -> TradingConnector:
    """Return `connector` as one that trades.

    Raises:
        NotOffered: it reads market data only.
    """
    if not callable(getattr(connector, "trading", None)) or not callable(getattr(connector, "auth", None)):
        raise NotOffered(connector.name, "trading through this connector")
    return cast(TradingConnector, connector)
