"""A series of candles against what a stream and REST can do to it: holes, repeats, late frames, lagging answers."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal

import pytest

from venuemesh.actors.candles.series import AGAIN, Series, State
from venuemesh.model.candle import Candle
from venuemesh.model.time import MINUTE_NS, SECOND_NS

START = 1_700_000_040 * SECOND_NS  # a whole minute


def minute(number: int, volume: int = 1, is_closed: bool = False) -> Candle:
    one = Decimal(100 + volume)
    open_ns = START + number * MINUTE_NS
    return Candle(open_ns, open_ns + MINUTE_NS, one, one, one, one, Decimal(volume), None, volume, is_closed)


class Stage:
    """A series of minutes, LIVE with one closed and one open candle; `now_ns` is both clocks."""

    def __init__(self) -> None:
        self.now_ns = START + 90 * SECOND_NS
        self.series = Series("1m", first=10, most=20, now_ns=self.now_ns)
        self.series.subscribed()
        assert self.fill(minute(0, 5, True), minute(1, 2)) == START - 10 * MINUTE_NS + 90 * SECOND_NS
        assert self.series.state is State.LIVE

    def stream(self, *candles: Candle) -> None:
        for candle in candles:
            self.series.streamed(candle, self.now_ns)

    def due(self) -> int | None:
        return self.series.due(self.now_ns, self.now_ns)

    def fill(self, *candles: Candle) -> int | None:
        """Answer the request that is due; return from which time it asks."""
        start_ns = self.due()
        assert start_ns is not None
        self.series.filled(self.series.asked(), list(candles), self.now_ns, self.now_ns)
        return start_ns

    def pass_s(self, seconds: float) -> None:
        self.now_ns += int(seconds * SECOND_NS)

    @property
    def candles(self) -> list[Candle]:
        return self.series.since(0)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_the_open_candle_is_updated_closed_and_followed(stage: Stage) -> None:
    stage.stream(minute(1, 3), minute(1, 4, True), minute(2, 1))
    assert stage.candles == [minute(0, 5, True), minute(1, 4, True), minute(2, 1)]
    assert (stage.series.state, stage.series.reason, stage.due()) == (State.LIVE, None, None)


def test_late_and_repeated_candles_change_nothing(stage: Stage) -> None:
    stage.stream(minute(1, 4, True), minute(2, 3))
    before, version = stage.candles, stage.series.version
    late = [minute(1, 3), minute(1, 4, True), minute(1, 9, True), minute(0, 9), minute(2, 3), minute(2, 2)]
    stage.stream(*late)
    assert (stage.candles, stage.series.version) == (before, version)
    counters = stage.series.counters
    assert (counters.ignored, counters.contradicted, counters.holes) == (len(late), 1, 0)
    assert stage.due() is None


@pytest.mark.parametrize(
    ("frames", "start"),
    [
        ([minute(2, 1)], 1),  # the end of candle 1 is missing; where the exchange never states it, this is usual
        ([minute(1, 4, True), minute(3, 1)], 2),  # all of candle 2 is missing
    ],
)
def test_a_newer_candle_waits_until_rest_has_closed_the_hole(stage: Stage, frames: list[Candle], start: int) -> None:
    stage.stream(*frames)
    assert stage.series.state is State.FILLING
    assert stage.candles[-1].open_ns < frames[-1].open_ns
    assert stage.due() == START + start * MINUTE_NS
    stage.stream(replace(frames[-1], volume=Decimal(7)))
    whole = [minute(1, 4, True), minute(2, 6, True), minute(3, 1)]
    last = frames[-1].open_ns
    stage.fill(*(replace(each, is_closed=each.open_ns < last) for each in whole if each.open_ns <= last))
    assert stage.series.state is State.LIVE
    assert stage.candles[-1] == replace(frames[-1], volume=Decimal(7))
    assert all(each.is_closed for each in stage.candles[:-1])


def test_an_answer_that_lags_behind_the_stream_is_requested_again(stage: Stage) -> None:
    stage.stream(minute(2, 1))
    stage.fill(minute(1, 3))
    assert stage.candles == [minute(0, 5, True), minute(1, 3)]
    assert stage.series.state is State.FILLING
    assert stage.series.reason is not None
    assert stage.due() is None
    stage.pass_s(AGAIN.first_s)
    assert stage.fill(minute(1, 4, True), minute(2, 1)) == START + MINUTE_NS
    assert stage.candles[1:] == [minute(1, 4, True), minute(2, 1)]


def test_a_closed_candle_is_final_against_rest_too(stage: Stage) -> None:
    stage.stream(minute(1, 4, True), minute(1, 9, True), minute(1, 5))
    stage.series.lost("cut")
    stage.series.subscribed()
    stage.fill(minute(0, 9, True), minute(1, 9, True), minute(2, 1))
    assert stage.candles == [minute(0, 5, True), minute(1, 4, True), minute(2, 1)]


def test_a_lost_connection_fills_from_the_open_candle_after_the_new_subscription(stage: Stage) -> None:
    stage.series.lost("cut")
    assert (stage.series.state, stage.series.reason, stage.due()) == (State.WAITING, "cut", None)
    stage.stream(minute(5, 1))  # of the old connection, or before the confirmation
    stage.series.subscribed()
    assert stage.fill(minute(1, 8, True), minute(2, 6, True), minute(3, 1)) == START + MINUTE_NS
    assert stage.candles[1:] == [minute(1, 8, True), minute(2, 6, True), minute(3, 1)]


def test_an_answer_from_before_the_last_subscription_is_ignored(stage: Stage) -> None:
    stage.stream(minute(2, 1))
    old = stage.series.asked()
    stage.series.lost("cut")
    stage.series.subscribed()
    stage.series.filled(old, [minute(1, 4, True), minute(2, 1)], stage.now_ns, stage.now_ns)
    stage.series.failed(old, "cut", 60.0, stage.now_ns)
    assert stage.candles[-1] == minute(1, 2)
    assert stage.due() == START + MINUTE_NS


def test_an_unreadable_frame_is_a_hole(stage: Stage) -> None:
    stage.series.doubt("cannot be read")
    assert (stage.series.state, stage.series.reason) == (State.FILLING, "cannot be read")
    stage.fill(minute(1, 3))
    assert (stage.series.state, stage.candles[-1]) == (State.LIVE, minute(1, 3))


def test_failures_are_reported_and_requests_repeated_with_growing_delays(stage: Stage) -> None:
    stage.stream(minute(2, 1))
    for wait_s in (0.375, 0.75, 1.5):
        assert stage.due() is not None
        stage.series.failed(stage.series.asked(), "HTTP 503", 0.0, stage.now_ns)
        assert "HTTP 503" in str(stage.series.reason)
        stage.pass_s(wait_s - 0.01)
        assert stage.due() is None
        stage.pass_s(0.01)
    stage.series.failed(stage.series.asked(), "HTTP 429", 20.0, stage.now_ns)
    stage.pass_s(19.9)
    assert stage.due() is None
    stage.pass_s(0.1)
    assert stage.due() is not None


def test_an_unannounced_end_is_requested(stage: Stage) -> None:
    """The frame with the end was lost, and no trade follows; or the exchange stopped sending."""
    stage.pass_s(39.9)
    assert stage.due() is None
    stage.pass_s(0.1)
    assert stage.fill(minute(1, 4, True)) == START + MINUTE_NS
    assert stage.candles[-1] == minute(1, 4, True)
    stage.pass_s(59.9)  # the next candle is overdue after its own end
    assert stage.due() is None
    stage.pass_s(0.1)
    assert stage.fill() == START + 2 * MINUTE_NS
    assert stage.series.state is State.LIVE
    stage.pass_s(59.9)
    assert stage.due() is None


def test_what_a_series_keeps_is_bounded(stage: Stage) -> None:
    for number in range(1, 60):
        stage.stream(minute(number, 4, True))
    assert [each.open_ns for each in stage.candles] == [minute(number).open_ns for number in range(40, 60)]
    assert stage.series.covered_ns == minute(40).open_ns
    stage.now_ns = START + 1000 * MINUTE_NS
    stage.series.lost("away")
    stage.series.subscribed()
    assert stage.fill(minute(999, 1)) == stage.now_ns - 10 * MINUTE_NS
    assert stage.candles == [minute(999, 1)]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("states_ends", [True, False])
def test_a_reader_sees_every_closed_candle_once_and_in_order(seed: int, states_ends: bool) -> None:
    """A random exchange: frames are dropped, repeated, late and unreadable, connections end, REST fails and lags."""
    draw = random.Random(seed)
    now_ns, truth = START, [minute(0, 1)]
    series = Series("1m", first=2, most=1000, now_ns=now_ns)
    series.subscribed()
    seen: list[Candle] = []
    start_ns, version = START, 0
    held: list[Candle] = []  # frames that come late
    old = truth  # what a lagging server of REST has

    def read() -> None:
        nonlocal start_ns, version
        for candle in series.since(start_ns, version):
            assert not seen or candle.open_ns >= seen[-1].open_ns
            if seen and candle.open_ns == seen[-1].open_ns:
                assert not seen[-1].is_closed
                seen.pop()
            seen.append(candle)
            start_ns = candle.close_ns if candle.is_closed else candle.open_ns
        version = series.version

    def rest() -> None:
        if (at := series.due(now_ns, now_ns)) is not None:
            attempt = series.asked()
            if draw.random() < 0.2:
                series.failed(attempt, "no answer", 0.0, now_ns)
                return
            known = old if draw.random() < 0.3 else truth
            series.filled(attempt, [each for each in known if each.open_ns >= at], now_ns, now_ns)

    for _ in range(400):
        now_ns += draw.randrange(1, 45) * SECOND_NS
        if draw.random() < 0.3:
            old = list(truth)
        frames = []
        last = truth[-1]
        while now_ns >= last.close_ns:
            truth = [*truth[:-1], replace(last, is_closed=True)]
            frames += [truth[-1]] if states_ends else []
            number = (last.close_ns - START) // MINUTE_NS + (draw.random() < 0.1 and not states_ends)
            last = minute(int(number), 0 if states_ends else 1)
            truth = [*truth, last]
        if last.open_ns <= now_ns:
            volume = int(last.volume) + draw.randrange(3)
            truth = [*truth[:-1], minute((last.open_ns - START) // MINUTE_NS, volume)]
            frames.append(truth[-1])
        for frame in [*frames, *(held if draw.random() < 0.3 else ())]:
            fate = draw.random()
            if fate < 0.15:
                held = [*held[-3:], frame]
            elif fate < 0.3:
                pass
            elif fate < 0.35:
                series.doubt("unreadable")
            else:
                series.streamed(frame, now_ns)
                if fate < 0.5:
                    series.streamed(frame, now_ns)
        if draw.random() < 0.03:
            series.lost("cut")
        elif series.state is State.WAITING:
            series.subscribed()
        if draw.random() < 0.7:
            rest()
        read()
    old = truth
    if series.state is State.WAITING:
        series.subscribed()
    for _ in range(100):
        now_ns += 31 * SECOND_NS
        rest()
        read()
    assert [each for each in seen if each.is_closed] == [each for each in truth if each.is_closed]
    assert series.since(0)[-1].open_ns == truth[-1].open_ns
    assert series.counters.holes > 5
