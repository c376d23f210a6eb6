"""What goes over a link: frames, their contents, and the proof of a common key. Pure.

A frame is as for near calls: length of the content, a number, the kind, the content. `link` is the side that listens
and reads its node's segments; `mirror` is the side that connects. A mirror numbers its subscriptions.

    kind       from     number                      content
    CHALLENGE  link     0                           the greeting, 32 random bytes
    PROOF      mirror   0                           32 random bytes, the mirror's proof, its address
    PROOF      link     0                           the link's proof
    FOLLOW     mirror   mirror's time               all subscriptions: {number: [address, position or None]}
    PING       mirror   mirror's time               nothing
    PONG       link     mirror's time in the last   (number of a subscription, age of its source's heartbeat in us), ...
                        PING or FOLLOW
    BOOK       link     of the subscription         `Book`: all that the source published last
    TRADES     link     of the subscription         trades of that source's segment, `Trade` each
    GONE       link     of the subscription         nothing: the source has ended

Both prove that they have the key before either tells anything: a proof is an HMAC over the side's name, both random
values and the mirror's address, so none can be replayed or sent back. The key itself is never sent.

The proof of life: a PONG tells the age of the heartbeat of each subscribed source when the link answered, for each
source whose newest content was sent before the PONG. So a source lived, and the mirror had its newest content, at the
time of the PING, in the mirror's clock, less that age.
"""

from __future__ import annotations

import enum
import hmac
import struct
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgpack

from ...model.events import BookState
from ..cell.messages import BadMessage
from ..cell.near import FrameReader

NONCE_BYTES = PROOF_BYTES = 32
ADDRESS_MAX = 512  # bytes
GREETING = b"venuemesh link 2 " + sys.byteorder.encode()  # levels are native int64
UNPROVEN_MAX = 1024  # bytes of a frame before the proof
FOLLOW_MAX = 8 << 20
NEWS_MAX = 8 << 20
_AGE = struct.Struct("<II")
_LEVEL = 16  # bytes: price and size
_STATES = frozenset(map(int, BookState))
AGE_MAX_US = 2**32 - 1


class Kind(enum.IntEnum):
    """See the module."""

    CHALLENGE = 0
    PROOF = 1
    FOLLOW = 2
    PING = 3
    PONG = 4
    BOOK = 5
    TRADES = 6
    GONE = 7


class Segment(NamedTuple):
    """Identifies one segment of a book at its source: a pair that is tracked anew gets another with its incarnation."""

    epoch: int
    counter: int
    inode: int

    @property
    def incarnation(self) -> tuple[int, int]:
        return self.epoch, self.counter


class Book(NamedTuple):
    """The content of a source's segment; see `orderbook.records.Content`.

    `last_trade` is the number of the newest trade then, and `lost` the trades that the source had lost by that one.
    """

    segment: Segment
    price_scale: int
    size_scale: int
    sequenced: bool
    exact: bool
    redundant: bool
    comparable: bool
    last_trade: int
    lost: int
    state: int
    sequence: int
    ts_event_ns: int | None
    ts_recv_ns: int | None
    bids_complete: bool
    asks_complete: bool
    reason: str
    bids: bytes
    asks: bytes

    def pack(self) -> bytes:
        packed: bytes = msgpack.packb(self)
        return packed

    @classmethod
    def unpack(cls, content: bytes) -> Book:
        """Raises BadMessage: this is no book."""
        try:
            (epoch, counter, inode), *rest = msgpack.unpackb(content)
            book = cls(Segment(epoch, counter, inode), *rest)
        except (ValueError, TypeError) as error:
            raise BadMessage(f"not a book: {error}") from error
        fields = (epoch, counter, inode, *rest)
        if tuple(map(type, fields)) not in _BOOK_TYPES or not _fit(fields):
            raise BadMessage("not a book: its fields have wrong types")
        if len(book.bids) % _LEVEL or len(book.asks) % _LEVEL or book.state not in _STATES:
            raise BadMessage("not a book: its levels are cut, or there is no such state")
        return book


_BOOK_TYPES = {
    (*(int,) * 5, *(bool,) * 4, *(int,) * 4, event, received, bool, bool, str, bytes, bytes)
    for event in (int, type(None))
    for received in (int, type(None))
}


def _fit(fields: Iterable[Any]) -> bool:
    """Return whether all whole numbers are int64; msgpack reads larger ones."""
    return all(type(value) is not int or value < 2**63 for value in fields)


class Trade(NamedTuple):
    """One trade of a source's segment, by its number there; `lost` are all that the source had lost by then."""

    number: int
    trade_id: int
    price_raw: int
    size_raw: int
    sell: bool
    ts_event_ns: int | None
    ts_recv_ns: int
    lost: int


_TRADE_TYPES = {(int, int, int, int, bool, event, int, int) for event in (int, type(None))}


def pack_trades(trades: Iterable[Trade]) -> bytes:
    packed: bytes = msgpack.packb(list(trades))
    return packed


def unpack_trades(content: bytes) -> list[Trade]:
    """Raises BadMessage: these are no trades."""
    try:
        found = [Trade(*row) for row in msgpack.unpackb(content)]
    except (ValueError, TypeError) as error:
        raise BadMessage(f"not trades: {error}") from error
    if any(tuple(map(type, trade)) not in _TRADE_TYPES or not _fit(trade) for trade in found):
        raise BadMessage("not trades: a field has a wrong type")
    return found


class Position(NamedTuple):
    """How far a mirror has the trades of a source."""

    segment: Segment
    last_trade: int


def pack_follow(subscriptions: dict[int, tuple[str, Position | None]]) -> bytes:
    plain = {
        number: (address, None if at is None else (*at.segment, at.last_trade))
        for number, (address, at) in subscriptions.items()
    }
    packed: bytes = msgpack.packb(plain)
    return packed


def unpack_follow(content: bytes) -> dict[int, tuple[str, Position | None]]:
    """Return the address and the position of each subscription, by its number. Raises BadMessage."""
    try:
        plain = msgpack.unpackb(content, strict_map_key=False)
        return {_number(number): _subscription(*row) for number, row in plain.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise BadMessage(f"not subscriptions: {error}") from error


def _number(number: Any) -> int:
    if type(number) is not int or not 0 < number < 2**32:
        raise ValueError("a number is out of range")
    return number


def _subscription(address: Any, at: Any) -> tuple[str, Position | None]:
    if not isinstance(address, str) or not 0 < len(address.encode()) <= ADDRESS_MAX:
        raise ValueError("an address is no text, empty or too long")
    if at is None:
        return address, None
    if tuple(map(type, at)) != (int, int, int, int) or min(at) < 0:
        raise ValueError("a position has wrong types")
    return address, Position(Segment(*at[:3]), at[3])


def pack_ages(ages: Iterable[tuple[int, int]]) -> bytes:
    """Pack (number, age in ns) pairs."""
    return b"".join(_AGE.pack(number, min(-(-age_ns // 1000), AGE_MAX_US)) for number, age_ns in ages)


def unpack_ages(content: bytes) -> list[tuple[int, int]]:
    """Return (number, age in ns) pairs; an age is not below the true one, within a microsecond. Raises BadMessage."""
    if len(content) % _AGE.size:
        raise BadMessage(f"{len(content)} bytes of ages")
    return [(number, 1000 * age_us) for number, age_us in _AGE.iter_unpack(content)]


# ---------------------------------------------------------------------- the proofs


def challenge(nonce: bytes) -> bytes:
    return GREETING + nonce


def read_challenge(content: bytes) -> bytes:
    """Return the link's random bytes. Raises BadMessage: the peer is no link, or of another version or byte order."""
    if content[:-NONCE_BYTES] != GREETING:
        raise BadMessage("the peer is no link of this version and byte order")
    return content[-NONCE_BYTES:]


def prove(key: bytes, side: str, of_link: bytes, of_mirror: bytes, address: str) -> bytes:
    """Return the proof of a side, "link" or "mirror": both random values have a fixed length."""
    text = side.encode() + b"\0" + of_link + of_mirror + address.encode()
    return hmac.digest(key, text, "sha256")


def is_proof(found: bytes, key: bytes, side: str, of_link: bytes, of_mirror: bytes, address: str) -> bool:
    return hmac.compare_digest(found, prove(key, side, of_link, of_mirror, address))


def pack_proof(nonce: bytes, proof: bytes, address: str) -> bytes:
    return nonce + proof + address.encode()


def read_proof(content: bytes) -> tuple[bytes, bytes, str]:
    """Return (random bytes, proof, address) of a mirror. Raises BadMessage."""
    ends = NONCE_BYTES + PROOF_BYTES
    if not ends < len(content) <= ends + ADDRESS_MAX:
        raise BadMessage(f"a proof of {len(content)} bytes")
    try:
        return content[:NONCE_BYTES], content[NONCE_BYTES:ends], content[ends:].decode()
    except UnicodeDecodeError as error:
        raise BadMessage(f"not an address: {error}") from error


def frame_reader(content_max: int) -> FrameReader:
    return FrameReader(content_max, max(Kind))
