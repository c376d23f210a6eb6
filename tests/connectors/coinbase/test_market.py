"""Coinbase Exchange's market data beyond the conformance suite: recordings, requests, states, refusals."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import orjson
import pytest

from tests.fakes.captures import captures
from venuemesh.actors.recording.file import read
from venuemesh.actors.recording.replay import Replay
from venuemesh.connectors.coinbase import CONNECTOR
from venuemesh.connectors.coinbase.refusals import FAILURES, code_of, error_body, limit_answer
from venuemesh.connectors.coinbase.samples import SAMPLES
from venuemesh.connectors.limit_answers import Hit
from venuemesh.connectors.market_codec import Expected, SnapshotKey
from venuemesh.connectors.order_codec import Refusal
from venuemesh.model.errors import DecodeError, Misconfigured, OutcomeUnknown, Rejected, RetryLater
from venuemesh.model.events import DepthDelta, Ignored, PublicTrade, Side, Status, Subscribed, SubscribeRefused
from venuemesh.model.http import HttpResponse
from venuemesh.model.instrument import TRADING, Instrument
from venuemesh.model.time import SECOND_NS

SYMBOLS = ("SKL-BTC", "BAND-BTC", "CRV-EUR", "NMR-EUR", "NU-GBP")


def codec(**options: Any):
    made = CONNECTOR.codec(**options)
    made.bind(made.instruments(SAMPLES.instruments))
    return made


def decoded(message: Any) -> Any:
    return codec().decode(orjson.dumps(message), 7)


# ------------------------------------------------------------------------------------------------- recorded frames


def listed() -> dict[str, Instrument]:
    """The recorded list of products."""
    (body,) = [record.raw for record in read(captures("coinbase") / "instruments.jsonl.gz")]
    return {one.symbol: one for one in CONNECTOR.codec().instruments(body)}


def plain(rows: list[list[str]]) -> list[list[Decimal]]:
    return [[Decimal(field) for field in row] for row in rows]


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_recording_ends_as_stated(symbol: str, fast: bool) -> None:
    instrument = listed()[symbol]
    run = Replay(CONNECTOR.codec(), {symbol: instrument}, {}, fast=fast)
    equal = 0
    for record in read(captures("coinbase") / "market.jsonl.gz"):
        run.feed("market.jsonl.gz", record)
        message = orjson.loads(record.raw) if record.kind == "recv" else {}
        if message.get("type") == "ticker" and message["product_id"] == symbol:
            book = run.ingest.pairs[symbol].book
            best = [instrument.price(int(book.levels(side, 1)[0][0])) for side in Side]
            equal += best == [Decimal(message[name]) for name in ("best_bid", "best_ask")]
    found = run.result()[symbol]
    stated = json.loads((captures("coinbase") / "expected.json").read_text())[f"market.jsonl.gz {symbol}"]
    book, wanted = found["book"], stated["book"]
    for side in ("bids", "asks"):
        assert plain(book[side]) == plain(wanted[side])
    for key in ("applied", "n_bids", "n_asks", "crossed_after"):
        assert book[key] == wanted[key], key
    assert equal == wanted["tickers_equal_to_book"]
    assert (book["gaps"], found["state"]) == (0, "LIVE")
    assert found["trades"]["count"] == stated["trades"]["count"]
    for end in ("first", "last"):
        ((number, price, size, side),) = found["trades"][end]
        wanted_number, wanted_price, wanted_size, wanted_side = stated["trades"][end][0]
        assert (number, side, *plain([[price, size]])[0]) == (
            wanted_number, wanted_side, Decimal(wanted_price), Decimal(wanted_size)
        )  # fmt: skip
    rules = stated["rules"]
    assert (instrument.price_increment, instrument.size_increment, instrument.min_size, instrument.min_notional) == (
        Decimal(rules["price_step"]), Decimal(rules["size_step"]), Decimal(rules["min_size"]),
        Decimal(rules["min_notional"]),
    )  # fmt: skip


def test_trades_of_the_recording_are_numbered_by_one() -> None:
    """`ExchangeSpec.contiguous_trade_ids`: a missing number is a lost trade."""
    numbers: dict[str, list[int]] = {}
    for record in read(captures("coinbase") / "market.jsonl.gz"):
        message = orjson.loads(record.raw) if record.kind == "recv" else {}
        if message.get("type") in ("match", "last_match"):
            numbers.setdefault(message["product_id"], []).append(message["trade_id"])
    assert set(numbers) == set(SYMBOLS)
    for found in numbers.values():
        assert found == list(range(found[0], found[0] + len(found)))


def test_every_recorded_product_has_one_name_and_symbol_both_ways() -> None:
    (body,) = [record.raw for record in read(captures("coinbase") / "instruments.jsonl.gz")]
    rows = {row["id"]: row for row in json.loads(body)}
    found = listed()
    assert len(found) == len(rows) == len({one.name for one in found.values()})
    for symbol, one in found.items():
        row = rows[symbol]
        assert one.name == f"{row['base_currency']}-{row['quote_currency']}" == symbol
        assert one.is_trading == (
            row["status"] == "online" and not any(row[f"{word}_only"] for word in ("post", "limit", "cancel"))
            and not row["trading_disabled"]
        )  # fmt: skip
        one.price_raw(row["quote_increment"])
        for size in (row["base_increment"], row["base_min_size"], row["base_max_size"]):
            one.size_raw(size)


def test_the_recorded_answers_confirm_all_subscriptions_of_the_connection() -> None:
    answers = [
        orjson.loads(record.raw) for record in read(captures("coinbase") / "session.jsonl.gz") if record.kind == "recv"
    ]
    last = set(codec().decode(orjson.dumps(answers[-1]), 1))
    assert {Subscribed(f"matches:{symbol}") for symbol in SYMBOLS} <= last
    assert len(answers) == 3
    assert len(last) == 30


# -------------------------------------------------------------------------------------------------------- requests


def test_hosts_of_the_exchange_and_its_sandbox() -> None:
    real, sandbox = codec(), codec(environment="sandbox")
    assert real.instruments_request().url == "https://api.exchange.coinbase.com/products"
    assert real.ws_url() == "wss://ws-feed.exchange.coinbase.com"
    assert sandbox.time_request().url == "https://api-public.sandbox.exchange.coinbase.com/time"
    assert sandbox.ws_url() == "wss://ws-feed-public.sandbox.exchange.coinbase.com"
    with pytest.raises(Misconfigured, match="not one of real, sandbox"):
        codec(environment="testnet")


def test_each_product_has_its_own_message_so_that_a_refusal_is_about_it_alone() -> None:
    btc, eth = (one for one in codec().instruments(SAMPLES.instruments) if one.name in ("BTC-USD", "ETH-BTC"))
    first, second = codec().subscribe([btc, eth, btc], 1512)
    assert json.loads(first.frame) == {
        "type": "subscribe", "product_ids": ["BTC-USD"], "channels": ["level2_batch", "matches", "heartbeat"]
    }  # fmt: skip
    assert Expected("level2_batch:ETH-BTC", ("ETH-BTC",)) in second.expects
    assert len(second.expects) == 3
    (ended,) = codec().unsubscribe([btc], 1)
    assert json.loads(ended.frame)["type"] == "unsubscribe"
    (opening,) = codec().opening(1)
    assert json.loads(opening.frame) == {"type": "subscribe", "channels": [{"name": "status"}]}
    reason = "FOO-BAR is not a valid product"
    (refused,) = decoded({"type": "error", "message": "Failed to subscribe", "reason": reason})
    assert refused == SubscribeRefused("level2_batch:FOO-BAR", "Failed to subscribe", reason)


def test_requests_of_a_product_are_recognised() -> None:
    made, (btc, *_) = codec(), codec().instruments(SAMPLES.instruments)
    book = made.snapshot_request(btc, 50)
    assert book.url == "https://api.exchange.coinbase.com/products/BTC-USD/book?level=2"
    assert made.recognise(book.url) == SnapshotKey("BTC-USD", CONNECTOR.spec.max_snapshot)
    day = 1659571200 * SECOND_NS
    candles = made.candles_request(btc, "5m", day, day + 300 * 300 * SECOND_NS, day)
    assert candles.url.endswith(
        "/products/BTC-USD/candles?granularity=300&start=2022-08-04T00%3A00%3A00.000Z&end=2022-08-05T00%3A59%3A59.000Z"
    )
    assert made.recognise(candles.url) == "candles"
    assert made.recognise(made.tickers_request().url) == "tickers"


def test_a_book_over_rest_is_cut_to_the_requested_levels() -> None:
    made, (btc, *_) = codec(), codec().instruments(SAMPLES.instruments)
    whole, cut = (made.snapshot(btc, SAMPLES.rest_book, limit, 7) for limit in (100, 2))
    assert (len(whole.bids), whole.bids_complete, whole.sequence) == (3, True, 13051505638)
    assert (len(cut.bids), cut.bids_complete, len(cut.asks), cut.asks_complete) == (2, False, 2, False)


# -------------------------------------------------------------------------------------------------------- messages


def test_the_list_and_the_channel_state_what_restricts_a_product() -> None:
    states = {one.name: one.status for one in codec().instruments(SAMPLES.instruments)}
    assert states == {
        "BTC-USD": TRADING, "ETH-BTC": TRADING, "PEPE-USD": TRADING, "OLD-USD": "cancel_only", "NEW-USD": "offline"
    }  # fmt: skip
    row = orjson.loads(SAMPLES.instruments)[0]
    other = {**row, "id": "ELSE-USD"}
    assert decoded({"type": "status", "products": [{**row, "limit_only": True}, other], "currencies": []}) == [
        Status("BTC-USD", False, "limit_only")
    ]
    assert decoded({"type": "status", "products": [row]}) == [Status("BTC-USD", True, TRADING)]
    assert decoded({"type": "status", "products": [other]}) == (Ignored("status"),)


@pytest.mark.parametrize(
    "change",
    [
        {"changes": [["buy", "1.5"]]},
        {"changes": [["bid", "1.5", "2"]]},
        {"changes": [["buy", 1.5, "2"]]},
        {"changes": None},
        {"time": 5},
        {"time": "2022-08-04 15:25:05"},
    ],
)
def test_an_update_that_the_manual_does_not_have_is_refused(change: dict[str, Any]) -> None:
    message = {"type": "l2update", "product_id": "BTC-USD", "changes": [["sell", "1.5", "2"]]}
    message["time"] = "2022-08-04T15:25:05.010758Z"
    (delta,) = decoded(message)
    assert isinstance(delta, DepthDelta)
    assert (delta.first, delta.last, delta.bids.tolist(), delta.asks.tolist()) == (0, 0, [], [[150000000, 200000000]])
    with pytest.raises(DecodeError):
        decoded(message | change)


def test_the_side_of_a_match_is_the_makers() -> None:
    (trade,) = codec().decode(SAMPLES.trades[0].frame, 7)
    assert isinstance(trade, PublicTrade)
    assert b'"side":"sell"' in SAMPLES.trades[0].frame
    assert trade.side is Side.BUY


def test_sizes_of_coins_with_large_steps_fit() -> None:
    (pepe,) = (one for one in codec().instruments(SAMPLES.instruments) if one.name == "PEPE-USD")
    assert pepe.size_raw("90000000000000.5") > 0
    with pytest.raises(DecodeError):
        codec().candles(pepe, "1h", HttpResponse(200, {}, b"[[1,1e999,2,1,1,1]]", 1, 2))


# -------------------------------------------------------------------------------------------------------- failures


def answer(status: int, message: str) -> HttpResponse:
    return HttpResponse(status, {}, orjson.dumps({"message": message}), 1, 2)


@pytest.mark.parametrize(
    ("response", "of_a_change", "of_public_data"),
    [
        (HttpResponse(200, {}, b"{}", 1, 2), type(None), type(None)),
        (answer(400, "Insufficient funds"), Rejected, Rejected),
        (answer(404, "NotFound"), Rejected, Rejected),
        (answer(429, "Private rate limit exceeded"), RetryLater, RetryLater),
        (answer(401, "invalid signature"), Misconfigured, Rejected),
        (answer(401, "Invalid API Key"), Misconfigured, Rejected),
        (answer(400, "request timestamp expired"), Rejected, Rejected),
        (answer(500, "Internal server error"), OutcomeUnknown, RetryLater),
        (HttpResponse(502, {}, b"<html>", 1, 2), OutcomeUnknown, RetryLater),
        (HttpResponse(403, {}, b"<html>", 1, 2), OutcomeUnknown, Rejected),
    ],
)
def test_what_an_answer_means(response: HttpResponse, of_a_change: type, of_public_data: type) -> None:
    assert type(FAILURES.failure(response, True, "x")) is of_a_change
    assert type(codec().failure(response)) is of_public_data


@pytest.mark.parametrize(
    ("text", "sort"),
    [
        ("NotFound", Refusal.NOT_THERE),
        ("order not found", Refusal.NOT_THERE),
        ("Order already done", Refusal.NOT_THERE),
        ("Product not found", Refusal.NO_PAIR),
        ("request timestamp expired", Refusal.CLOCK),
        ("Invalid Passphrase", Refusal.KEY),
        ("Private rate limit exceeded", Refusal.BUSY),
        ("size is too small. Minimum size is 0.001", Refusal.REJECTED),
    ],
)
def test_texts_are_classified_by_their_beginning(text: str, sort: Refusal) -> None:
    assert FAILURES.refusal(code_of(text), text) is sort


def test_the_captured_text_of_an_old_timestamp_is_known() -> None:
    """The table of errors.json is Advanced Trade's, apart from this text."""
    stated = json.loads((captures("coinbase") / "errors.json").read_text())["text_contains"]
    assert stated["request timestamp expired"] == "InvalidNonce"
    assert FAILURES.refusal(code_of("request timestamp expired")) is Refusal.CLOCK


@pytest.mark.parametrize("body", [b"", b"[]", b'"x"', b'{"message":1}', b'{"message":""}', b'{"error":"x"}'])
def test_a_body_without_a_message_is_not_an_error_body(body: bytes) -> None:
    assert error_body(body) is None


def test_a_429_rests_the_limits_of_the_request() -> None:
    assert limit_answer(429, {}, b"", (("fills", 1),)).hit == Hit(1.0, ("fills",))
    assert limit_answer(429, {"retry-after": "3"}, b"", (("public", 1),)).hit == Hit(3.0, ("public",))
    assert limit_answer(200, {}, b"{}", (("public", 1),)).hit is None
