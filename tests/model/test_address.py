"""Addresses are written and read back; other text is refused."""

import pytest

from venuemesh.model import address as at
from venuemesh.model.address import Address
from venuemesh.model.errors import Misconfigured

NODE = "0123456789abcdef" * 3
WRITTEN = [
    (at.limits_address("acme", "office"), "limits/acme/office", Address("limits", "acme", "office")),
    (at.catalog_address("acme"), "catalog/acme", Address("catalog", "acme")),
    (at.book_address("acme", "BTC-USDT"), "book/acme/BTC-USDT", Address("book", "acme", "BTC-USDT")),
    (at.group_address("acme", 7), "book/acme/group-7", Address("book", "acme", "group-7")),
    (at.stream_address("acme", "main"), "stream/acme/main", Address("stream", "acme", "main")),
    (at.orders_address("acme", "main"), "orders/acme/main", Address("orders", "acme", "main")),
    (at.agent_address(NODE), "agent/0123456789ab", Address("agent", name="0123456789ab")),
    (at.link_address(NODE), "link/0123456789ab", Address("link", name="0123456789ab")),
    (at.mirror_address(NODE), "mirror/0123456789ab", Address("mirror", name="0123456789ab")),
]


@pytest.mark.parametrize(("made", "text", "parts"), WRITTEN)
def test_every_constructor_writes_what_parse_reads(made: str, text: str, parts: Address) -> None:
    assert made == text
    assert Address.parse(text) == parts
    assert str(parts) == text


def test_the_last_part_may_contain_a_slash() -> None:
    assert Address.parse("book/acme/BTC/USDT") == Address("book", "acme", "BTC/USDT")
    assert str(Address.parse("book/acme/BTC/USDT")) == "book/acme/BTC/USDT"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "book",
        "book/",
        "book/acme",
        "book/acme/",
        "book//x",
        "/acme/x",
        "catalog/",
        "catalog/acme/x",
        "agent/a/b",
    ],
)
def test_text_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured, match="address"):
        Address.parse(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("book/acme/group-1", 1),
        ("book/acme/group-12", 12),
        ("book/acme/group-", None),
        ("book/acme/group-x", None),
        ("book/acme/12", None),
        ("book/acme/BTC-USDT", None),
        ("orders/acme/group-1", None),
        ("catalog/acme", None),
    ],
)
def test_only_a_group_of_books_has_a_number(text: str, number: int | None) -> None:
    assert Address.parse(text).group_number == number


def test_the_books_of_an_exchange_are_distinguished_from_those_of_another() -> None:
    assert at.is_book_of("book/acme/BTC-USDT", "acme")
    assert at.is_book_of("book/acme/group-3", "acme")
    assert not at.is_book_of("book/acme2/BTC-USDT", "acme")
    assert not at.is_book_of("orders/acme/main", "acme")


def test_the_kind_of_an_address_is_its_whole_first_part() -> None:
    assert at.has_kind("mirror/0123", at.MIRROR)
    assert not at.has_kind("mirrors/0123", at.MIRROR)
    assert not at.has_kind("mirror", at.MIRROR)
