"""What a connector is: data, a sans-I/O codec, and nothing that opens a socket."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from ..model.events import MarketEvent, Request, Response
from ..model.instrument import Instrument


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One REST endpoint. `cost` is what one call spends of which limit; `source` the manual page and date read."""

    method: str
    path: str
    cost: tuple[tuple[str, int], ...] = ()
    source: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `amount` per window of `per_s` seconds. `scope` says what shares it: an egress address or a connection."""

    amount: int
    per_s: float
    scope: str = "egress"


@dataclass(frozen=True, slots=True)
class ExchangeSpec:
    """An exchange as data, each figure with its source in a comment beside it."""

    exchange: str
    rest: str
    ws: str
    endpoints: Mapping[str, Endpoint]
    limits: Mapping[str, Limit]
    silence_s: float  # a connection that says nothing at all for longer is dead
    max_connection_s: float  # the exchange closes connections of this age; ours leave earlier
    max_streams: int  # per connection
    used_headers: Mapping[str, str] = field(default_factory=dict)  # response header -> limit it reports the use of
    wire_decimals: int = 8  # how many decimals the exchange writes
    sequenced: bool = True  # False: no proof of continuity but the connection itself ("unsequenced")
    example_pairs: tuple[str, ...] = ()


class Verdict(Enum):
    """What a delta is to a book that holds `sequence`."""

    APPLY = "apply"
    STALE = "stale"
    GAP = "gap"


class Codec(Protocol):
    """Bytes to events and intents to requests. No socket, no clock, no randomness: times and ids are passed in."""

    spec: ExchangeSpec

    def instruments_request(self) -> Request: ...
    def instruments(self, body: bytes) -> list[Instrument]: ...
    def bind(self, instruments: Iterable[Instrument]) -> None:
        """Tell the codec which instruments `decode` will meet (symbols and scales)."""

    def ws_url(self) -> str: ...
    def subscribe(self, instruments: Sequence[Instrument], request_id: int) -> list[bytes]: ...
    def unsubscribe(self, instruments: Sequence[Instrument], request_id: int) -> list[bytes]: ...
    def decode(self, frame: bytes, recv_ns: int) -> Sequence[MarketEvent]:
        """The JSON path: exact, slower, reads everything the exchange documents. Raises DecodeError."""

    def classify(self, sequence: int, first: int, last: int, joined: bool) -> Verdict:
        """The exchange's rule. `sequence` is the book's; `joined` False for the first delta after a snapshot."""

    def snapshot_request(self, instrument: Instrument) -> Request: ...
    def snapshot(self, instrument: Instrument, body: bytes, recv_ns: int) -> MarketEvent: ...
    def failure(self, response: Response) -> Exception | None:
        """The typed error that a REST answer means (RetryLater with its delay for 429/418, OutcomeUnknown for 5xx of a
        request that changes something, Rejected with the exchange's code, ...), or None when it succeeded."""

    def tickers_request(self) -> Request: ...
    def tickers(self, body: bytes) -> dict[str, Any]: ...


class Connector(Protocol):
    """What an entry point in the group `venuemesh.connectors` names: one exchange, or several that share a codec."""

    name: str

    def codec(self, rest: str | None = None, ws: str | None = None) -> Codec:
        """A fresh codec for one role; `rest` and `ws` override the spec's base URLs."""
