"""The trading side of a connector: data, a codec without I/O, and signing. No socket, no clock, no randomness.

    NewOrder --codec.place--> Draft --auth.sign(draft, now)--> Signed --transport--> HttpResponse --codec.reply--> Reply

A `Draft` is a request without time and signature. `Signed` has the exact bytes, which are sent once, and the end of
their validity (`Ends`). `Signed.text` is the same request without key and signature, for the journal and logs. If
requests go over a websocket, `Signed.call` is the frame, and `Signed.request_id` finds its answer.
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
from ..model.time import SECOND_NS
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
    """The kinds of requests. The first ones change something: they are journaled before they are sent."""

    PLACE = "place"
    CANCEL = "cancel"
    CANCEL_ALL = "cancel_all"  # every open order of one pair
    AMEND = "amend"  # another amount or price; the ids stay (`Offer.amend`)
    REPLACE = "replace"  # cancel one and place another in one request
    PLACE_LIST = "place_list"
    BATCH_PLACE = "batch_place"
    BATCH_CANCEL = "batch_cancel"
    ORDER = "order"  # one order by client id
    OPEN_ORDERS = "open_orders"
    FILLS = "fills"  # of one pair
    ORDERS = "orders"  # of one pair, open or not
    ACCOUNT = "account"  # balances, permissions, fees
    FEES = "fees"  # of one pair
    ORDER_COUNTS = "order_counts"  # the exchange's counts for the account's limits on orders
    DEAD_MAN = "dead_man"  # repeated anyway, so it is not journaled
    TOKEN = "token"  # for the account's stream
    RAW = "raw"  # `market.request`

    @property
    def changes(self) -> bool:
        return self in CHANGES


AGE_SLACK_S = 1.0  # the exchange counts an order's age from a little later than we do
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
    }
)
CANCELS = frozenset({Kind.CANCEL, Kind.BATCH_CANCEL})  # requests that only cancel: they can only reduce what is at risk


@dataclass(frozen=True, slots=True)
class Aging:
    """What a request spends of a limit by the age of its order: `steps` are ((below this age in s, units), ...).

    `since_ns` is our time when the order was placed or amended. A `Draft.cost` has the units of the youngest order.
    """

    limit: str
    since_ns: int
    steps: tuple[tuple[float, int], ...]

    def saved(self, now_ns: int) -> int:
        """Return the difference in units between the youngest order's cost and the request's cost now."""
        age_s = (now_ns - self.since_ns) / SECOND_NS - AGE_SLACK_S
        return self.steps[0][1] - next((units for below_s, units in self.steps if age_s < below_s), 0)


@dataclass(frozen=True, slots=True)
class Draft:
    """One request before signing. `params` keep their order, as text for the exchange; `orders` are client ids.

    `rest` and `call` name the same endpoint for both transports: ("POST", "/v1/orders") and "order.create". `host` is
    the base URL of the codec, so that the signer needs no host. `cost` counts against the limits that an egress shares;
    `order_count` is the number of orders that count against the account's order limits (`ExchangeSpec.account_limits`).
    `nonce`: set by the owner of the key's nonces before signing (`Offer.nonces`).
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
    aging: tuple[Aging, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()  # over REST, besides those of the signer

    def cost_at(self, now_ns: int) -> tuple[tuple[str, int], ...]:
        """Return `cost` as of now by our clock: less for orders that have rested (`aging`)."""
        if not self.aging:
            return self.cost
        saved: dict[str, int] = {}
        for aging in self.aging:
            saved[aging.limit] = saved.get(aging.limit, 0) + aging.saved(now_ns)
        return tuple((limit, units - saved.get(limit, 0)) for limit, units in self.cost)

    @property
    def changes(self) -> bool:
        """Whether the request may change something, so that an uncertain answer leaves its outcome unknown."""
        return self.kind.changes or (self.kind is Kind.RAW and self.rest[0] != "GET")


@dataclass(frozen=True, slots=True, repr=False)
class SignedRequest(HttpRequest):
    """An `HttpRequest` with a key and a signature in URL, headers or body. Its repr shows only method and path."""

    def __repr__(self) -> str:
        return f"SignedRequest({self.method} {urlsplit(self.url).path})"


@dataclass(frozen=True, slots=True)
class At:
    """The exchange refuses the bytes after the time `ns` on its own clock."""

    ns: int


@dataclass(frozen=True, slots=True)
class WhenSuperseded:
    """The exchange refuses the bytes after it has accepted a request with a nonce above `nonce`."""

    nonce: int


@dataclass(frozen=True, slots=True)
class Never:
    """Nothing ends the validity of the bytes."""


Ends = At | WhenSuperseded | Never
NO_END_NS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Signed:
    """The exact bytes of one request, either in `request` or in `call`. The repr shows neither.

    `call_id`: the id that the answer to the call names; empty: `request_id`.
    """

    draft: Draft
    request_id: str
    ends: Ends
    text: str  # for the journal: without key and signature
    digest: str  # SHA-256 of the exact bytes, hex
    request: HttpRequest | None = field(default=None, repr=False)
    call: bytes | None = field(default=None, repr=False)
    call_id: str = ""

    @property
    def not_after_ns(self) -> int:
        """The end of the validity by the exchange's clock; `NO_END_NS` if time does not end it."""
        return self.ends.ns if isinstance(self.ends, At) else NO_END_NS


class Auth(Protocol):
    """Signs drafts. Has secrets: its repr and its errors show none, and it does not pickle."""

    @property
    def key_hint(self) -> str:
        """A part of the key to distinguish it from others: at most its first 4 characters and "..."."""

    def sign(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        """Sign for REST. `now_ns` is our estimate of the exchange's clock."""

    def sign_call(self, draft: Draft, request_id: str, now_ns: int, validity_ms: int) -> Signed:
        """Sign for a websocket call."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The decoded answer to a request: orders, balances or fills, depending on its kind.

    `orders` of PLACE, CANCEL, AMEND, ORDER, OPEN_ORDERS, REPLACE, lists and batches. `absent`: the exchange answered
    that it has no such order. `refused`: the refusals by client order id in an otherwise successful answer. `taken`:
    the client order ids whose request the exchange acknowledged without an outcome; the stream or a later query states
    the order's status. `then` requests the next page of an answer in pages.

    An order that is missing in an answer to OPEN_ORDERS is queried by its id, so an unreadable row affects only its own
    order.
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
    counts: dict[str, int] | None = None  # of ORDER_COUNTS: name of a limit of the spec -> its current count
    left_out: tuple[LeftOut, ...] = ()  # unreadable rows of a list of orders or fills

    @property
    def rows(self) -> int:
        """The number of rows of fills in the answer, including unreadable ones: a full page may have a successor."""
        return len(self.fills) + len(self.left_out)


def joined(first: Reply, more: Reply) -> Reply:
    """Return an answer joined with its next page; `then` is that of the next page."""
    left_out = first.left_out + more.left_out
    return replace(more, orders=first.orders + more.orders, fills=first.fills + more.fills, left_out=left_out)


class Refusal(Enum):
    """The meaning of a refusal for the request. The connector's table maps the exchange's codes to these."""

    REJECTED = "rejected"  # an explicit refusal; not executed
    NOT_THERE = "not_there"  # "unknown order": in answer to a cancel the order may be filled; query it
    NO_PAIR = "no_pair"  # the exchange does not know the pair; this states nothing about an order on it
    DUPLICATE = "duplicate"  # an order with this id exists already: query it
    CLOCK = "clock"  # outside the validity window: not executed; measure the clock again
    NONCE = "nonce"  # the exchange had accepted a higher nonce before: not executed
    KEY = "key"  # key, signature, permission, address: Misconfigured
    BUSY = "busy"  # not served, provably not executed
    UNKNOWN = "unknown"  # the exchange itself does not know the outcome


class TradingCodec(Protocol):
    """The trading codec of one exchange: turns intents into drafts, and answers and frames into reports."""

    offer: Offer

    def place(self, order: NewOrder, instrument: Instrument) -> Draft: ...
    def place_cost(self, order: NewOrder) -> tuple[tuple[tuple[str, int], ...], int]:
        """Return `cost` and `order_count` of the draft that `place` would make of this order.

        The manager acquires both before it judges the order.
        """

    def cancel(self, order: Order, instrument: Instrument) -> Draft: ...
    def cancel_all(self, instrument: Instrument) -> Draft: ...
    def amend(
        self, order: Order, instrument: Instrument, amount: Decimal | None, price: Decimal | None = None
    ) -> Draft:
        """Change the total amount (including the filled part), the price, or both; None leaves a value unchanged."""

    def replace(self, order: Order, instrument: Instrument, new: NewOrder) -> Draft: ...
    def place_list(self, kind: str, orders: Sequence[NewOrder], instrument: Instrument, list_id: str) -> Draft: ...
    def query(self, client_order_id: str, instrument: Instrument, exchange_order_id: str | None = None) -> Draft:
        """Request one order; the reply reports it under `client_order_id`. Pass the exchange's id if it is known,
        because some exchanges rename a cancelled order and no longer find it under our id."""

    def open_orders(self) -> Draft: ...
    def fills(self, instrument: Instrument, since_ns: int | None, exchange_order_id: str | None = None) -> Draft:
        """Request own fills of one pair, oldest first, of one order or since a time.

        A full page may have a successor.
        """

    def fills_after(self, instrument: Instrument, trade_id: str) -> Draft:
        """Request own fills of one pair with trade ids (or `FillReport.page`) above `trade_id`: the next page."""

    def account(self) -> Draft: ...
    def orders(self, instrument: Instrument, since_ns: int | None) -> Draft:
        """Request orders of one pair, open or not, placed since a time, oldest first; None: the latest orders."""

    def fees(self, instrument: Instrument) -> Draft: ...
    def order_counts(self) -> Draft | None:
        """Request the exchange's counts for `ExchangeSpec.account_limits`; None: it offers no such request."""

    def raw(self, method: str, path: str, params: Sequence[tuple[str, str]], signed: bool) -> Draft:
        """Make any request, for `market.request`. Raises Misconfigured: the path is not of the exchange's interface."""

    def reply(self, signed: Signed, response: HttpResponse) -> Reply:
        """Read the answer to a request. A websocket answer is passed as an `HttpResponse` with its own status.

        Raises:
            Rejected: an explicit refusal; not executed. `refusal(code)` returns its sort.
            RetryLater: not served and provably not executed.
            OutcomeUnknown: a 5xx, or the exchange itself does not know the outcome.
            Misconfigured: key, signature or permission.
            DecodeError: the answer cannot be read (the outcome of a request that changes something is then unknown,
            too).
        """

    def refusal(self, code: str, reason: str = "") -> Refusal:
        """Return the meaning of `Rejected(code, reason)`.

        Pass the reason: at some exchanges only the text is specific.
        """

    def bind(self, instruments: Sequence[Instrument]) -> None:
        """Pass all instruments of the exchange to the codec, because reports name symbols."""

    # The user stream

    def stream_url(self) -> str: ...
    def stream_open(self, auth: Auth, request_id: str, now_ns: int, validity_ms: int) -> list[bytes]:
        """Return the frames that open the account's stream on a new connection."""

    def stream_decode(
        self, frame: bytes | memoryview, recv_ns: int
    ) -> Sequence[StreamReport | StreamOpened | Missed | StreamSay]:
        """Return the reports of one frame; none for a frame that is not about the account. Raises DecodeError, also for
        an unknown order status.

        `StreamSay` is a message to send; `StreamOpened` comes when all messages of `stream_open` are confirmed.
        """

    def call_url(self) -> str:
        """Return the URL for orders over a websocket. Raises NotOffered."""

    def call_answer(self, frame: bytes | memoryview) -> CallAnswer | None:
        """Read an answer to a call; None for any other frame."""


@runtime_checkable
class UsesTokens(Protocol):
    """A codec whose private connections open with a token, which is requested before each connection.

    If orders over a websocket carry the token, `OpensCalls.call_open` hands it to the signer.
    """

    def token(self) -> Draft: ...
    def use_token(self, token: str) -> None:
        """Keep the token for the next `stream_open` or `call_open`."""


@runtime_checkable
class GrantsAccess(Protocol):
    """A codec of an exchange some of whose market data needs an account's signature (`SubscribesWithAccess`).

    A codec that `UsesTokens` needs no such method: its access is {"token": the token}.
    """

    def market_access(self, auth: Auth, now_ns: int) -> dict[str, str]:
        """Sign for the subscriptions of one connection. The result is secret and soon expires."""


@runtime_checkable
class StreamsPairs(Protocol):
    """A codec whose user stream is subscribed to pair by pair: all listed pairs are bound before each `stream_open`."""

    streams_pairs: bool


@runtime_checkable
class OpensCalls(Protocol):
    """A codec whose websocket for orders takes orders only after a message that authenticates the connection."""

    def call_open(self, auth: Auth, request_id: str, now_ns: int, validity_ms: int) -> bytes:
        """Return the message for a new connection. It carries a signature or a token, so it is not logged."""

    def call_opened(self, frame: bytes | memoryview) -> StreamOpened | None:
        """Read the answer to `call_open`; None for any other frame."""


@runtime_checkable
class Batches(Protocol):
    """A codec of an exchange that takes several orders or cancels in one request (`Offer.batch_place`, `batch_cancel`).

    The reply has the outcome of each order: `orders`, `taken` and `refused` name client order ids.
    """

    def batch(self, drafts: Sequence[Draft]) -> Draft:
        """Join two or more PLACE drafts, or two or more CANCEL drafts, into one; `orders` keep their order."""


@runtime_checkable
class JoinsQueries(Protocol):
    """A codec of an exchange that takes queries for several orders in one request, at most `query_batch`.

    The reply reports each found order under the client order id of its query.
    """

    query_batch: int

    def can_join(self, draft: Draft) -> bool:
        """Return whether this request is a query that others can join."""

    def join_queries(self, drafts: Sequence[Draft]) -> Draft:
        """Join two or more queries into one; `orders` keep their order."""


@runtime_checkable
class AgesOrders(Protocol):
    """A codec whose requests cost less the longer their order has rested unamended (`Draft.aging`).

    The codec notes amendments when it reads their answers; a new process passes those of its predecessor.
    """

    def was_amended(self, client_order_id: str, at_ns: int) -> None:
        """Note that an order was amended, by our clock."""


@runtime_checkable
class DeadManSwitch(Protocol):
    """A codec of an exchange that cancels an account's orders unless renewed in time (`Offer.dead_man_s`)."""

    def dead_man(self, after_s: int) -> Draft:
        """Let the exchange cancel every open order of the account after `after_s` seconds, unless renewed; 0
        disarms."""


class CallAnswer(NamedTuple):
    """A websocket answer in the form of a REST answer: `reply` reads the body, budgets read the headers.

    `request_id` is the id in the answer: that of the request, or `Signed.call_id`.
    """

    request_id: str
    status: int
    body: bytes
    headers: dict[str, str]


class TradingConnector(Connector, Protocol):
    """A connector that trades. A connector for market data only lacks these two methods; see `trading_connector`."""

    def trading(self, rest: str | None = None, ws_api: str | None = None, **options: Any) -> TradingCodec:
        """Return a new codec. `rest` and `ws_api` are base URLs that override the spec's (None: the spec's)."""

    def auth(self, kind: str, api_key: str, secret: str | bytes, **fields: Any) -> Auth:
        """Read a key and return its signer. `secret` is the text of an HMAC secret, or a private key as PEM.

        `fields` are the key's fields that `ExchangeSpec.key_fields` names.

        Raises:
            Misconfigured: an unknown kind, a secret that is not of that kind, or a missing field. The error does not
            show the content.
        """


def trading_connector(connector: Connector) -> TradingConnector:
    """Return `connector` as a `TradingConnector`.

    Raises:
        NotOffered: the connector reads market data only.
    """
    if not callable(getattr(connector, "trading", None)) or not callable(getattr(connector, "auth", None)):
        raise NotOffered(connector.name, "trading through this connector")
    return cast(TradingConnector, connector)
