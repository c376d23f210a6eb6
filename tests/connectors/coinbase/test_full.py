"""Coinbase Exchange's channel `full`: the manual's messages to changes of orders."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from venuemesh.connectors.coinbase import CONNECTOR, SPEC
from venuemesh.connectors.coinbase.auth import CoinbaseAuth
from venuemesh.connectors.coinbase.full import CoinbaseOrderLevelCodec
from venuemesh.connectors.market_codec import JoinedOrders, OrderLevelConnector, SubscribesWithAccess
from venuemesh.connectors.order_codec import GrantsAccess
from venuemesh.connectors.sequence import Verdict
from venuemesh.model.errors import DecodeError, FixedPointError, Misconfigured
from venuemesh.model.events import Ignored, OrderDelta, PublicTrade, Side, SubscribeRefused
from venuemesh.model.instrument import Instrument
from venuemesh.orderbook.l3 import L3Book
from venuemesh.orderbook.records import ADD, CHANGE, IF_RESTING, MATCH, REMOVE, REPLACE

INSTRUMENT = Instrument("coinbase", "BTC-USD", "BTC-USD", "BTC", "USD", 2, 8)
MAKER, TAKER = "ac928c66-ca53-498f-9c13-a110027a60e8", "132fb6ae-456b-4654-b4e0-d681ac05cea1"
SECRET = "c2VjcmV0"  # "secret"
TIME, TIME_NS = "2014-11-07T08:19:27.028459Z", 1_415_348_367_028_459_000
HEAD = {"time": TIME, "product_id": "BTC-USD", "sequence": 10}


@pytest.fixture
def codec() -> CoinbaseOrderLevelCodec:
    made = CONNECTOR.order_level_codec()
    made.bind([INSTRUMENT])
    return made


def read(codec: CoinbaseOrderLevelCodec, message: Any) -> Any:
    return codec.decode(json.dumps(message).encode(), 7)


def changes(codec: CoinbaseOrderLevelCodec, **message: Any) -> Any:
    delta = read(codec, {**HEAD, **message})[0]
    assert isinstance(delta, OrderDelta)
    assert (delta.symbol, delta.first, delta.last, delta.ts_event_ns, delta.ts_recv_ns) == (
        "BTC-USD", message.get("sequence", 10), message.get("sequence", 10), TIME_NS, 7
    )  # fmt: skip
    return delta.changes


def test_the_offer_has_its_protocols(codec: CoinbaseOrderLevelCodec) -> None:
    assert isinstance(CONNECTOR, OrderLevelConnector)
    assert isinstance(codec, JoinedOrders)
    assert isinstance(codec, SubscribesWithAccess)
    assert isinstance(CONNECTOR.trading(), GrantsAccess)
    assert (codec.spec.book.by_order, codec.spec.book.is_joined, codec.spec.book.is_numbered) == (True, True, True)
    assert not SPEC.book.by_order
    assert codec.scanner() is None
    with pytest.raises(Misconfigured):
        CoinbaseOrderLevelCodec(replace(SPEC, order_level=None), None, None)


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ({"type": "received", "order_id": TAKER, "size": "1.34", "price": "502.1", "side": "buy"}, []),
        ({"type": "received", "order_id": TAKER, "funds": "3000.234", "side": "buy", "order_type": "market"}, []),
        (
            {"type": "open", "order_id": MAKER, "price": "200.2", "remaining_size": "1.00", "side": "sell"},
            [(ADD, MAKER, Side.SELL, 20_020, 100_000_000, TIME_NS)],
        ),
        ({"type": "done", "order_id": MAKER, "reason": "filled", "side": "sell"}, [(REMOVE, MAKER)]),
        (
            {"type": "change", "reason": "STP", "order_id": MAKER, "old_size": "12.2", "new_size": "5.23512"},
            [(CHANGE | IF_RESTING, MAKER, 523_512_000)],
        ),
        ({"type": "change", "reason": "STP", "order_id": TAKER, "old_funds": "9", "new_funds": "8"}, []),
        (
            {
                "type": "change",
                "order_id": MAKER,
                "old_size": "80",
                "new_size": "80",
                "old_price": "7",
                "new_price": "6",
            },
            [(REPLACE | IF_RESTING, MAKER, 600, 8_000_000_000, TIME_NS)],
        ),
        (
            {
                "type": "change",
                "order_id": MAKER,
                "old_size": "80",
                "new_size": "70",
                "old_price": "7",
                "new_price": "7",
            },
            [(CHANGE | IF_RESTING, MAKER, 7_000_000_000)],
        ),
        (
            {
                "type": "change",
                "order_id": MAKER,
                "old_size": "80",
                "new_size": "90",
                "old_price": "7",
                "new_price": "7",
            },
            [(REPLACE | IF_RESTING, MAKER, 700, 9_000_000_000, TIME_NS)],
        ),
    ],
)
def test_messages_of_the_manual(codec: CoinbaseOrderLevelCodec, message: dict[str, Any], wanted: Any) -> None:
    assert changes(codec, **message) == wanted


def test_a_match_is_a_change_and_a_trade(codec: CoinbaseOrderLevelCodec) -> None:
    message = HEAD | {
        "type": "match", "trade_id": 10, "sequence": 50, "maker_order_id": MAKER, "taker_order_id": TAKER,
        "size": "5.23512", "price": "400.23", "side": "sell",
    }  # fmt: skip
    assert changes(codec, **message) == [(MATCH, MAKER, 523_512_000)]
    trade = read(codec, message)[1]
    assert trade == PublicTrade("BTC-USD", 10, 40_023, 523_512_000, Side.BUY, TIME_NS, 7)


def test_the_next_number_joins(codec: CoinbaseOrderLevelCodec) -> None:
    delta = read(codec, HEAD | {"type": "done", "order_id": MAKER})[0]
    assert [codec.classify(number, delta, True) for number in (8, 9, 10)] == [
        Verdict.GAP, Verdict.APPLY, Verdict.STALE
    ]  # fmt: skip


def test_a_book_over_rest_is_joined(codec: CoinbaseOrderLevelCodec) -> None:
    """rest, Get product book, level 3."""
    assert codec.orders_request(INSTRUMENT).url.endswith("/products/BTC-USD/book?level=3")
    body = {
        "sequence": 3, "time": TIME, "auction_mode": False,
        "bids": [["295.96", "0.05088265", MAKER], ["295.96", "1", TAKER]],
        "asks": [["295.97", "5.72036512", "da863862-25f4-4868-ac41-005d11ab0a5f"]],
    }  # fmt: skip
    read_book = codec.orders_snapshot(INSTRUMENT, json.dumps(body).encode(), 7)
    assert (read_book.sequence, read_book.ts_event_ns) == (3, TIME_NS)
    assert (read_book.bids_complete, read_book.asks_complete) == (True, True)
    book = L3Book(2, 8)
    book.load(read_book.bids, read_book.asks, read_book.sequence)
    assert [one.id for one in book.queue(Side.BUY, 29_596)] == [MAKER, TAKER]
    book.apply(changes(codec, type="done", order_id=MAKER))
    assert [one.id for one in book.queue(Side.BUY, 29_596)] == [TAKER]


@pytest.mark.parametrize(
    "change",
    [{"sequence": None}, {"sequence": "11"}, {"time": "soon"}, {"order_id": 5}, {"price": 200.2}, {"side": "hold"}],
)
def test_broken_messages_raise_decode_error(codec: CoinbaseOrderLevelCodec, change: dict[str, Any]) -> None:
    good = HEAD | {"type": "open", "order_id": MAKER, "price": "200.2", "remaining_size": "1.00", "side": "sell"}
    with pytest.raises(DecodeError):
        read(codec, good | change)


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"sequence":1,"bids":[["1","1"]],"asks":[]}', b'{"bids":[],"asks":[]}']
)
def test_broken_books_raise_decode_error(codec: CoinbaseOrderLevelCodec, body: bytes) -> None:
    with pytest.raises(DecodeError):
        codec.orders_snapshot(INSTRUMENT, body, 7)


def test_a_price_with_more_decimals_is_a_misfit(codec: CoinbaseOrderLevelCodec) -> None:
    message = HEAD | {"type": "open", "order_id": MAKER, "price": "200.201", "remaining_size": "1.00", "side": "sell"}
    with pytest.raises(DecodeError) as caught:
        read(codec, message)
    assert isinstance(caught.value.__cause__, FixedPointError)


def test_other_products_and_messages_are_ignored(codec: CoinbaseOrderLevelCodec) -> None:
    assert read(codec, HEAD | {"type": "open", "product_id": "X-Y"}) == (Ignored("open"),)
    assert read(codec, {"type": "activate", "product_id": "BTC-USD"}) == (Ignored("activate"),)


def test_subscriptions_are_signed_and_masked(codec: CoinbaseOrderLevelCodec) -> None:
    auth = CoinbaseAuth("hmac", "the-key", SECRET, passphrase="the word")
    codec.use_access(CONNECTOR.trading().market_access(auth, 1_700_000_000_123_000_000))
    other = replace(INSTRUMENT, name="ETH-USD", symbol="ETH-USD")
    one, two = codec.subscribe([INSTRUMENT, other], 1)
    sent = json.loads(one.frame)
    assert (sent["product_ids"], sent["channels"], sent["key"]) == (["BTC-USD"], ["full", "heartbeat"], "the-key")
    assert sent["signature"] == auth.signature("1700000000.123GET/users/self/verify")
    assert one.masked is not None
    for secret in (b"the-key", b"the word", sent["signature"].encode()):
        assert secret in one.frame
        assert secret not in one.masked
        assert secret.decode() not in repr(one)
    assert [expected.key for expected in two.expects] == ["full:ETH-USD", "heartbeat:ETH-USD"]
    (end,) = codec.unsubscribe([INSTRUMENT], 2)
    assert b"signature" not in end.frame


def test_a_refusal_names_the_channel(codec: CoinbaseOrderLevelCodec) -> None:
    refusal = {"type": "error", "message": "Failed to subscribe", "reason": "FOO-BAR is not a valid product"}
    assert read(codec, refusal) == (SubscribeRefused("full:FOO-BAR", "Failed to subscribe", refusal["reason"]),)
