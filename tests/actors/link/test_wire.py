"""What goes over a link: every content comes back as it was, and nothing else is taken."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from venuemesh.actors.cell.messages import BadMessage
from venuemesh.actors.link import wire
from venuemesh.actors.link.access import link_key
from venuemesh.actors.link.wire import Book, Position, Segment, Trade
from venuemesh.model.events import BookState

KEY, LINK, MIRROR = b"k" * 32, b"l" * 32, b"m" * 32
INT = st.integers(-(2**63), 2**63 - 1)
COUNT = st.integers(0, 2**63 - 1)
SEGMENTS = st.builds(Segment, COUNT, COUNT, COUNT)
LEVELS = st.integers(0, 5).map(lambda n: bytes(range(16)) * n)
BOOKS = st.builds(
    Book,
    SEGMENTS,
    st.integers(0, 18),
    st.integers(0, 18),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    COUNT,
    COUNT,
    st.sampled_from(BookState).map(int),
    INT,
    st.none() | INT,
    st.none() | INT,
    st.booleans(),
    st.booleans(),
    st.text(max_size=60),
    LEVELS,
    LEVELS,
)
TRADES = st.lists(st.builds(Trade, COUNT, INT, INT, INT, st.booleans(), st.none() | INT, INT, COUNT), max_size=5)
ADDRESSES = st.text(min_size=1, max_size=100)
FOLLOWED = st.dictionaries(
    st.integers(1, 2**32 - 1), st.tuples(ADDRESSES, st.none() | st.builds(Position, SEGMENTS, COUNT)), max_size=5
)


@given(BOOKS)
def test_a_book_comes_back_as_it_was(book: Book) -> None:
    assert Book.unpack(book.pack()) == book


@given(TRADES)
def test_trades_come_back_as_they_were(trades: list[Trade]) -> None:
    assert wire.unpack_trades(wire.pack_trades(trades)) == trades


@given(FOLLOWED)
def test_subscriptions_come_back_as_they_were(followed: dict[int, tuple[str, Position | None]]) -> None:
    assert wire.unpack_follow(wire.pack_follow(followed)) == followed


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**31 * 1000))))
def test_an_age_is_never_made_smaller(ages: list[tuple[int, int]]) -> None:
    found = wire.unpack_ages(wire.pack_ages(ages))
    assert [number for number, _ in found] == [number for number, _ in ages]
    assert all(0 <= read - sent < 1000 for (_, read), (_, sent) in zip(found, ages, strict=True))


def test_an_age_beyond_the_field_stays_old() -> None:
    assert wire.unpack_ages(wire.pack_ages([(1, 2**63)])) == [(1, 1000 * wire.AGE_MAX_US)]


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=9)
    | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=18) | st.dictionaries(st.text(max_size=3) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=20,
)


@given(
    st.binary(max_size=200) | PLAIN.map(msgpack.packb), st.sampled_from(["book", "trades", "follow", "ages", "proof"])
)
def test_anything_else_is_a_bad_message(content: bytes, reader: str) -> None:
    readers = {
        "book": Book.unpack,
        "trades": wire.unpack_trades,
        "follow": wire.unpack_follow,
        "ages": wire.unpack_ages,
        "proof": wire.read_proof,
    }
    try:
        readers[reader](content)
    except BadMessage:
        return


@given(st.data(), BOOKS)
def test_a_changed_book_is_read_or_refused(data: st.DataObject, book: Book) -> None:
    packed = bytearray(book.pack())
    packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = Book.unpack(bytes(packed))
    except BadMessage:
        return
    assert len(found.bids) % 16 == len(found.asks) % 16 == 0


def test_only_the_key_proves_and_no_proof_serves_twice() -> None:
    proof = wire.prove(KEY, "mirror", LINK, MIRROR, "mirror/a")
    assert wire.is_proof(proof, KEY, "mirror", LINK, MIRROR, "mirror/a")
    for other in (
        wire.prove(b"K" * 32, "mirror", LINK, MIRROR, "mirror/a"),  # another key
        wire.prove(KEY, "link", LINK, MIRROR, "mirror/a"),  # the other side's own, sent back
        wire.prove(KEY, "mirror", b"x" * 32, MIRROR, "mirror/a"),  # of an earlier connection
        wire.prove(KEY, "mirror", LINK, MIRROR, "mirror/b"),  # of another mirror
        b"",
    ):
        assert not wire.is_proof(other, KEY, "mirror", LINK, MIRROR, "mirror/a")


def test_the_key_needs_the_token_and_the_secret() -> None:
    keys = {link_key(token, secret) for token in ("", "a", "b") for secret in (b"1" * 32, b"2" * 32)}
    assert len(keys) == 6


def test_another_version_or_byte_order_is_refused() -> None:
    assert wire.read_challenge(wire.challenge(LINK)) == LINK
    for other in (b"HTTP/1.1 400 Bad Request\r\n\r\n" + LINK, wire.GREETING, wire.GREETING[:-3] + b"big" + LINK, b""):
        with pytest.raises(BadMessage):
            wire.read_challenge(other)
