"""The market data side of a connector: data, and a codec without I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from ..model.candle import Candle
from ..model.events import DepthSnapshot, Levels, MarketEvent, OrderSnapshot
from ..model.http import HttpRequest, HttpResponse
from ..model.instrument import Instrument
from ..orderbook.l2 import OrderBook
from ..orderbook.l3 import L3Book
from .listing import Listing
from .sequence import Numbers
from .sequence import Verdict as Verdict
from .spec import Dial, ExchangeSpec

NOT_RECOGNISED = -1  # from `Scanner.scan`: the scanner does not know the frame exactly; `decode` reads it


class Scanner(Protocol):
    """A byte scanner of deltas, and of whole books in the feed, without a Python object per level.

    It reads a frame completely or not at all. The numbers are of the last recognised frame. `Codec.decode` reads
    exactly the same symbol, numbers and levels from such a frame.
    """

    first: int
    last: int
    depth: int  # 0: the frame is a delta; otherwise a whole book of at most so many levels a side
    previous: int | None  # number of the previous delta, if the exchange states it
    checksum: int | None  # of the book after the frame, if the exchange states it
    ts_event_ns: int | None
    is_proven: bool | None  # after `apply`: whether the book has this checksum; None: the caller must compute it

    def bind(self, symbol: str, book: OrderBook) -> int:
        """Set the book of a symbol. Return the symbol's slot, counted from 0 in the order of binding."""

    def scan(self, frame: bytes | bytearray | memoryview) -> int:
        """Return the slot of the frame's symbol; or NOT_RECOGNISED, and then there is nothing to apply."""

    def apply(self) -> None:
        """Apply the last scanned delta to its book, or load the last scanned book into it: all levels or none.

        The sequence becomes `last`. A side with fewer than `depth` levels is complete. Raises BookError.
        """

    def levels(self) -> tuple[Levels, Levels]:
        """Return copies of the last scanned levels (bids, asks), in the frame's order. Raises BookError: no levels."""


class SnapshotScanner(Protocol):
    """A bulk reader of snapshots, with the same rules; `sequence` is of the last recognised snapshot."""

    sequence: int

    def scan(self, body: bytes, price_scale: int, size_scale: int) -> bool:
        """Read a body. Return False for a body of another form, which `Codec.snapshot` must read."""

    def load(self, book: OrderBook, limit: int) -> None:
        """Load the last scanned snapshot; a side with fewer than `limit` levels is complete. Raises BookError."""


@dataclass(frozen=True, slots=True)
class SnapshotKey:
    """The symbol of a recorded snapshot, and the requested number of levels a side."""

    symbol: str
    limit: int


@dataclass(frozen=True, slots=True)
class Expected:
    """An answer that confirms a subscription: its key as in `Subscribed`, and the instruments (symbols) it is about."""

    key: int | str
    symbols: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send, the answers it `expects`, and its cost in limits of the connection other than "messages".

    A pair is subscribed when all expected answers that name it have come, for all messages. `masked` is the message
    without its secrets, for recordings; None: it has none. `answer`: the key of the answer from which on the limits of
    `cost` count this message; None: they count it from when it is sent.
    """

    frame: bytes = field(repr=False)
    expects: tuple[Expected, ...] = ()
    cost: tuple[tuple[str, int], ...] = ()
    masked: bytes | None = None
    answer: str | None = None


class Codec(Protocol):
    """Turns bytes into events, and intents into requests. No socket, no clock, no randomness: times and ids are
    arguments.

    The protocols below are for some exchanges only; `spec.book` determines which of them a codec has.
    """

    spec: ExchangeSpec
    snapshot_limit: int  # default levels a side of a requested snapshot

    def instruments_request(self) -> HttpRequest: ...
    def instruments(self, body: bytes) -> Listing:
        """Read the list of all instruments, trading or not (`listing` reads rows one by one).

        Raises DecodeError: the answer is not a list, or none of its rows can be read.
        """

    def bind(self, instruments: Iterable[Instrument]) -> None:
        """Set the instruments whose frames `decode` reads (symbols and scales), in place of earlier ones."""

    def ws_url(self) -> str: ...
    def subscribe(self, instruments: Sequence[Instrument], request_id: int) -> list[Outgoing]:
        """Return the messages that open the feeds of `instruments`. If the exchange has request ids, message n has the
        id `request_id` + n."""

    def unsubscribe(self, instruments: Sequence[Instrument], request_id: int) -> list[Outgoing]: ...
    def scanner(self) -> Scanner | None:
        """Make a byte scanner of the book's frames; None: without a scanner `decode` reads all frames."""

    def decode(self, frame: bytes | memoryview, recv_ns: int) -> Sequence[MarketEvent]:
        """Read one frame as JSON: any documented message, slower than a scanner. Raises DecodeError."""

    def symbol_of(self, frame: bytes | memoryview) -> str | None:
        """Return the symbol of a delta, trade or ticker, bound or not; None for any other frame."""

    def classify(self, sequence: int, delta: Numbers, joined: bool) -> Verdict:
        """Apply the exchange's rule, one of those in `connectors/sequence.py`, to a delta and a book at `sequence`.

        `joined` is False for the first delta after a snapshot that was requested separately from the feed.
        """

    def snapshot_request(self, instrument: Instrument, limit: int) -> HttpRequest:
        """Request a book over REST: on demand, and to join deltas if `spec.book.source` is REST."""

    def snapshot(self, instrument: Instrument, body: bytes, limit: int, recv_ns: int) -> DepthSnapshot:
        """Read a snapshot of at most `limit` levels a side; a side with fewer is complete. Raises DecodeError."""

    def snapshot_scanner(self) -> SnapshotScanner | None:
        """Make a bulk reader of snapshots; None: without one `snapshot` reads all bodies."""

    def recognise(self, url: str) -> SnapshotKey | str | None:
        """Return the content that a recorded URL requested: a snapshot, the name of another endpoint of the spec, or
        None.

        If requests use an alias, the symbol of a snapshot comes from the instruments that are bound or were read.
        """

    def failure(self, response: HttpResponse, changes: bool = False) -> Exception | None:
        """Return the typed error of a REST answer; None when the request succeeded.

        RetryLater with the exchange's delay for a rate limit, Rejected with the code for an explicit refusal. A 5xx is
        RetryLater for a read, which can be repeated without harm, and OutcomeUnknown for a request that `changes`
        something.
        """

    def tickers_request(self) -> HttpRequest: ...
    def tickers(self, body: bytes) -> dict[str, Any]:
        """Read volume, quote_volume, bid, ask, last, open, high and low of the last 24 hours, by symbol.

        Each is decimal text; a price that the exchange does not state is None. An unreadable row is left out, so that
        it cannot block the other pairs.

        The codec must have read the list of instruments before, because some exchanges use other names in tickers.
        """

    def time_request(self) -> HttpRequest | None:
        """Return the cheapest request for the exchange's time; None if there is none."""

    def server_time(self, body: bytes) -> int:
        """Read the exchange's time, ns since the Unix epoch, in the answer to `time_request`. Raises DecodeError."""


@runtime_checkable
class OpensConnections(Protocol):
    """A codec with messages that open each connection, before any pair is subscribed."""

    def opening(self, request_id: int) -> list[Outgoing]:
        """Return the opening messages, for example for a channel about all pairs. Ids as in `subscribe`."""


@runtime_checkable
class RequestedBooks(Protocol):
    """A codec whose whole books are requested over the socket (`BookSource.REQUESTED`)."""

    def book_request(self, instrument: Instrument, request_id: int) -> Outgoing:
        """Request a whole book; the answer is a `DepthSnapshot` or a `SubscribeRefused` with this id."""


@runtime_checkable
class SeparateTrades(Protocol):
    """A codec whose trades come over another connection than its books; `subscribe` is then about books alone."""

    def trades_url(self) -> str | None:
        """Return the websocket address of trades; None: they come with the books after all, by an option."""

    def subscribe_trades(self, instruments: Sequence[Instrument], request_id: int) -> list[Outgoing]:
        """Return the messages that open the trades of `instruments`. Ids as in `subscribe`."""

    def unsubscribe_trades(self, instruments: Sequence[Instrument], request_id: int) -> list[Outgoing]: ...


@runtime_checkable
class OpensTrades(Protocol):
    """A codec with messages that open each connection of separate trades, as `OpensConnections`; for example because
    only that connection states the status of pairs."""

    def opening_trades(self, request_id: int) -> list[Outgoing]: ...


@runtime_checkable
class ChecksummedBooks(Protocol):
    """A codec whose deltas carry a checksum of the book (`Proof.CHECKSUM`)."""

    def checksum(self, instrument: Instrument, book: OrderBook) -> int:
        """Return the checksum of the book by the exchange's rule; `orderbook.checksum` has the shared parts.

        Raises:
            BookError: the book has levels that the exchange cannot have sent.
        """


@runtime_checkable
class ChecksummedOrders(Protocol):
    """A codec of order-level books whose deltas carry a checksum of the book (`Proof.CHECKSUM`)."""

    def order_checksum(self, instrument: Instrument, book: L3Book) -> int:
        """Return the checksum of the book by the exchange's rule; raises as `ChecksummedBooks.checksum` does."""


@runtime_checkable
class JoinedOrders(Protocol):
    """A codec whose whole order-level books are requested over REST (`BookSource.REST`).

    `snapshot_request` and `snapshot` remain those of price levels, with which a silent book is compared.
    """

    def orders_request(self, instrument: Instrument) -> HttpRequest:
        """Request all orders of a book."""

    def orders_snapshot(self, instrument: Instrument, body: bytes, recv_ns: int) -> OrderSnapshot:
        """Read the answer. Raises DecodeError."""


@runtime_checkable
class SubscribesWithAccess(Protocol):
    """A codec whose subscriptions carry the proof of an account (`OrderLevelOffer.needs_account`)."""

    def use_access(self, access: Mapping[str, str]) -> None:
        """Keep what the account's codec gave (`order_codec.GrantsAccess`) for the next `subscribe`.

        It is secret: a message with it has `Outgoing.masked`.
        """


@runtime_checkable
class DialedByRequest(Protocol):
    """A codec whose websocket address is requested over REST before each connection."""

    def dial_request(self) -> HttpRequest: ...
    def dial(self, body: bytes) -> Dial:
        """Return the address in the answer to `dial_request`. Raises DecodeError."""


@runtime_checkable
class ServesCandles(Protocol):
    """A codec of an exchange that offers candles over REST (`spec.candles`)."""

    def candles_request(
        self, instrument: Instrument, interval: str, start_ns: int, end_ns: int, now_ns: int
    ) -> HttpRequest:
        """Request the candles that open from `start_ns` until before `end_ns`: at most `spec.candles.page` candles.

        `interval` is one of `spec.candles.intervals`. `now_ns` is the current time, because some exchanges have
        separate endpoints for old and new candles. An answer may also have other candles; the caller leaves them out.
        """

    def candles(self, instrument: Instrument, interval: str, response: HttpResponse) -> list[Candle]:
        """Read a successful answer, oldest first. Raises DecodeError: a row is unreadable, or two rows open at one
        time.

        A candle `is_closed` if the exchange states it, or if time and order prove it (`connectors/candles.py`).
        """


@runtime_checkable
class StreamsCandles(ServesCandles, Protocol):
    """A codec of an exchange that streams candles (`spec.candles.stream`); `decode` reads them as `CandleUpdate`."""

    def candle_url(self) -> str:
        """Return the websocket address of the stream, which may be another one than that of books."""

    def candle_message(
        self, op: Literal["subscribe", "unsubscribe"], interval: str, instruments: Sequence[Instrument], request_id: int
    ) -> Outgoing:
        """Return the message that begins or ends the candles of one interval, of at most
        `spec.candles.stream.pairs_per_message` instruments."""


class Connector(Protocol):
    """The object behind an entry point of the group `venuemesh.connectors`: one exchange, or several with one codec.

    A connector with `samples()`, which returns `MarketDataSamples`, needs no file for `venuemesh conformance`. A
    connector with `trading(...)` and `auth(...)` also trades: see `order_codec.TradingConnector`.
    """

    @property
    def name(self) -> str: ...
    @property
    def spec(self) -> ExchangeSpec: ...

    @property
    def codec(self) -> Callable[..., Codec]:
        """Makes a codec for one role. Its arguments are `rest` and `ws`, base URLs that override the spec's (None: the
        spec's), the options that the spec declares, by keyword, and `environment` where the spec has environments."""


@runtime_checkable
class OrderLevelConnector(Protocol):
    """A connector that also offers order-level (L3) books (`spec.order_level`)."""

    def order_level_codec(
        self, rest: str | None = None, ws: str | None = None, ws_l3: str | None = None, **options: Any
    ) -> Codec:
        """Make a codec for one role, as `Connector.codec` does; `ws_l3` overrides `OrderLevelOffer.ws`.

        Its `spec.book` is `OrderLevelOffer.book`, changed by options. `decode` reads `OrderSnapshot` and `OrderDelta`,
        and `scanner` returns None. Trades are those of the other codec. Raises Misconfigured: an option does not allow
        its value for these books.
        """
