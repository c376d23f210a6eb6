"""OKX's market data beyond the conformance suite: options, names, recordings, answers, refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import orjson
import pytest

from tests.fakes.captures import captures
from venuemesh.actors.recording.file import Record, read
from venuemesh.actors.recording.replay import Replay
from venuemesh.connectors.market_codec import Expected
from venuemesh.connectors.okx import CONNECTOR, OKX_EEA, OKX_US
from venuemesh.connectors.okx.refusals import CODES, FAILURES, error_body
from venuemesh.connectors.okx.samples import SAMPLES
from venuemesh.connectors.order_codec import Refusal
from venuemesh.model.errors import DecodeError, Misconfigured, OutcomeUnknown, Rejected, RetryLater
from venuemesh.model.events import (
    BookState,
    DepthDelta,
    Ignored,
    PublicTrade,
    Status,
    Subscribed,
    SubscribeRefused,
)
from venuemesh.model.http import HttpResponse
from venuemesh.model.instrument import TRADING, Instrument

FUTURE = Instrument("okx", "BTC-USD", "BTC-USD-220527", "BTC", "USD", 1, 0)
SWAP = Instrument("okx", "UNI-USD", "UNI-USD-SWAP", "UNI", "USD", 3, 0)


def codec(**options: Any):
    made = CONNECTOR.codec(**options)
    made.bind(made.instruments(SAMPLES.instruments))
    return made


def decoded(message: Any) -> Any:
    return codec().decode(orjson.dumps(message), 7)


# ------------------------------------------------------------------------------------------------- recorded frames


def of_today(records: list[Record]) -> list[Record]:
    """The frames of 2022 in today's format: `books` with `seqId` and `prevSeqId`, which the recording does not have.

    The numbers are counted for each instrument; nothing else is added or changed. The recording has no gap: its
    checksums, which today's format no longer has, were all right when `expected.json` was computed.
    """
    numbers: dict[str, int] = {}
    translated = []
    for record in records:
        message = orjson.loads(record.raw) if record.kind == "recv" else {}
        if "data" in message and message["arg"]["channel"] == "books":
            symbol = message["arg"]["instId"]
            for book in message["data"]:
                before = numbers.get(symbol, 100)
                book["prevSeqId"] = -1 if message["action"] == "snapshot" else before
                book["seqId"] = numbers[symbol] = before + 7
            record = replace(record, raw=orjson.dumps(message))
        translated.append(record)
    return translated


def replayed(
    name: str, instrument: Instrument, lose: int | None = None
) -> tuple[Replay, dict[str, Any], dict[str, Any]]:
    """Replay a recording for one instrument, without its update number `lose`; also return result and statement."""
    run = Replay(CONNECTOR.codec(), {instrument.symbol: instrument}, {}, fast=False)
    updates = 0
    for record in of_today(list(read(captures("okx") / name))):
        updates += (is_update := f'"instId":"{instrument.symbol}"' in record.raw.decode() and b'"update"' in record.raw)
        if not (is_update and updates == lose):
            run.feed(name, record)
    stated = json.loads((captures("okx") / "expected.json").read_text())[f"{name} {instrument.symbol}"]
    return run, run.result()[instrument.symbol], stated


def spot(name: str, price_scale: int, size_scale: int) -> Instrument:
    base, quote = name.split("-")
    return Instrument("okx", name, name, base, quote, price_scale, size_scale)


@pytest.mark.parametrize(
    ("name", "instrument"),
    [
        ("market.jsonl.gz", FUTURE),
        ("market.jsonl.gz", SWAP),
        ("okcoin_market.jsonl.gz", spot("BTC-USD", 2, 4)),
        ("okcoin_market.jsonl.gz", spot("ETH-USD", 2, 4)),
        ("okcoin_market.jsonl.gz", spot("USDC-USDT", 4, 6)),
        ("okcoin_market.jsonl.gz", spot("USDT-USD", 4, 4)),
    ],
    ids=lambda value: value.symbol if isinstance(value, Instrument) else None,
)
def test_the_recordings_in_todays_format_end_as_stated(name: str, instrument: Instrument) -> None:
    _, found, stated = replayed(name, instrument)
    book, wanted = found["book"], stated["book"]

    def plain(rows: list[list[str]]) -> list[list[str]]:
        return [
            [f"{instrument.price(instrument.price_raw(p)).normalize():f}", s.rstrip("0").rstrip(".") if "." in s else s]
            for p, s in rows
        ]

    for side in ("bids", "asks"):
        assert plain(book[side]) == plain(wanted[side])
    for key in ("applied", "gaps", "n_bids", "n_asks", "crossed_after"):
        assert book[key] == wanted[key], key
    assert found["trades"]["count"] == stated["trades"]["count"]
    for end in ("first", "last"):
        ((number, price, size, side),) = found["trades"][end]
        assert [number, *plain([[price, size]])[0], side] == stated["trades"][end][0]
    assert found["state"] == "LIVE"


def test_a_lost_frame_of_the_recording_is_a_gap() -> None:
    run, found, _ = replayed("market.jsonl.gz", FUTURE, lose=40)
    assert found["book"]["gaps"] == 1
    (state,) = {pair.machine.state for symbol, pair in run.ingest.pairs.items() if symbol == FUTURE.symbol}
    assert state is BookState.GAP


def test_every_recorded_instrument_has_one_name_and_symbol_both_ways() -> None:
    """The spot list of 2022 has the exchange's largest sizes and finest ticks."""
    (body,) = [
        record.raw for record in read(captures("okx") / "instruments.jsonl.gz") if record.url.endswith("instType=SPOT")
    ]
    rows = {row["instId"]: row for row in json.loads(body)["data"]}
    listed = CONNECTOR.codec().instruments(body)
    assert len(listed) == len(rows) == len({one.name for one in listed}) == 261
    for one in listed:
        row = rows[one.symbol]
        assert one.name == f"{row['baseCcy']}-{row['quoteCcy']}"
        assert (one.is_trading, one.price(one.price_raw(row["tickSz"]))) == (True, one.price_increment)
        for size in (row["lotSz"], row["minSz"], row["maxLmtSz"]):
            one.size_raw(size)


# -------------------------------------------------------------------------------------------------------- requests


def test_regions_and_demo_trading_have_separate_hosts() -> None:
    assert codec().instruments_request().url == "https://openapi.okx.com/api/v5/public/instruments?instType=SPOT"
    assert codec().ws_url() == "wss://ws.okx.com:8443/ws/v5/public"
    assert codec().instruments_request().headers == ()
    demo = OKX_EEA.codec(environment="demo")
    assert demo.ws_url() == "wss://wseeapap.okx.com:8443/ws/v5/public"
    assert OKX_US.codec().ws_url() == "wss://wsus.okx.com:8443/ws/v5/public"
    assert demo.time_request().url == "https://eea.okx.com/api/v5/public/time"
    assert demo.time_request().headers == (("x-simulated-trading", "1"),)
    hosts = CONNECTOR.spec.environments["demo"]
    assert codec(environment="demo").ws_url().startswith(hosts.ws)
    assert codec(environment="real").ws_url() == codec().ws_url()
    with pytest.raises(Misconfigured, match="not one of real, demo"):
        codec(environment="testnet")


def test_a_subscription_is_confirmed_by_channel_and_refused_by_id() -> None:
    btc, eth = (one for one in codec().instruments(SAMPLES.instruments) if one.name in ("BTC-USDT", "ETH-BTC"))
    (message,) = codec().subscribe([btc, eth], 1512)
    sent = json.loads(message.frame)
    assert (sent["id"], sent["op"], len(sent["args"])) == ("1512", "subscribe", 4)
    assert message.cost == (("subscriptions", 1),)
    assert message.expects[0] == Expected(1512, ("BTC-USDT", "ETH-BTC"))
    assert Expected("books:ETH-BTC", ("ETH-BTC",)) in message.expects
    confirmed = decoded({"id": "1512", "event": "subscribe", "arg": {"channel": "books", "instId": "BTC-USDT"}})
    assert confirmed == (Subscribed("1512"), Subscribed("books:BTC-USDT"))
    refused = {"id": "1512", "event": "error", "code": "60012", "msg": "Invalid request"}
    assert decoded(refused) == (SubscribeRefused("1512", "60012", "Invalid request"),)
    many = codec().subscribe([replace(btc, symbol=f"T{n}-USDT") for n in range(250)], 5)
    assert [json.loads(each.frame)["id"] for each in many] == ["5", "6", "7"]
    (first,) = codec().opening(1)
    assert json.loads(first.frame)["args"] == [{"channel": "instruments", "instType": "SPOT"}]


# -------------------------------------------------------------------------------------------------------- messages


def test_states_of_bound_instruments_are_reported_and_listed() -> None:
    states = {one.name: one.status for one in codec().instruments(SAMPLES.instruments)}
    assert states == {"BTC-USDT": TRADING, "SHIB-USDT": TRADING, "ETH-BTC": "suspend", "NEW-USDT": "preopen"}
    rows = [{"instId": "BTC-USDT", "state": "suspend"}, {"instId": "ELSE-USDT", "state": "live"}]
    arg = {"channel": "instruments", "instType": "SPOT"}
    assert decoded({"arg": arg, "data": rows}) == [Status("BTC-USDT", False, "suspend")]
    assert decoded({"arg": arg, "data": rows[1:]}) == (Ignored("instruments"),)


def test_several_rows_in_a_message_are_all_read() -> None:
    row = {"tradeId": "7", "px": "1.5", "sz": "2", "side": "sell", "ts": "5", "count": "1"}
    arg = {"channel": "trades", "instId": "BTC-USDT"}
    one, two = decoded({"arg": arg, "data": [row, {**row, "tradeId": "9", "count": "2"}]})
    assert isinstance(one, PublicTrade)
    assert [(each.trade_id, each.aggregate, each.ts_event_ns) for each in (one, two)] == [
        (7, False, 5_000_000),
        (9, True, 5_000_000),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"prevSeqId": -1},
        {"seqId": "5"},
        {"seqId": -1},
        {"ts": 5},
        {"bids": [["1", "2"]]},
        {"asks": [["1", 2, "0", "1"]]},
    ],
)
def test_an_update_that_the_manual_does_not_have_is_refused(change: dict[str, Any]) -> None:
    book = {"asks": [], "bids": [["1.5", "2", "0", "1"]], "ts": "5", "checksum": 0, "prevSeqId": 3, "seqId": 5}
    message = {"arg": {"channel": "books", "instId": "BTC-USDT"}, "action": "update", "data": [book]}
    (delta,) = decoded(message)
    assert isinstance(delta, DepthDelta)
    assert (delta.previous, delta.last, delta.checksum) == (3, 5, None)
    with pytest.raises(DecodeError):
        decoded({**message, "data": [book | change]})
    for wrong in ({"action": "other"}, {"data": []}):
        with pytest.raises(DecodeError):
            decoded(message | wrong)


# -------------------------------------------------------------------------------------------------------- failures

# The pages error/code.md and error/code/websocket.md, of the codes in errors.json; all others are an explicit no, and
# those of other sections and those that the manual does not have may mean anything.
OTHERS = ("52", "55", "58", "59", "70")
UNSTATED = ("4004", "4005", "4006", "4007", "51118", "51119", "60010", "60025", "60030")
STATED = {
    Refusal.BUSY: "50011 51113",
    Refusal.CLOCK: "50102 60004 60006",
    Refusal.KEY: "50100 50101 50103 50114 60005 60007 60011 60024 60032",
    Refusal.UNKNOWN: "50004 50013 50026",
    Refusal.NOT_THERE: "51400 51401 51402 51510 51603",
    Refusal.NO_PAIR: "51001",
    Refusal.DUPLICATE: "51016",
}


def test_every_code_of_the_captured_table_is_classified() -> None:
    wanted = {code: sort for sort, codes in STATED.items() for code in codes.split()}
    for code in json.loads((captures("okx") / "errors.json").read_text())["exact_code_or_text"]:
        unstated = code in UNSTATED or code.startswith(OTHERS)
        assert FAILURES.refusal(code) is wanted.pop(code, Refusal.UNKNOWN if unstated else Refusal.REJECTED), code
    assert not wanted


def test_no_code_is_in_two_sorts() -> None:
    from venuemesh.connectors.okx.refusals import SORTS

    listed = [code for codes in SORTS.values() for code in codes.split()]
    assert len(listed) == len(set(listed))
    assert [CODES[code] for code in listed] == [sort for sort, codes in SORTS.items() for _ in codes.split()]


def answer(status: int, code: str, msg: str = "words") -> HttpResponse:
    return HttpResponse(status, {}, orjson.dumps({"code": code, "msg": msg, "data": []}), 1, 2)


@pytest.mark.parametrize(
    ("response", "of_a_change", "of_public_data"),
    [
        (answer(200, "0", ""), type(None), type(None)),
        (answer(200, "51001"), Rejected, Rejected),
        (answer(200, "50011"), RetryLater, RetryLater),
        (answer(429, "50011"), RetryLater, RetryLater),
        (answer(429, "50013"), OutcomeUnknown, RetryLater),
        (answer(400, "50004"), OutcomeUnknown, RetryLater),
        (answer(500, "51149"), OutcomeUnknown, RetryLater),
        (answer(401, "50113"), Misconfigured, Rejected),
        (answer(200, "77777"), OutcomeUnknown, RetryLater),
        (answer(200, "50036"), Rejected, Rejected),
    ],
)
def test_what_an_answer_means(response: HttpResponse, of_a_change: type, of_public_data: type) -> None:
    assert type(FAILURES.failure(response, True, "x")) is of_a_change
    assert type(codec().failure(response)) is of_public_data


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'"0"', b'{"code":0,"msg":""}', b'{"code":"1"}', b'{"code":"","msg":"x"}']
)
def test_a_body_without_an_error_is_not_a_failure(body: bytes) -> None:
    assert error_body(body) is None
