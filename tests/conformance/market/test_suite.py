"""The suite can fail: for each mistake of a connector's author a check exists that catches it."""

from __future__ import annotations

import unittest
from dataclasses import dataclass, replace
from decimal import Decimal

import orjson
import pytest

from tests.fakes.styles import connector, story
from venuemesh.actors.recording.file import CaptureWriter
from venuemesh.conformance import MarketDataConformance, Outcome, run_checks
from venuemesh.conformance.runner import checks, samples_of, suite_of
from venuemesh.connectors.binance import CONNECTOR
from venuemesh.connectors.binance.market import BinanceCodec
from venuemesh.connectors.binance.spec import SPEC
from venuemesh.connectors.market_codec import Expected, Outgoing, Verdict
from venuemesh.connectors.spec import CandleOffer, CandleStream, Endpoint, Limit, Option
from venuemesh.model.errors import MeshError, Misconfigured, Rejected
from venuemesh.model.events import DepthDelta, Ignored, Side

SAMPLES = CONNECTOR.samples()


@dataclass
class Connector:
    """Binance's connector with a wrong spec and a wrong codec."""

    spec: object = SPEC
    codec_class: type = BinanceCodec
    name: str = "binance"

    def codec(self, rest=None, ws=None, **options):
        return self.codec_class(self.spec, rest, ws, **options)


def assert_caught(check, connector=None, samples=SAMPLES):
    """Assert that the check fails, with an assertion or an error of the samples, and describes the mistake."""
    with pytest.raises((AssertionError, MeshError)) as caught:
        getattr(suite_of(connector or Connector(), samples)(), check)()
    assert str(caught.value)


class NeverSeesGaps(BinanceCodec):
    def classify(self, sequence, delta, joined):
        return Verdict.STALE if delta.last <= sequence else Verdict.APPLY


class TakesStaleOnes(BinanceCodec):
    def classify(self, sequence, delta, joined):
        return Verdict.GAP if delta.first > sequence + 1 else Verdict.APPLY


class TurnsBack(BinanceCodec):
    def classify(self, sequence, delta, joined):
        return Verdict.GAP if sequence == delta.last + 2 else super().classify(sequence, delta, joined)


class IgnoresWhatItCannotRead(BinanceCodec):
    def decode(self, frame, recv_ns):
        try:
            return super().decode(frame, recv_ns)
        except Exception:
            return (Ignored("broken"),)


class LetsExceptionsOut(BinanceCodec):
    def decode(self, frame, recv_ns):
        orjson.loads(frame)["e"]
        return super().decode(frame, recv_ns)


class MissingSidesAreEmpty(BinanceCodec):
    scanner = snapshot_scanner = lambda self: None

    def _event(self, data, recv_ns):
        if isinstance(data, dict) and data.get("e") == "depthUpdate":
            data = {"b": [], "a": [], **data}
        return super()._event(data, recv_ns)


class SwapsSides(BinanceCodec):
    scanner = lambda self: None  # noqa: E731

    def _delta(self, data, recv_ns):
        delta = super()._delta(data, recv_ns)
        return replace(delta, bids=delta.asks, asks=delta.bids)


class ScannerOfAnotherMind(BinanceCodec):
    def _delta(self, data, recv_ns):
        delta: DepthDelta = super()._delta(data, recv_ns)
        return replace(delta, last=delta.last + 1) if len(delta.bids) == 2 else delta


class TakersAreMakers(BinanceCodec):
    def _trade(self, data, recv_ns):
        trade = super()._trade(data, recv_ns)
        return replace(trade, side=Side.BUY if trade.side is Side.SELL else Side.SELL)


class RoundsToTheTick(BinanceCodec):
    def _instrument(self, listed):
        return replace(super()._instrument(listed), size_scale=2)


class RuleFinerThanTheScale(BinanceCodec):
    def _instrument(self, listed):
        return replace(super()._instrument(listed), price_increment=Decimal("1e-12"))


class CutsTheSymbol(BinanceCodec):
    def _instrument(self, listed):
        found = super()._instrument(listed)
        return replace(found, name=f"{found.symbol[:3]}-{found.symbol[3:]}", base=found.symbol[:3])


class EveryFailureIsRejected(BinanceCodec):
    def failure(self, response, changes=False):
        return None if response.status == 200 else Rejected(str(response.status), "no")


class StormsOnRefusal(BinanceCodec):
    def failure(self, response, changes=False):
        failure = super().failure(response, changes)
        return type(failure)(0.0, "now") if type(failure).__name__ == "RetryLater" else failure


class AlwaysComplete(BinanceCodec):
    def snapshot(self, instrument, body, limit, recv_ns):
        return super().snapshot(instrument, body, limit + 1, recv_ns)


class OneStreamAMessage(BinanceCodec):
    def _stream_requests(self, method, instruments, request_id):
        return [
            super(OneStreamAMessage, self)._stream_requests(method, [instrument], request_id + n)[0]
            for n, instrument in enumerate(instruments)
        ]


class SameIdForAll(BinanceCodec):
    def _stream_requests(self, method, instruments, request_id):
        symbols = tuple(instrument.symbol for instrument in instruments)
        frame = orjson.dumps({"method": method, "params": symbols, "id": 1})
        return [Outgoing(frame, (Expected(request_id, symbols),))]


class IgnoresTheBaseUrl(BinanceCodec):
    def __init__(self, spec, rest, ws):
        super().__init__(spec, None, None)


class KnowsNoOption(BinanceCodec):
    def __init__(self, spec, rest, ws):
        super().__init__(spec, rest, ws)


class AsksForMoreThanThereIs(BinanceCodec):
    def __init__(self, spec, rest, ws, **options):
        super().__init__(spec, rest, ws, **options)
        self.snapshot_limit = spec.max_snapshot + 1


class Seconds(BinanceCodec):
    def server_time(self, body):
        return super().server_time(body) // 1_000_000_000


class NewestFirst(BinanceCodec):
    def candles(self, instrument, interval, response):
        return super().candles(instrument, interval, response)[::-1]


class ClosesTheLast(BinanceCodec):
    def candles(self, instrument, interval, response):
        return [replace(each, is_closed=True) for each in super().candles(instrument, interval, response)]


class LeavesOutOddCandles(BinanceCodec):
    def candles(self, instrument, interval, response):
        try:
            return super().candles(instrument, interval, response)
        except MeshError:
            return []


class CandlesOfAnotherHost(BinanceCodec):
    def candles_request(self, *window):
        return replace(super().candles_request(*window), url="https://elsewhere.test/")


class EveryStreamedCandleIsOpen(BinanceCodec):
    def _streamed(self, symbol, interval, *row):
        found = super()._streamed(symbol, interval, *row)
        return replace(found, candle=replace(found.candle, is_closed=False))


class StreamsUnboundCandles(BinanceCodec):
    def bind(self, instruments):
        super().bind(instruments or self._bound.values())


class OneIntervalForAll(BinanceCodec):
    def candle_message(self, op, interval, instruments, request_id):
        return super().candle_message(op, "1m", instruments, 1)


class CandlesOfTheFirstPair(BinanceCodec):
    def candle_message(self, op, interval, instruments, request_id):
        return super().candle_message(op, interval, instruments[:1], request_id)


class CandlesOfAnotherSocket(BinanceCodec):
    def candle_url(self):
        return "wss://elsewhere.test/"


class OddStreamedCandlesAreIgnored(BinanceCodec):
    def _kline(self, data, recv_ns):
        try:
            return super()._kline(data, recv_ns)
        except ValueError:
            return Ignored("kline")


@pytest.mark.parametrize(
    ("codec", "check"),
    [
        (NeverSeesGaps, "test_a_missed_delta_is_a_gap_until_the_next_snapshot"),
        (NeverSeesGaps, "test_the_sequence_rule_is_consistent"),
        (TakesStaleOnes, "test_the_sample_gives_the_expected_book_by_the_slow_path"),
        (TurnsBack, "test_the_sequence_rule_is_consistent"),
        (IgnoresWhatItCannotRead, "test_broken_frames_raise_decode_error_and_nothing_else"),
        (IgnoresWhatItCannotRead, "test_an_unreadable_frame_puts_the_book_in_doubt"),
        (LetsExceptionsOut, "test_broken_frames_raise_decode_error_and_nothing_else"),
        (MissingSidesAreEmpty, "test_a_delta_that_lacks_a_field_is_never_ignored"),
        (SwapsSides, "test_the_sample_gives_the_expected_book_by_the_fast_path"),
        (ScannerOfAnotherMind, "test_both_readers_of_a_delta_agree"),
        (TakersAreMakers, "test_trades_are_read"),
        (RoundsToTheTick, "test_scales_hold_every_decimal_of_messages"),
        (RuleFinerThanTheScale, "test_scales_hold_every_decimal_of_messages"),
        (CutsTheSymbol, "test_names_map_both_ways"),
        (EveryFailureIsRejected, "test_failures_are_typed"),
        (StormsOnRefusal, "test_failures_are_typed"),
        (AlwaysComplete, "test_a_snapshot_is_complete_only_below_its_limit"),
        (OneStreamAMessage, "test_subscriptions_fit_a_connection"),
        (SameIdForAll, "test_subscriptions_fit_a_connection"),
        (IgnoresTheBaseUrl, "test_requests_go_to_the_base_url_and_are_recognised"),
        (Seconds, "test_the_clock_of_the_exchange_is_read"),
        (KnowsNoOption, "test_options_are_declared"),
        (AsksForMoreThanThereIs, "test_snapshots_have_a_size"),
        (NewestFirst, "test_candles_are_read"),
        (ClosesTheLast, "test_candles_are_read"),
        (LeavesOutOddCandles, "test_odd_candles_raise_decode_error"),
        (CandlesOfAnotherHost, "test_candles_are_requested_by_window"),
        (EveryStreamedCandleIsOpen, "test_candle_frames_are_read"),
        (StreamsUnboundCandles, "test_candle_frames_are_read"),
        (OneIntervalForAll, "test_candle_subscriptions_name_their_pairs"),
        (CandlesOfTheFirstPair, "test_candle_subscriptions_name_their_pairs"),
        (CandlesOfAnotherSocket, "test_candle_subscriptions_name_their_pairs"),
        (OddStreamedCandlesAreIgnored, "test_odd_candle_frames_raise_decode_error"),
    ],
)
def test_a_wrong_codec_is_caught(codec, check):
    assert_caught(check, Connector(codec_class=codec))


@pytest.mark.parametrize(
    ("spec", "check"),
    [
        ({"limits": {"weight": Limit(6000, 60.0)}, "used_headers": {}}, "test_the_spec_is_complete"),
        ({"example_pairs": ("BTCUSDT",)}, "test_the_spec_is_complete"),
        ({"used_headers": {"x-used": "nothing"}}, "test_the_spec_is_complete"),
        ({"time_resolution_ns": 10**9}, "test_the_clock_of_the_exchange_is_read"),
        ({"time_resolution_ns": 0}, "test_the_clock_of_the_exchange_is_read"),
        ({"candles": None}, "test_candles_are_declared"),
        ({"candles": CandleOffer({"1m": "1m", "one hour": "1h"}, page=1000)}, "test_candles_are_declared"),
        ({"candles": CandleOffer({"1m": "1m"}, page=0)}, "test_candles_are_declared"),
        ({"candles": replace(SPEC.candles, stream=None)}, "test_a_stream_of_candles_is_declared"),
        ({"candles": replace(SPEC.candles, stream=CandleStream(0, 10))}, "test_a_stream_of_candles_is_declared"),
        ({"max_streams": 1}, "test_the_spec_is_complete"),
        ({"options": (Option("speed", 5, "How fast.", choices=(1, 2)),)}, "test_options_are_declared"),
        ({"options": (*SPEC.options, SPEC.options[0])}, "test_options_are_declared"),
        ({"options": (replace(SPEC.options[0], words=""),)}, "test_options_are_declared"),
        (
            {"endpoints": {**SPEC.endpoints, "tickers": Endpoint("GET", "/t", (("weigth", 1),), "x")}},
            "test_costs_name_declared_limits",
        ),
        (
            {"endpoints": {**SPEC.endpoints, "tickers": Endpoint("GET", "/t", (), "x")}},
            "test_costs_name_declared_limits",
        ),
        (
            {"endpoints": {**SPEC.endpoints, "time": Endpoint("GET", "/t", (("weight", 7000),), "x")}},
            "test_costs_name_declared_limits",
        ),
        (
            {"endpoints": {**SPEC.endpoints, "time": Endpoint("GET", "/t", (("messages", 1),), "x")}},
            "test_costs_name_declared_limits",
        ),
    ],
)
def test_a_wrong_spec_is_caught(spec, check):
    assert_caught(check, Connector(spec=replace(SPEC, **spec)))


@pytest.mark.parametrize(
    ("samples", "check"),
    [
        ({"pair": "NO-PAIR"}, "test_the_sample_gives_the_expected_book_by_the_fast_path"),
        ({"deltas": SAMPLES.deltas[:1] + SAMPLES.deltas[2:]}, "test_the_sequence_rule_is_consistent"),
        ({"bids": (("1", "1"),)}, "test_the_sample_gives_the_expected_book_by_the_slow_path"),
        ({"symbols": {"BNB-BTC": "BNB_BTC"}}, "test_names_map_both_ways"),
        ({"acks": ()}, "test_answers_are_read"),
        ({"candles": None}, "test_candles_are_declared"),
        ({"candles": replace(SAMPLES.candles, frames=())}, "test_a_stream_of_candles_is_declared"),
        ({"gap": None}, "test_a_missed_delta_is_a_gap_until_the_next_snapshot"),
        (
            {"server_time": (b'{"serverTime":1672515782000}', 1672515782 * 10**9)},
            "test_the_clock_of_the_exchange_is_read",
        ),
        ({"server_time": None}, "test_the_clock_of_the_exchange_is_read"),
    ],
)
def test_wrong_samples_are_caught(samples, check):
    assert_caught(check, samples=replace(SAMPLES, **samples))


def test_an_exchange_that_numbers_nothing_needs_no_stale_and_no_gap():
    results = list(run_checks(suite_of(connector("connection"), story("connection"))))
    assert not [result for result in results if result.outcome is Outcome.FAILED]
    skipped = {result.name for result in results if result.outcome is Outcome.SKIPPED}
    assert skipped >= {"test_a_missed_delta_is_a_gap_until_the_next_snapshot", "test_a_dropped_frame_is_noticed"}


def test_checks_are_listed_once_with_their_titles():
    listed = checks(MarketDataConformance)
    assert len({name for name, _ in listed}) == len(listed) >= 25
    assert all(title.endswith(".") for _, title in listed)


def test_a_subclass_may_override_a_check():
    class Different(MarketDataConformance):
        connector, samples = CONNECTOR, SAMPLES

        def test_trades_are_read(self):
            """Skip trades."""
            raise unittest.SkipTest("the exchange has none")

    results = {result.name: result for result in run_checks(Different)}
    assert results["test_trades_are_read"].outcome is Outcome.SKIPPED
    assert results["test_trades_are_read"].reason == "the exchange has none"


def test_a_check_that_fails_is_a_result_and_the_rest_continue():
    results = list(run_checks(suite_of(Connector(codec_class=TakersAreMakers), SAMPLES)))
    assert [result.name for result in results if result.outcome is Outcome.FAILED] == ["test_trades_are_read"]
    assert len(results) == len(checks(MarketDataConformance))


def test_samples_come_from_the_connector_or_a_file(tmp_path):
    assert samples_of(CONNECTOR, None) is SAMPLES
    assert samples_of(Connector(), None) is None
    path = tmp_path / "messages.py"
    path.write_text("from venuemesh.connectors.binance.samples import SAMPLES\n")
    assert samples_of(Connector(), path) is SAMPLES


@pytest.mark.parametrize("text", [None, "SAMPLES = 7", "", "1/0", "def"])
def test_a_file_without_samples_is_misconfigured(tmp_path, text):
    path = tmp_path / "messages.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(Misconfigured, match=r"messages\.py"):
        samples_of(CONNECTOR, path)
    with pytest.raises(Misconfigured, match="not a Python file"):
        samples_of(CONNECTOR, tmp_path / "messages.txt")


def recording(path, bids):
    """Return the samples as a recording of `venuemesh record`, with a further delta of these bids."""
    codec = CONNECTOR.codec()
    (instrument,) = (each for each in codec.instruments(SAMPLES.instruments) if each.name == SAMPLES.pair)
    writer = CaptureWriter(path)
    writer.add(1, "http", SAMPLES.instruments, codec.instruments_request().url)
    writer.add(2, "recv", SAMPLES.deltas[0])
    writer.add(3, "http", SAMPLES.snapshot, codec.snapshot_request(instrument, 100).url)
    last = {"e": "depthUpdate", "E": 1, "s": "BNBBTC", "U": 171, "u": 171, "b": bids, "a": []}
    for frame in (*SAMPLES.deltas[1:], orjson.dumps(last)):
        writer.add(4, "recv", frame)
    writer.close()
    return path


def test_a_recording_is_replayed_by_both_paths(tmp_path):
    path = recording(tmp_path / "story.jsonl.zst", [["0.00240000", "13"]])
    suite = suite_of(CONNECTOR, replace(SAMPLES, recordings=(path,)))
    suite().test_recordings_replay_alike_by_both_paths()
    crossed = recording(tmp_path / "crossed.jsonl.zst", [["0.00300000", "1"]])
    assert_caught("test_recordings_replay_alike_by_both_paths", samples=replace(SAMPLES, recordings=(crossed,)))
    (tmp_path / "empty.jsonl").touch()
    nothing = replace(SAMPLES, recordings=(tmp_path / "empty.jsonl",))
    assert_caught("test_recordings_replay_alike_by_both_paths", samples=nothing)
