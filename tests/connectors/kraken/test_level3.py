"""Kraken's order-level books: the manual's messages and example of a checksum, requests, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import orjson
import pytest

from tests.fakes.captures import captures
from venuemesh.connectors.kraken import CONNECTOR
from venuemesh.connectors.market_codec import (
    ChecksummedOrders,
    OpensTrades,
    OrderLevelConnector,
    SeparateTrades,
    SubscribesWithAccess,
)
from venuemesh.connectors.settings import ConnectorSettings
from venuemesh.model.errors import DecodeError, Misconfigured
from venuemesh.model.events import Ignored, OrderDelta, OrderSnapshot, Side, Subscribed, SubscribeRefused
from venuemesh.model.instrument import Instrument
from venuemesh.orderbook.l3 import L3Book
from venuemesh.orderbook.records import ADD, CHANGE, REMOVE

BTC = Instrument("kraken", "BTC-USD", "BTC/USD", "BTC", "USD", 1, 8, aliases=("XBTUSD", "XXBTZUSD"))
ETH = Instrument("kraken", "ETH-USDT", "ETH/USDT", "ETH", "USDT", 4, 8, aliases=("ETHUSDT", "ETHUSDT"))
RECV_NS = 7

# guides/spot-ws-l3-v2, Checksum Steps with Example: price and quantity of the orders, in the order of the message
ASKS = (
    "44939.5 4.52308393,44939.5 0.00111261,44939.5 0.00100000,44939.5 0.01000000,44950.0 0.10334926,44953.0 0.00064537,"
    "44955.0 0.00250000,44959.6 0.35630000,44959.6 0.35630000,44960.1 0.00338072,44960.2 0.88967575,44967.0 3.14392283,"
    "44978.5 0.06778960,44979.2 0.35630000"
)
BIDS = (
    "44939.4 0.88968699,44939.4 0.45210000,44939.4 0.10000000,44939.4 0.14296323,44939.4 0.25000000,44939.4 0.10292988,"
    "44939.4 0.33880000,44939.4 1.28140860,44937.1 0.03346877,44934.7 0.35630000,44930.2 0.22734299,44930.2 0.01000000,"
    "44930.2 0.05550000,44930.2 0.70000000,44930.2 0.15000000,44928.0 0.00105240,44919.6 0.33870000,44919.5 0.07610000,"
    "44912.0 0.35630000,44909.7 0.06690000,44901.9 0.00088982"
)
CHECKSUM = 1063832831


def row(number: int, order: str, **more: str) -> dict[str, object]:
    price, size = order.split()
    return {
        **more,
        "order_id": f"OTCFZG-YOE2Q-{number:06d}",
        "limit_price": orjson.Fragment(price),
        "order_qty": orjson.Fragment(size),
        "timestamp": "2024-01-08T12:26:39.526146327Z",
    }


def message(kind: str, bids: list[object], asks: list[object], checksum: int) -> bytes:
    data = {"symbol": "BTC/USD", "checksum": checksum, "bids": bids, "asks": asks}
    return orjson.dumps({"channel": "level3", "type": kind, "data": [data]})


EXAMPLE = message(
    "snapshot",
    [row(at, order) for at, order in enumerate(BIDS.split(","))],
    [row(100 + at, order) for at, order in enumerate(ASKS.split(","))],
    CHECKSUM,
)


def codec(depth: int = 10):
    made = CONNECTOR.order_level_codec(depth=depth)
    made.bind([BTC, ETH])
    return made


def test_the_codec_has_the_parts_that_its_feed_needs():
    for part in (ChecksummedOrders, OpensTrades, SeparateTrades, SubscribesWithAccess):
        assert isinstance(codec(), part)
    assert isinstance(CONNECTOR, OrderLevelConnector)


def test_the_manuals_example_has_the_manuals_checksum():
    made = codec()
    (read,) = made.decode(EXAMPLE, RECV_NS)
    assert isinstance(read, OrderSnapshot)
    assert (read.symbol, read.checksum, read.ts_recv_ns) == ("BTC/USD", CHECKSUM, RECV_NS)
    assert (read.bids_complete, read.asks_complete) == (False, False)  # ten levels
    assert read.asks[0] == ("OTCFZG-YOE2Q-000100", 449395, 452308393, 1704716799526146327)
    book = L3Book(1, 8, window=10)
    book.load(read.bids, read.asks, 0, read.bids_complete, read.asks_complete)
    assert made.order_checksum(BTC, book) == CHECKSUM
    book.replace("OTCFZG-YOE2Q-000000", 449394, 88968699)  # the same sizes in another order of the queue
    book.commit(1)
    assert made.order_checksum(BTC, book) != CHECKSUM


def test_a_book_of_levels_is_ignored_because_an_order_level_book_cannot_take_it():
    level = {"price": orjson.Fragment("44939.5"), "qty": orjson.Fragment("4.52308393")}
    data = {"symbol": "BTC/USD", "bids": [level], "asks": [level], "checksum": 1}
    for kind in ("snapshot", "update"):
        frame = orjson.dumps({"channel": "book", "type": kind, "data": [data]})
        assert list(codec().decode(frame, RECV_NS)) == [Ignored("book")]


def test_the_recorded_sample_of_the_manual_is_read():
    documented = json.loads((captures("kraken") / "documented.json").read_text())
    (sample,) = [one for one in documented["ws"] if one["name"] == "Spot/IndividualBook"]
    subscribe, answer, book = (step["text"].encode() for step in sample["steps"])
    made = codec()
    made.use_access({"token": "T"})
    ours = orjson.loads(made.subscribe([ETH], 1)[0].frame)
    theirs = orjson.loads(subscribe)
    assert theirs["params"].items() <= ours["params"].items()
    assert made.decode(answer, RECV_NS) == (Subscribed("0 ETH/USDT"),)
    (read,) = made.decode(book, RECV_NS)
    assert isinstance(read, OrderSnapshot)
    assert [order[0] for order in read.bids] == ["O6ZQNQ-BXL4E-5WGINO", "OEP26Y-YAFEF-OFR62B", "OKNAY7-67JRK-AIZ4JO"]
    assert read.bids[1] == ("OEP26Y-YAFEF-OFR62B", 5625, 639019338000, 1696616395056070105)
    assert (read.bids_complete, read.asks_complete) == (True, True)  # two levels, and one
    assert read.checksum == 281817320
    assert made.symbol_of(book) == "ETH/USDT"
    loaded = L3Book(4, 8, window=10)
    loaded.load(read.bids, read.asks, 0, False)
    assert loaded.book.levels(Side.SELL).tolist() == [[5630, 442299783570 + 42000000000 + 49000000000]]


def test_changes_are_read_in_order():
    bids = [row(1, "44930.0 1.0", event="add")]
    asks = [row(2, "44950.0 0.5", event="modify"), row(3, "44960.0 0.5", event="delete")]
    (read,) = codec().decode(message("update", bids, asks, 9), RECV_NS)
    assert isinstance(read, OrderDelta)
    assert list(read.changes) == [
        (ADD, "OTCFZG-YOE2Q-000001", Side.BUY, 449300, 100000000, 1704716799526146327),
        (CHANGE, "OTCFZG-YOE2Q-000002", 50000000),
        (REMOVE, "OTCFZG-YOE2Q-000003"),
    ]
    assert (read.first, read.last, read.checksum) == (0, 0, 9)


@pytest.mark.parametrize(
    "change",
    [
        {"event": "vanish"},
        {"event": "add", "limit_price": 0},
        {"event": "add", "order_qty": -1},
        {"event": "add", "limit_price": orjson.Fragment("44930.01")},
        {"event": "add", "order_id": 5},
        {"event": "add", "timestamp": "noon"},
        {"event": "modify", "order_qty": "much"},
        {"event": "delete", "order_id": None},
    ],
)
def test_what_no_exchange_sends_is_refused(change):
    frame = message("update", [{**row(1, "44930.0 1.0"), **change}], [], 9)
    with pytest.raises(DecodeError):
        codec().decode(frame, RECV_NS)


def test_a_subscription_carries_the_token_and_recordings_do_not():
    made = codec(100)
    made.use_access({"token": "SECRET"})
    (sent,) = made.subscribe([BTC, ETH], 7)
    params = {"channel": "level3", "symbol": ["BTC/USD", "ETH/USDT"], "depth": 100, "token": "SECRET"}
    assert orjson.loads(sent.frame) == {"method": "subscribe", "params": params, "req_id": 7}
    assert [expected.key for expected in sent.expects] == ["7 BTC/USD", "7 ETH/USDT"]
    assert sent.cost == (("level3", 50),)
    assert sent.masked is not None
    assert b"SECRET" not in sent.masked
    assert "SECRET" not in repr(sent)
    (ended,) = made.unsubscribe([BTC], 8)
    assert orjson.loads(ended.frame)["params"]["token"] == "SECRET"
    assert ended.masked is not None
    assert b"SECRET" not in ended.masked


@pytest.mark.parametrize(("depth", "most"), [(10, 40), (100, 8), (1000, 2)])
def test_no_message_costs_more_than_the_limit_of_a_second(depth, most):
    many = [replace(BTC, symbol=f"A{n}/USD") for n in range(most * 2 + 1)]
    sent = codec(depth).subscribe(many, 1)
    assert [len(orjson.loads(one.frame)["params"]["symbol"]) for one in sent] == [most, most, 1]
    assert all(cost <= 200 for one in sent for _, cost in one.cost)


def test_trades_and_states_come_from_the_public_host():
    made = codec()
    assert made.ws_url() == "wss://ws-l3.kraken.com/v2"
    assert made.trades_url() == "wss://ws.kraken.com/v2"
    assert made.opening(1) == []
    assert orjson.loads(made.opening_trades(1)[0].frame)["params"] == {"channel": "instrument"}
    (trades,) = made.subscribe_trades([BTC], 2)
    assert orjson.loads(trades.frame)["params"] == {"channel": "trade", "symbol": ["BTC/USD"], "snapshot": False}


def test_a_refused_token_names_the_pair():
    frame = b'{"error":"EAPI:Invalid token","method":"subscribe","req_id":4,"success":false,"symbol":"BTC/USD"}'
    assert codec().decode(frame, RECV_NS) == (SubscribeRefused("4 BTC/USD", "subscribe", "EAPI:Invalid token"),)


def test_a_refused_message_without_a_pair_is_about_all_its_pairs():
    made = codec()
    made.subscribe([BTC, ETH], 4)
    frame = b'{"error":"EAPI:Invalid token","method":"subscribe","req_id":%d,"success":false}'
    assert made.decode(frame % 4, RECV_NS) == [
        SubscribeRefused("4 BTC/USD", "subscribe", "EAPI:Invalid token"),
        SubscribeRefused("4 ETH/USDT", "subscribe", "EAPI:Invalid token"),
    ]
    assert made.decode(frame % 5, RECV_NS) == (SubscribeRefused(None, "subscribe", "EAPI:Invalid token"),)


def test_a_depth_of_levels_alone_is_refused():
    with pytest.raises(Misconfigured, match="it is one of 10, 100, 1000"):
        codec(25)


def test_other_hosts_must_be_named_together_so_that_no_token_goes_to_the_real_exchange():
    local = {"rest": "http://127.0.0.1:1", "ws": "ws://127.0.0.1:1/ws/v2"}
    for given in (local, {"rest": local["rest"]}, {"ws": local["ws"]}):
        with pytest.raises(Misconfigured, match="name the host of order-level books"):
            ConnectorSettings("kraken", **given).order_level_codec()
    made = ConnectorSettings("kraken", **local, ws_l3="ws://127.0.0.1:1/ws-l3/v2").order_level_codec()
    assert made.ws_url() == "ws://127.0.0.1:1/ws-l3/v2"
    assert made.trades_url() == local["ws"]
