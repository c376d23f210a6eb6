"""Bybit's market data beyond the conformance suite: options, pages, restarts, batches, refusals."""

from __future__ import annotations

import json
from dataclasses import replace

import orjson
import pytest

from tests.fakes.captures import captures
from venuemesh.actors.recording.file import read
from venuemesh.actors.recording.replay import Replay
from venuemesh.connectors.bybit import CONNECTOR, SISTERS
from venuemesh.connectors.bybit.refusals import CODES, FAILURES
from venuemesh.connectors.bybit.samples import SAMPLES, UUID
from venuemesh.connectors.order_codec import Refusal as R
from venuemesh.connectors.settings import ConnectorSettings
from venuemesh.connectors.spec import BookSource, Proof
from venuemesh.model.errors import DecodeError, Misconfigured, Rejected, RetryLater
from venuemesh.model.events import BookState, DepthDelta, DepthSnapshot, Ignored, Subscribed
from venuemesh.model.http import HttpResponse
from venuemesh.model.instrument import Instrument

XRP = Instrument("bybit", "XRP-USDT", "XRPUSDT", "XRP", "USDT", 4, 0)
BOOKS = "orderbook_500.jsonl.gz"


def codec(**options):
    made = CONNECTOR.codec(**options)
    made.bind(made.instruments(SAMPLES.instruments))
    return made


def book(kind: str = "delta", update: int = 7, topic: str = "orderbook.50.BTCUSDT", **data) -> bytes:
    body = {"s": "BTCUSDT", "b": [["100", "1"]], "a": [["101", "0"]], "u": update, "seq": 9, **data}
    return orjson.dumps({"topic": topic, "ts": 1000, "type": kind, "data": body, "cts": 998})


# ------------------------------------------------------------------------------------------------- recorded frames


def replayed(lose: int | None = None, restart_at: int | None = None) -> tuple[Replay, dict]:
    """Replay the recording of 500 levels at the next larger depth, because today's manual has no topic of 500.

    `lose` leaves a frame out. At the frame `restart_at` the first frame, a snapshot, comes again with `u` = 1.
    """
    run = Replay(CONNECTOR.codec(depth=1000), {"XRPUSDT": XRP}, {}, fast=False)
    records = list(read(captures("bybit") / BOOKS))
    for number, record in enumerate(records):
        if number == restart_at:
            message = json.loads(records[0].raw)
            message["type"], message["data"]["u"] = "delta", 1  # with a wrong type
            run.feed(BOOKS, replace(record, raw=orjson.dumps(message)))
        if number != lose:
            run.feed(BOOKS, record)
    expected = json.loads((captures("bybit") / "expected.json").read_text())[f"{BOOKS} XRPUSDT"]["book"]
    return run, expected


def test_the_recording_ends_as_stated():
    run, expected = replayed()
    ((symbol, found),) = run.result().items()
    book = found["book"] | {"snapshots": run.ingest.pairs[symbol].machine.counters.snapshots}
    stated = {key: value for key, value in expected.items() if key not in ("last_seq", "seq_went_back")}
    assert {key: book[key] for key in stated} == stated
    assert found["state"] == "LIVE"
    held = run.ingest.pairs[symbol].book
    assert (held.proven_bids, held.proven_asks) == (500, 500)


def test_a_lost_frame_of_the_recording_is_noticed():
    run, _ = replayed(lose=10)
    (pair,) = run.ingest.pairs.values()
    assert pair.machine.state is BookState.GAP


def test_a_restart_in_the_recording_replaces_the_book():
    """The deltas before the restart do not follow the book after it."""
    run, _ = replayed(restart_at=25 - 1)
    (pair,) = run.ingest.pairs.values()
    assert pair.machine.counters.snapshots == 2
    assert pair.machine.state is BookState.GAP


# ------------------------------------------------------------------------------------------------------- messages


def test_u_1_is_a_whole_book_with_any_type():
    (event,) = codec().decode(book("delta", 1), 5)
    assert isinstance(event, DepthSnapshot)
    assert (event.sequence, event.ts_event_ns, event.ts_recv_ns) == (1, 998_000_000, 5)
    (event,) = codec().decode(book("delta", 2), 5)
    assert isinstance(event, DepthDelta)


def test_a_side_with_fewer_levels_than_the_depth_is_complete():
    (event,) = codec().decode(book("snapshot"), 5)
    assert (event.bids_complete, event.asks_complete) == (True, True)
    rows = [[f"{100 + at}", "1"] for at in range(50)]
    (event,) = codec().decode(book("snapshot", a=rows), 5)
    assert (event.bids_complete, event.asks_complete) == (True, False)


@pytest.mark.parametrize(
    "frame",
    [
        book("update"),
        book(s="ETHBTC"),
        book(u="7"),
        book(u=-1),
        book(b=[["100"]]),
        book(b=[[100, "1"]]),
        book(topic="orderbook.deep.BTCUSDT"),
        b'{"topic":"publicTrade.BTCUSDT","data":[{"s":"ETHBTC"}]}',
        b'{"success":true}',
        b"[]",
        b"pong",
    ],
)
def test_unreadable_input_is_an_error(frame):
    with pytest.raises(DecodeError):
        codec().decode(frame, 5)


def test_several_trades_in_one_message():
    """Ids are UUIDs; `id_text` keeps them."""
    rows = [
        {"i": UUID, "T": 2000, "p": "16578.50", "v": "0.001", "S": "Buy", "s": "BTCUSDT", "BT": False},
        {"i": "20f43950-d8dd-5b31-9112-a178eb6023b0", "T": 2001, "p": "1", "v": "2", "S": "Sell", "s": "BTCUSDT"},
    ]
    first, second = codec().decode(orjson.dumps({"topic": "publicTrade.BTCUSDT", "data": rows}), 5)
    assert (first.id_text, second.ts_event_ns) == (UUID, 2_001_000_000)
    assert first.trade_id != second.trade_id
    assert codec().decode(b'{"topic":"publicTrade.BTCUSDT","data":[]}', 5) == (Ignored("publicTrade"),)


def test_subscriptions_have_at_most_ten_args_and_separate_keys():
    made = codec(depth=1000)
    pairs = made.instruments(SAMPLES.instruments) * 3
    sent = made.subscribe(pairs, 40)
    frames = [json.loads(message.frame) for message in sent]
    assert [len(frame["args"]) for frame in frames] == [10, 10, 4]
    assert [frame["req_id"] for frame in frames] == ["40", "41", "42"]
    assert [expected.key for message in sent for expected in message.expects] == ["40", "41", "42"]
    assert frames[0]["args"][:2] == ["orderbook.1000.BTCUSDT", "publicTrade.BTCUSDT"]
    assert json.loads(made.unsubscribe(pairs[:1], 7)[0].frame)["op"] == "unsubscribe"
    assert made.decode(b'{"success":true,"ret_msg":"","req_id":"41","op":"subscribe"}', 5) == (Subscribed("41"),)
    assert json.loads(made.spec.keepalive.frame) == {"op": "ping"}


def test_at_depth_1_each_frame_is_a_book():
    made = codec(depth=1)
    assert (made.spec.book.source, made.spec.book.proof) == (BookSource.EVERY_FRAME, Proof.CONNECTION)
    (event,) = made.decode(book("snapshot", topic="orderbook.1.BTCUSDT"), 5)
    assert isinstance(event, DepthSnapshot)
    assert event.sequence == 0
    assert not event.bids_complete
    assert codec(depth=200).spec.book.window == 200


def test_sisters_and_the_testnet():
    assert codec().ws_url() == "wss://stream.bybit.com/v5/public/spot"
    assert SISTERS.bybitkz.codec().ws_url() == "wss://stream.bybit.kz/v5/public/spot"
    assert SISTERS.bybitnl.codec().ws_url() == "wss://stream.bybit.com/v5/public/spot"
    assert SISTERS.bybitnl.codec().time_request().url == "https://api.bybit.nl/v5/market/time"
    test = codec(environment="testnet")
    assert test.ws_url() == "wss://stream-testnet.bybit.com/v5/public/spot"
    assert test.time_request().url == "https://api-testnet.bybit.com/v5/market/time"
    assert SISTERS.bybitkz.codec(ws="ws://here").ws_url() == "ws://here/v5/public/spot"
    for options in ({"depth": 500}, {"environment": "moon"}):
        with pytest.raises(Misconfigured):
            codec(**options)
    with pytest.raises(Misconfigured, match="environment"):
        SISTERS.bybitkz.codec(environment="testnet")


def test_options_of_a_configuration_reach_the_codec():
    made = ConnectorSettings("bybit", environment="testnet", options={"depth": 200}).market_codec()
    assert made.ws_url().startswith("wss://stream-testnet.bybit.com/")
    assert made.spec.book.window == 200
    with pytest.raises(Misconfigured):
        ConnectorSettings("bybit", options={"depth": 100}).market_codec()


def test_instruments_have_exact_scales_and_their_status():
    listed = {one.name: one for one in codec().instruments(SAMPLES.instruments)}
    assert listed["PEPE-USDT"].price_scale == 10
    assert listed["BTC-USDT"].price_scale == 8
    assert [name for name, one in listed.items() if not one.is_trading] == ["NEW-USDT"]
    assert listed["NEW-USDT"].status == "PreLaunch"
    assert str(listed["BTC-USDT"].min_notional) == "5"
    assert listed["BTC-USDT"].min_size is None  # deprecated: "no longer check minOrderQty"


def test_a_list_of_several_pages_is_not_taken_for_the_whole():
    body = json.loads(SAMPLES.instruments)
    body["result"]["nextPageCursor"] = "abc"
    with pytest.raises(DecodeError, match="one page of several"):
        codec().instruments(orjson.dumps(body))


def test_documented_messages_are_read():
    """The messages are another project's samples from the manual."""
    found = json.loads((captures("bybit") / "documented.json").read_text())
    bodies = {row["path"]: row["response_text"].encode() for row in found["rest"]}
    (btc,) = [one for one in codec().instruments(bodies["/v5/market/instruments-info"]) if one.name == "BTC-USDT"]
    assert btc.is_trading
    snapshot = codec().snapshot(btc, bodies["/v5/market/orderbook"], 1, 5)
    assert (snapshot.sequence, snapshot.bids_complete) == (243781, False)
    made = codec()
    for row in found["ws"]:
        if row["name"].startswith("V5/Spot/") or row["name"] == "V5/Linear/Trades":
            for step in row["steps"]:
                if step["dir"] == "recv":
                    assert made.decode(step["text"].encode(), 5)


# ------------------------------------------------------------------------------------------------------- refusals


def typed(status: int, code: int | None = None, reason: str = "x") -> Exception | None:
    body = b"" if code is None else orjson.dumps({"retCode": code, "retMsg": reason, "result": {}, "time": 1})
    return codec().failure(HttpResponse(status, {}, body, 1, 2))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (typed(200, 0, "OK"), None),
        (typed(200, 10001), Rejected),
        (typed(200, 170121), Rejected),
        (typed(200, 10006), RetryLater),
        (typed(200, 10016), RetryLater),
        (typed(200, 10000), RetryLater),
        (typed(403), RetryLater),
        (typed(429), RetryLater),
        (typed(404), Rejected),
        (typed(500), RetryLater),
        (typed(503, 0), RetryLater),
    ],
)
def test_public_answers(error, kind):
    assert type(error) is (kind or type(None))


def test_a_ban_lasts_ten_minutes():
    assert typed(403).after_s == 600.0


# How another client sorts the same codes, and what it means here
KINDS = {
    "AuthenticationError": {R.KEY},
    "PermissionDenied": {R.KEY, R.REJECTED},
    "RateLimitExceeded": {R.BUSY},
    "OrderNotFound": {R.NOT_THERE},
    "RequestTimeout": {R.UNKNOWN},
}
# Where we differ on purpose
DIFFERENT = {
    "170005": "too many new orders: not served",
    "170121": "the pair is not listed, or no longer: its orders are settled from the exchange's record",
    "170141": "a duplicate is there already",
    "170142": "cancelled already: query it",
    "170143": "not on the book: query it",
    "170032": "a network error between the exchange's services: the outcome of the request is unknown",
    "110010": "cancelled already: query it",
    "110072": "a duplicate is there already",
}


def test_every_code_that_another_client_knows_is_sorted():
    recorded = json.loads((captures("bybit") / "errors.json").read_text())["exact_code_or_text"]
    listed = {code: kind for code, kind in recorded.items() if code in CODES}
    different = {code for code, kind in listed.items() if FAILURES.refusal(code) not in KINDS.get(kind, {R.REJECTED})}
    assert different == set(DIFFERENT)
    assert {FAILURES.refusal(code) for code in recorded.keys() - listed.keys()} == {R.UNKNOWN}
    assert len(recorded) > 200


def test_no_code_that_is_not_in_the_manual_is_harmless():
    """An unlisted code may mean anything: it never means "not served", "not there" or an explicit refusal."""
    assert FAILURES.refusal("999999") is R.UNKNOWN
    assert {FAILURES.refusal(code) for code in CODES} == set(R) - {R.NONCE}  # its requests have no nonces
