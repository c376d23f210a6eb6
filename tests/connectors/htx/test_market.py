"""HTX's market data beyond the conformance suite: recordings, sockets, numbers, requests, refusals."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from typing import Any

import orjson
import pytest

from tests.fakes.captures import captures
from venuemesh.actors.recording.file import read
from venuemesh.actors.recording.replay import Replay
from venuemesh.connectors.htx import CONNECTOR
from venuemesh.connectors.htx.refusals import CODES, FAILURES, LATE, code_of, error_body, limit_answer
from venuemesh.connectors.htx.samples import MS, NUMBER, SAMPLES
from venuemesh.connectors.limit_answers import Hit
from venuemesh.connectors.market_codec import SnapshotKey
from venuemesh.connectors.order_codec import Refusal
from venuemesh.connectors.spec import BookSource, Proof
from venuemesh.model.errors import DecodeError, Misconfigured, OutcomeUnknown, Rejected, RetryLater
from venuemesh.model.events import DepthDelta, DepthSnapshot, PublicTrade, Say, Side, Subscribed
from venuemesh.model.http import HttpResponse
from venuemesh.model.instrument import TRADING, Instrument
from venuemesh.model.time import MINUTE_NS

SYMBOLS = ("dogeeth", "fil3susdt", "omgbtc", "xvgeth", "zeneth")
FINE = "5e-10"  # half a unit of the coarsest of these pairs' sizes, fil3susdt's (docs/adr/0017-sizes-of-doubles.md)


def codec(**options: Any) -> Any:
    made = CONNECTOR.codec(**options)
    made.bind(made.instruments(SAMPLES.instruments))
    return made


# ------------------------------------------------------------------------------------------------- recorded frames


def listed() -> dict[str, Instrument]:
    """The recorded list of symbols, of the older /v1/common/symbols."""
    (body,) = [record.raw for record in read(captures("htx") / "instruments.jsonl.gz")]
    return {one.symbol: one for one in CONNECTOR.codec().instruments(body)}


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("book", ["depth.step0", "mbp.150"])
@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_recording_ends_as_stated(symbol: str, book: str, fast: bool) -> None:
    instrument = listed()[symbol]
    run = Replay(CONNECTOR.codec(book=book), {symbol: instrument}, {}, fast=fast)
    for record in read(captures("htx") / "market.jsonl.gz"):
        run.feed("market.jsonl.gz", record)
    found = run.result()[symbol]
    stated = json.loads((captures("htx") / "expected.json").read_text())[f"market.jsonl.gz {symbol}"]
    held, wanted = found["book"], stated["book"]
    for side in ("bids", "asks"):
        for (price, size), (their_price, their_size) in zip(held[side], wanted[side], strict=True):
            assert Decimal(price) == Decimal(their_price)
            assert abs(Decimal(size) - Decimal(their_size)) <= Decimal(FINE if symbol == "fil3susdt" else 0)
    pair = run.ingest.pairs[symbol]
    assert (held["n_bids"], held["n_asks"], held["crossed_after"]) == (wanted["n_bids"], wanted["n_asks"], 0)
    assert pair.machine.counters.snapshots == wanted["frames"]
    assert pair.ts_event_ns == wanted["last_ts"] * 10**6
    if book == "mbp.150":
        assert pair.book.sequence == wanted["last_id"]
    assert found["state"] == "LIVE"
    trades = stated["trades"]
    assert found["trades"]["count"] == trades["count"]
    for end in ("first", "last"):
        ((number, price, size, side),) = found["trades"][end]
        ((their_number, their_price, their_size, their_side),) = trades[end]
        assert (number, side, Decimal(price), Decimal(size)) == (
            their_number, their_side, Decimal(their_price), Decimal(their_size)
        )  # fmt: skip
    rules = stated["rules"]
    assert (instrument.price_increment, instrument.size_increment, instrument.min_size, instrument.min_notional) == (
        Decimal(rules["price_step"]), Decimal(rules["size_step"]), Decimal(rules["min_size"]),
        Decimal(rules["min_notional"]),
    )  # fmt: skip


def test_recorded_sizes_of_a_pair_do_not_fit_one_scale() -> None:
    """The reason of ADR 17: the finest and the largest size of a recorded book."""
    sizes = []
    for record in read(captures("htx") / "market.jsonl.gz"):
        message = json.loads(gzip.decompress(record.raw), parse_float=Decimal)
        if message.get("ch") == "market.fil3susdt.depth.step0":
            sizes += [Decimal(size) for side in ("bids", "asks") for _, size in message["tick"][side]]
    places = max(-int(size.normalize().as_tuple().exponent) for size in sizes)
    assert max(sizes) * 10**places > 2**63


def test_every_recorded_symbol_has_one_name_both_ways() -> None:
    (body,) = [record.raw for record in read(captures("htx") / "instruments.jsonl.gz")]
    rows = {row["symbol"]: row for row in json.loads(body)["data"]}
    found = listed()
    assert len(found) == len(rows) == len({one.name for one in found.values()})
    for symbol, one in found.items():
        row = rows[symbol]
        assert one.name == f"{row['base-currency']}-{row['quote-currency']}".upper()
        assert one.base.lower() + one.quote.lower() == symbol
        assert one.is_trading == (row["state"] == "online" and row["api-trading"] == "enabled")


def test_recorded_answers_and_pings_are_read() -> None:
    made = codec()
    events = []
    for record in read(captures("htx") / "session.jsonl.gz"):
        if record.kind == "recv":
            events += made.decode(gzip.decompress(record.raw), 1)
    assert {Subscribed(number) for number in range(1, 21)} <= set(events)
    answers = [orjson.loads(event.frame) for event in events if isinstance(event, Say)]
    assert {"pong": 1618678073643} in answers
    assert len(answers) == 6


# --------------------------------------------------------------------------------------------------------- sockets


def test_books_have_their_own_socket_unless_they_are_whole() -> None:
    made, (btc, *_) = codec(), codec().instruments(SAMPLES.instruments)
    assert made.ws_url() == "wss://api.huobi.pro/feed"
    assert made.trades_url() == made.candle_url() == "wss://api.huobi.pro/ws"
    (sent,) = made.subscribe([btc], 3)
    assert json.loads(sent.frame) == {"sub": "market.btcusdt.mbp.150", "id": "3"}
    (sent,) = made.subscribe_trades([btc], 4)
    assert json.loads(sent.frame) == {"sub": "market.btcusdt.trade.detail", "id": "4"}
    (sent,) = made.unsubscribe_trades([btc], 4)
    assert (json.loads(sent.frame)["unsub"], sent.expects) == ("market.btcusdt.trade.detail", ())
    asked = made.book_request(btc, 9)
    assert json.loads(asked.frame) == {"req": "market.btcusdt.mbp.150", "id": "9"}
    assert asked.cost == (("requested books", 1),)
    whole = codec(book="depth.step0")
    assert (whole.ws_url(), whole.trades_url()) == ("wss://api.huobi.pro/ws", None)
    assert [json.loads(one.frame)["sub"] for one in whole.subscribe([btc], 1)] == [
        "market.btcusdt.depth.step0", "market.btcusdt.trade.detail"
    ]  # fmt: skip
    assert (whole.spec.book.source, whole.spec.book.proof) == (BookSource.EVERY_FRAME, Proof.CONNECTION)
    assert codec(book="mbp.5").spec.book.window == 5
    with pytest.raises(Misconfigured, match=r"one of mbp\.5, mbp\.20, mbp\.150, depth\.step0"):
        codec(book="mbp.400")


def test_a_refusal_is_about_one_pair_alone() -> None:
    made = codec()
    pairs = made.instruments(SAMPLES.instruments)
    keys = [expected.key for message in made.subscribe([*pairs, pairs[0]], 7) for expected in message.expects]
    assert keys == [str(7 + number) for number in range(len(pairs) + 1)]


# -------------------------------------------------------------------------------------------------------- messages


def test_a_requested_book_is_the_answer_to_its_request() -> None:
    (book,) = codec().decode(SAMPLES.snapshot, 5)
    assert isinstance(book, DepthSnapshot)
    assert (book.request_id, book.sequence, book.bids_complete, len(book.bids)) == ("7", NUMBER, False, 150)


def test_a_side_may_be_missing_and_a_chain_states_the_previous_number() -> None:
    (delta,) = codec().decode(SAMPLES.deltas[1], 5)
    assert isinstance(delta, DepthDelta)
    assert (delta.last, delta.previous, len(delta.asks)) == (NUMBER + 4, NUMBER + 1, 0)


@pytest.mark.parametrize(
    ("written", "raw"),
    [
        ("1", 10**13),
        ("1.0", 10**13),
        ("2.5E-4", 25 * 10**8),
        ("2.5e+1", 25 * 10**13),
        ("0.0", 0),
        ("0E-5", 0),
        ("1E-20", 1),  # never zero
        ("0.00000000000005", 1),
        ("0.00000000000014999999", 1),
        ("0.00000000000015", 2),
        ("1.23456789012344999", 12345678901234),
    ],
)
def test_sizes_are_rounded_to_the_scale_and_never_to_zero(written: str, raw: int) -> None:
    frame = SAMPLES.deltas[0].replace(b"52690.00,12]", f"52690.00,{written}]".encode())
    (delta,) = codec().decode(frame, 5)
    assert delta.bids[0][1] == raw


@pytest.mark.parametrize(
    "written", [b'"12"', b"-1", b"1E400", b"1e", b"null", b"true", b"[1]", b"1" * 41, b"9E18", b"NaN"]
)
def test_an_impossible_size_is_refused(written: bytes) -> None:
    with pytest.raises(DecodeError):
        codec().decode(SAMPLES.deltas[0].replace(b"52690.00,12]", b"52690.00," + written + b"]"), 5)


def test_a_price_is_never_rounded() -> None:
    with pytest.raises(DecodeError):
        codec().decode(SAMPLES.deltas[0].replace(b"[52690.00,12]", b"[52690.123456789,12]"), 5)


def test_the_newest_trade_of_a_message_comes_first() -> None:
    one = orjson.loads(SAMPLES.trades[0].frame)
    one["tick"]["data"].append({**one["tick"]["data"][0], "tradeId": 102523573485, "direction": "sell"})
    first, second = codec().decode(orjson.dumps(one), 5)
    assert isinstance(first, PublicTrade)
    assert (first.trade_id, second.trade_id, second.side) == (102523573486, 102523573485, Side.SELL)


def test_the_list_states_what_restricts_a_pair() -> None:
    states = {one.name: one.status for one in codec().instruments(SAMPLES.instruments)}
    assert states == {
        "BTC-USDT": TRADING, "ETH-BTC": TRADING, "PEPE-USDT": TRADING, "NEW-USDT": "pre-online",
        "OLD-USDT": "api trading disabled",
    }  # fmt: skip


# -------------------------------------------------------------------------------------------------------- requests


def test_books_over_rest_have_5_10_20_or_all_levels() -> None:
    made, (btc, *_) = codec(), codec().instruments(SAMPLES.instruments)
    few, many = made.snapshot_request(btc, 20).url, made.snapshot_request(btc, 50).url
    assert few == "https://api.huobi.pro/market/depth?symbol=btcusdt&depth=20&type=step0"
    assert many == "https://api.huobi.pro/market/depth?symbol=btcusdt&type=step0"
    assert made.recognise(few) == SnapshotKey("btcusdt", 20)
    assert made.recognise(many) == SnapshotKey("btcusdt", 150)
    assert made.recognise("https://api.huobi.pro/market/depth?type=step0") is None
    cut = made.snapshot(btc, SAMPLES.rest_book, 50, 5)
    assert (len(cut.bids), cut.bids_complete) == (50, False)


def test_candles_are_requested_back_from_now() -> None:
    made, (btc, *_) = codec(), codec().instruments(SAMPLES.instruments)
    now = MS * 10**6
    url = made.candles_request(btc, "1m", now - 90 * MINUTE_NS, now, now).url
    assert url == "https://api.huobi.pro/market/history/kline?symbol=btcusdt&period=1min&size=150"
    assert made.candles_request(btc, "1h", now - 9000 * 60 * MINUTE_NS, now, now).url.endswith("size=2000")


# -------------------------------------------------------------------------------------------------------- failures


def answer(status: int, code: str, text: str = "") -> HttpResponse:
    return HttpResponse(status, {}, orjson.dumps({"status": "error", "err-code": code, "err-msg": text}), 1, 2)


@pytest.mark.parametrize(
    ("response", "of_a_change", "of_public_data"),
    [
        (HttpResponse(200, {}, b'{"status":"ok","data":1}', 1, 2), type(None), type(None)),
        (HttpResponse(200, {}, b'{"code":200,"data":1}', 1, 2), type(None), type(None)),
        (HttpResponse(200, {}, b'{"code":2002,"message":"invalid.auth.state"}', 1, 2), Misconfigured, Rejected),
        (answer(200, "order-accountbalance-error"), Rejected, Rejected),
        (answer(200, "base-system-error"), OutcomeUnknown, RetryLater),
        (answer(200, "api-signature-not-valid", "Signature not valid"), Misconfigured, Rejected),
        (answer(200, "api-signature-not-valid", "Signature not valid: Invalid submission time"), Rejected, Rejected),
        (answer(200, "510"), RetryLater, RetryLater),
        (HttpResponse(429, {}, b"", 1, 2), RetryLater, RetryLater),
        (HttpResponse(502, {}, b"<html>", 1, 2), OutcomeUnknown, RetryLater),
        (HttpResponse(403, {}, b"<html>", 1, 2), OutcomeUnknown, Rejected),
    ],
)
def test_what_an_answer_means(response: HttpResponse, of_a_change: type, of_public_data: type) -> None:
    assert type(FAILURES.failure(response, True, "x")) is of_a_change
    assert type(codec().failure(response)) is of_public_data


# How the kinds of ccxt's table relate to ours
KINDS = {
    "AccountNotEnabled": Refusal.REJECTED, "AuthenticationError": Refusal.KEY, "BadRequest": Refusal.REJECTED,
    "InsufficientFunds": Refusal.REJECTED, "InvalidOrder": Refusal.REJECTED, "OnMaintenance": Refusal.BUSY,
    "RateLimitExceeded": Refusal.BUSY, "RequestTimeout": Refusal.UNKNOWN, "ExchangeNotAvailable": Refusal.UNKNOWN,
    "OrderNotFound": Refusal.NOT_THERE, "BadSymbol": Refusal.NO_PAIR,
}  # fmt: skip
# A pair that is known, but does not trade; codes of derivatives
DIFFERENT = {
    "base-symbol-trade-disabled": Refusal.REJECTED,
    "symbol trade not open now": Refusal.REJECTED, "require-symbol": Refusal.REJECTED,
    "1013": Refusal.REJECTED, "1066": Refusal.REJECTED,
}  # fmt: skip


def test_the_captured_codes_are_sorted_as_there() -> None:
    stated = json.loads((captures("htx") / "errors.json").read_text())["exact_code_or_text"]
    assert {code: FAILURES.refusal(code) for code in stated} == {
        code: DIFFERENT.get(code, KINDS[kind]) for code, kind in stated.items()
    }


def test_codes_that_need_their_text() -> None:
    assert code_of("bad-request", "invalid symbol") == "invalid symbol"
    assert code_of("bad-request", "429 too many request") == "429 too many request"
    assert code_of("bad-request", "else") == "bad-request"
    assert CODES[LATE] is Refusal.CLOCK


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"status":"ok"}', b'{"code":"x"}', b'{"status":"error"}'])
def test_a_body_without_a_code_is_not_an_error_body(body: bytes) -> None:
    assert error_body(body) is None


def test_hits_and_the_rest_of_a_limit() -> None:
    cost = (("place", 1),)
    assert limit_answer(429, {}, b"", cost).hit == Hit(2.0, ("place",))
    assert limit_answer(200, {}, answer(200, "510").body, cost).hit == Hit(2.0, ("place",))
    assert limit_answer(200, {}, answer(200, "system-maintenance").body, cost).hit is None
    assert limit_answer(200, {"x-hb-ratelimit-requests-remain": "37"}, b"{}", cost).remaining == {"place": 37}
