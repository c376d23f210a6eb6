"""Kraken's connector: the suite, its names, states, refusals and options, and its recorded book."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import orjson
import pytest

from tests.fakes.captures import captures
from venuemesh.actors.recording.file import read
from venuemesh.actors.recording.replay import Replay
from venuemesh.conformance import MarketDataConformance
from venuemesh.connectors.kraken import CONNECTOR
from venuemesh.connectors.kraken.refusals import CODES, FAILURES, code_of, error_body
from venuemesh.connectors.market_codec import Expected, SnapshotKey
from venuemesh.connectors.order_codec import Refusal
from venuemesh.model.errors import DecodeError, Misconfigured, OutcomeUnknown, Rejected, RetryLater
from venuemesh.model.events import BookState, Ignored, PublicTrade, Side, Status, Ticker
from venuemesh.model.http import HttpResponse
from venuemesh.model.instrument import TRADING, Instrument

BTC = Instrument("kraken", "BTC-USD", "BTC/USD", "BTC", "USD", 1, 8, aliases=("XBTUSD", "XXBTZUSD"))
ETH = Instrument("kraken", "ETH-USD", "ETH/USD", "ETH", "USD", 2, 8, status="post_only", aliases=("ETHUSD", "XETHZUSD"))


class TestKraken(MarketDataConformance):
    connector = CONNECTOR
    samples = CONNECTOR.samples()


def codec(depth: int = 10, *bound: Instrument):
    made = CONNECTOR.codec(depth=depth)
    made.bind(bound or (BTC, ETH))
    return made


def answer(*errors: str, status: int = 200) -> HttpResponse:
    return HttpResponse(status, {}, orjson.dumps({"error": errors}), 1, 2)


# The recording


def replayed(lose: int | None = None, spoil: int | None = None, depth: int = 10):
    """Replay the recording without its frame `lose`, or with another checksum in its frame `spoil`."""
    run = Replay(CONNECTOR.codec(depth=depth), {BTC.symbol: BTC}, {}, fast=True)
    for number, record in enumerate(read(captures("kraken") / "book_v2.jsonl.gz")):
        if number == spoil:
            frame = json.loads(record.raw)
            frame["data"][0]["checksum"] ^= 1
            record = replace(record, raw=json.dumps(frame).encode())
        if number != lose:
            run.feed("book_v2", record)
    ((_, found),) = run.result().items()
    return run.ingest.pairs[BTC.symbol], found


def test_the_recording_ends_exactly_as_stated():
    pair, found = replayed()
    stated = json.loads((captures("kraken") / "expected.json").read_text())["book_v2.jsonl.gz BTC/USD"]["book"]
    book = found["book"] | {"snapshots": pair.machine.counters.snapshots}
    assert {key: book[key] for key in stated} == stated
    assert found["state"] == "LIVE"
    assert (pair.book.proven_bids, pair.book.proven_asks) == (pair.book.n_bids, pair.book.n_asks)


@pytest.mark.parametrize("changes", [{"lose": 100}, {"spoil": 100}, {"spoil": 0}, {"depth": 1000}])
def test_a_lost_frame_a_wrong_checksum_and_an_uncut_window_are_noticed(changes):
    pair, found = replayed(**changes)
    assert found["book"]["checksum_bad"] > 0 or pair.machine.counters.applied == 0
    assert pair.machine.state is not BookState.LIVE


# Names


def test_every_listed_name_maps_both_ways():
    with gzip.open(captures("kraken") / "instruments.jsonl.gz", "rt") as recorded:
        body = json.loads(recorded.readline())["raw"].encode()
    made = CONNECTOR.codec()
    listed = {instrument.aliases[1]: instrument for instrument in made.instruments(body)}
    listed_pairs = json.loads(body)["result"]
    assert len(listed) == len(listed_pairs) > 100
    for key, pair in listed_pairs.items():
        found = listed[key]
        new = pair["wsname"].replace("XBT", "BTC").replace("XDG", "DOGE")
        assert (found.symbol, found.name) == (new, new.replace("/", "-"))
        assert (found.base, found.quote) == tuple(new.split("/"))
        assert found.aliases == (pair["altname"], key)
        assert (found.price_scale, found.size_scale) == (pair["pair_decimals"], pair["lot_decimals"])
        assert Instrument.from_dict(found.to_dict()) == found
        request = made.snapshot_request(found, 25)
        assert request.url == f"https://api.kraken.com/0/public/Depth?pair={pair['altname']}&count=25"
        assert made.recognise(request.url) == SnapshotKey(new, 25)
        assert made.recognise(request.url.replace(pair["altname"], key)) == SnapshotKey(new, 25)
    assert len({instrument.symbol for instrument in listed.values()}) == len(listed)


def test_pairs_without_a_websocket_name_are_left_out_and_states_are_read():
    row = {"altname": "XBTUSD", "wsname": "XBT/USD", "pair_decimals": 1, "lot_decimals": 8}
    pairs = {"A": row, "B": {**row, "wsname": "ETH/USD", "status": "cancel_only"}, "C": {"altname": "XBTUSD.d"}}
    found = CONNECTOR.codec().instruments(orjson.dumps({"error": [], "result": pairs}))
    assert [(one.name, one.status, one.is_trading) for one in found] == [
        ("BTC-USD", TRADING, True),
        ("ETH-USD", "cancel_only", False),
    ]


def test_an_unreadable_row_and_a_second_symbol_of_a_pair_do_not_affect_other_pairs():
    row = {"altname": "XBTUSD", "wsname": "XBT/USD", "pair_decimals": 1, "lot_decimals": 8}
    odd = {**row, "wsname": "ETH/USD", "pair_decimals": None}
    found = CONNECTOR.codec().instruments(orjson.dumps({"error": [], "result": {"A": row, "B": row, "C": odd}}))
    assert [one.name for one in found] == ["BTC-USD"]
    assert [(one.name, one.is_unreadable) for one in found.left_out] == [("C", True), ("BTC/USD", False)]


# Requests and options


@pytest.mark.parametrize("depth", [10, 25, 100, 500, 1000])
def test_the_depth_is_requested_and_is_the_window(depth):
    made = codec(depth)
    assert made.spec.book.window == depth
    book, trade = made.subscribe([BTC, ETH], 7)
    assert orjson.loads(book.frame) == {
        "method": "subscribe",
        "params": {"channel": "book", "symbol": ["BTC/USD", "ETH/USD"], "depth": depth},
        "req_id": 7,
    }
    assert orjson.loads(trade.frame)["params"] == {
        "channel": "trade",
        "symbol": ["BTC/USD", "ETH/USD"],
        "snapshot": False,
    }
    assert trade.expects == (Expected("8 BTC/USD", ("BTC/USD",)), Expected("8 ETH/USD", ("ETH/USD",)))
    (first,) = made.opening(3)
    assert orjson.loads(first.frame) == {"method": "subscribe", "params": {"channel": "instrument"}, "req_id": 3}


@pytest.mark.parametrize("depth", [11, 0, "10", True])
def test_another_depth_is_refused(depth):
    with pytest.raises(Misconfigured, match="depth"):
        CONNECTOR.codec(depth=depth)


# States


def instrument_channel(**states: str) -> bytes:
    pairs = [{"symbol": symbol.replace("_", "/"), "status": state} for symbol, state in states.items()]
    return orjson.dumps({"channel": "instrument", "type": "update", "data": {"assets": [], "pairs": pairs}})


def system(state: str) -> bytes:
    return orjson.dumps({"channel": "status", "type": "update", "data": [{"system": state, "api_version": "v2"}]})


STATES = ("cancel_only", "delisted", "limit_only", "maintenance", "post_only", "reduce_only", "work_in_progress")


@pytest.mark.parametrize("state", STATES)
def test_a_pair_trades_while_it_is_online(state):
    made = codec()
    assert made.decode(instrument_channel(BTC_USD=state), 1) == [Status("BTC/USD", False, state)]
    assert made.decode(instrument_channel(BTC_USD="online"), 1) == [Status("BTC/USD", True, "online")]
    assert made.decode(instrument_channel(XRP_USD=state), 1) == (Ignored("instrument"),)


@pytest.mark.parametrize("state", ["cancel_only", "maintenance", "post_only"])
def test_the_exchange_halts_all_pairs_and_each_has_its_own_state_afterwards(state):
    made = codec()
    listed = [Status("BTC/USD", True, "online"), Status("ETH/USD", False, "post_only")]
    assert made.decode(system("online"), 1) == listed
    assert made.decode(system(state), 1) == [Status("BTC/USD", False, state), Status("ETH/USD", False, state)]
    assert made.decode(instrument_channel(ETH_USD="online", BTC_USD="limit_only"), 1) == [
        Status("ETH/USD", False, state),
        Status("BTC/USD", False, state),
    ]
    assert made.decode(system("online"), 1) == [
        Status("BTC/USD", False, "limit_only"),
        Status("ETH/USD", True, "online"),
    ]


# Messages


def test_several_trades_come_in_one_message():
    rows = ",".join(
        f'{{"symbol":"BTC/USD","side":"{side}","price":30243.{part}0000,"qty":0.00376960,"ord_type":"limit",'
        f'"trade_id":{number},"timestamp":"2023-07-06T18:19:57.827736Z"}}'
        for side, part, number in (("buy", 4, 61044952), ("sell", 3, 61044953))
    )
    found = codec().decode(f'{{"channel":"trade","type":"snapshot","data":[{rows}]}}'.encode(), 9)
    time_ns = 1_688_667_597_827_736_000
    assert found == [
        PublicTrade("BTC/USD", 61044952, 302434, 376960, Side.BUY, time_ns, 9),
        PublicTrade("BTC/USD", 61044953, 302433, 376960, Side.SELL, time_ns, 9),
    ]


def test_a_ticker_has_the_best_bid_and_ask_and_an_empty_side_is_none():
    row = b'{"symbol":"BTC/USD","bid":30243.3,"bid_qty":1.50000000,"ask":0.0,"ask_qty":0.00000000,"last":1.0}'
    frame = b'{"channel":"ticker","type":"update","data":[%s]}' % row
    assert codec().decode(frame, 9) == (Ticker("BTC/USD", 0, (302433, 150_000_000), None, 9),)
    assert codec().symbol_of(frame) == "BTC/USD"


@pytest.mark.parametrize(
    "frame",
    [
        b"[]",
        b"{}",
        b"7",
        b'{"channel":"book","type":"rumour","data":[]}',
        b'{"channel":"book","type":"update","data":[]}',
        b'{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":"1.0","qty":"1.0"}],"asks":[]}]}',
        b'{"channel":"instrument","type":"update","data":{"pairs":[{"symbol":"BTC/USD"}]}}',
        b'{"method":"subscribe","success":"yes"}',
    ],
)
def test_what_is_no_message_of_the_manual_is_a_decode_error(frame):
    with pytest.raises(DecodeError):
        codec().decode(frame, 1)


# Refusals


@pytest.mark.parametrize(
    ("text", "sort"),
    [
        ("EAPI:Rate limit exceeded", Refusal.BUSY),
        ("EService: Throttled: 1669114062", Refusal.BUSY),
        ("EService:Throttled: 1669114062", Refusal.BUSY),
        ("EOrder:Insufficient funds", Refusal.REJECTED),
        ("EGeneral:Invalid arguments:volume", Refusal.REJECTED),
        ("EOrder:Reduce only:No position exists", Refusal.REJECTED),
        ("EBM:limit exceeded:CAL", Refusal.REJECTED),
        ("EGeneral:Internal error", Refusal.UNKNOWN),
        ("EGeneral:Internal error:1749063842", Refusal.UNKNOWN),
        ("EService:Unavailable", Refusal.UNKNOWN),
        ("EService:Market in cancel_only mode", Refusal.REJECTED),
        ("EService:Deadline elapsed", Refusal.CLOCK),
        ("EAPI:Invalid nonce", Refusal.NONCE),
        ("EAPI:Invalid key", Refusal.KEY),
        ("EOrder:Invalid order", Refusal.NOT_THERE),
        ("EOrder:Invented next year", Refusal.UNKNOWN),
        ("no code at all", Refusal.UNKNOWN),
    ],
)
def test_what_an_error_means(text, sort):
    error = error_body(orjson.dumps({"error": [text]}))
    assert error is not None
    assert error.reason == text
    assert FAILURES.refusal(error.code, error.reason) is sort


def test_every_known_error_is_classified():
    known = json.loads((captures("kraken") / "errors.json").read_text())
    for text in known["exact_code_or_text"]:
        assert code_of(text) in CODES
    for part in known["text_contains"]:
        assert any(part in code for code in CODES)


@pytest.mark.parametrize(
    ("response", "of_a_read", "of_a_change"),
    [
        (answer(), type(None), type(None)),
        (answer("WGeneral:Danger"), type(None), type(None)),
        (answer("EQuery:Unknown asset pair"), Rejected, Rejected),
        (answer("WGeneral:Danger", "EOrder:Insufficient funds"), Rejected, Rejected),
        (answer("EService:Busy"), RetryLater, OutcomeUnknown),
        (answer("EAPI:Invalid key"), Misconfigured, Misconfigured),
        (answer("EAPI:Rate limit exceeded"), RetryLater, RetryLater),
        (answer("EOrder:Insufficient funds", status=502), RetryLater, OutcomeUnknown),
    ],
)
def test_errors_inside_an_answer_with_status_200(response, of_a_read, of_a_change):
    assert type(FAILURES.failure(response, False, "x")) is of_a_read
    assert type(FAILURES.failure(response, True, "x")) is of_a_change
    seen = CONNECTOR.codec().failure(response)
    assert type(seen) is (Rejected if of_a_read is Misconfigured else of_a_read)
