"""Connectors of every style of book feed pass the suite, and the named check catches each mistake."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import pytest

from tests.fakes.styles import FEEDS, ChecksummedCodec, RequestedCodec, StyledCodec, connector, story
from venuemesh.conformance import Outcome, run_checks, runner
from venuemesh.conformance.runner import checks, suite_of
from venuemesh.connectors.sequence import Verdict, by_range
from venuemesh.connectors.spec import BookSource, Proof
from venuemesh.model.events import DepthDelta, DepthSnapshot


@pytest.mark.parametrize("style", FEEDS)
def test_every_style_passes(style):
    results = list(run_checks(suite_of(connector(style), story(style))))
    assert [(result.name, result.reason) for result in results if result.outcome is Outcome.FAILED] == []


def outcome(check: str, made, samples) -> Outcome:
    """Run one check alone; return its outcome."""
    with patch.object(runner, "checks", lambda suite: [one for one in checks(suite) if one[0] == check]):
        (found,) = run_checks(suite_of(made, samples))
    return found.outcome


class NeverSeesGaps(StyledCodec):
    def classify(self, sequence, delta, joined):
        return Verdict.APPLY


class RangesInAChain(StyledCodec):
    """Reads a chain as a range: a number that goes back looks old."""

    def classify(self, sequence, delta, joined):
        return by_range(sequence, delta)


class JoinsOnlyOnce(StyledCodec):
    """Reads the first book of the feed, and reads any later book as a delta."""

    books = 0

    def _book(self, instrument, message, recv_ns):
        self.books += 1
        read = super()._book(instrument, message, recv_ns)
        if self.books == 1:
            return read
        return DepthDelta(read.symbol, 101, 101, read.bids, read.asks, None, recv_ns, 100)


class DropsPushedBooks(StyledCodec):
    """Requests books over REST, although the feed sends them."""

    def _events(self, kind, message, recv_ns):
        events = super()._events(kind, message, recv_ns)
        return [event for event in events if not isinstance(event, DepthSnapshot)]


class IgnoresChecksums(ChecksummedCodec):
    def _numbers(self, message):
        return {"first": 0, "last": 0}


class TrustsAnyChecksum(ChecksummedCodec):
    """Compares nothing: returns the frame's own checksum."""

    def decode(self, frame, recv_ns):
        events = super().decode(frame, recv_ns)
        for event in events:
            if isinstance(event, DepthDelta | DepthSnapshot):
                self.last = event.checksum
        return events

    def checksum(self, instrument, book):
        return self.last


class SumsBidsOnly(ChecksummedCodec):
    """Leaves one side out of the checksum, which then differs from the exchange's."""

    def checksum(self, instrument, book):
        return book.n_bids


class HasNoChecksum(StyledCodec):
    pass


class StepsOverHoles(StyledCodec):
    def classify(self, sequence, delta, joined):
        return Verdict.APPLY if delta.last > sequence else Verdict.STALE


class JoinsAnything(RequestedCodec):
    """Joins a snapshot of any time to the first waiting delta."""

    def classify(self, sequence, delta, joined):
        return super().classify(sequence, delta, joined) if joined else Verdict.APPLY


class ForgetsTheNumber(StyledCodec):
    """Invents the number of the previous delta, which the frame should state."""

    def _numbers(self, message):
        return super()._numbers({"prev": message["seq"] - 1, **message})


class AnswersNoPings(RequestedCodec):
    def _events(self, kind, message, recv_ns):
        return super()._events("ignored" if kind == "ping" else kind, message, recv_ns)


@pytest.mark.parametrize(
    ("style", "wrong", "feed", "check"),
    [
        ("chain", NeverSeesGaps, {}, "test_a_dropped_frame_is_noticed"),
        ("chain", NeverSeesGaps, {}, "test_the_rule_follows_the_declared_proof"),
        ("chain", RangesInAChain, {}, "test_the_sample_gives_the_expected_book_by_the_slow_path"),
        ("chain", RangesInAChain, {}, "test_the_rule_follows_the_declared_proof"),
        ("chain", JoinsOnlyOnce, {}, "test_a_book_in_the_feed_is_taken_at_any_time"),
        ("chain", DropsPushedBooks, {}, "test_the_sample_gives_the_expected_book_by_the_slow_path"),
        ("chain", None, {"window": None}, "test_the_sample_gives_the_expected_book_by_the_slow_path"),
        ("chain", ForgetsTheNumber, {}, "test_a_delta_that_lacks_a_field_is_never_ignored"),
        ("step", StepsOverHoles, {}, "test_a_dropped_frame_is_noticed"),
        ("step", StepsOverHoles, {}, "test_a_missed_delta_is_a_gap_until_the_next_snapshot"),
        ("step", StepsOverHoles, {}, "test_the_rule_follows_the_declared_proof"),
        ("checksum", IgnoresChecksums, {}, "test_the_sample_gives_the_expected_book_by_the_slow_path"),
        ("checksum", TrustsAnyChecksum, {}, "test_a_dropped_frame_is_noticed"),
        ("checksum", TrustsAnyChecksum, {}, "test_every_level_is_in_the_checksum"),
        ("checksum", SumsBidsOnly, {}, "test_the_sample_gives_the_expected_book_by_the_slow_path"),
        ("checksum", HasNoChecksum, {}, "test_the_declared_feed_is_complete"),
        ("checksum", None, {"window": None}, "test_the_sample_gives_the_expected_book_by_the_slow_path"),
        ("checksum", None, {"source": BookSource.REST}, "test_the_declared_feed_is_complete"),
        ("connection", None, {"source": BookSource.REST}, "test_the_declared_feed_is_complete"),
        ("connection", None, {"proof": Proof.STEP}, "test_the_sample_gives_the_expected_book_by_the_slow_path"),
        ("requested", StyledCodec, {}, "test_the_declared_feed_is_complete"),
        ("requested", JoinsAnything, {}, "test_a_foreign_snapshot_does_not_join"),
        ("requested", AnswersNoPings, {}, "test_answers_are_read"),
        ("chain", None, {"first_book_s": 0.0}, "test_the_declared_feed_is_complete"),
        ("chain", None, {"resync_cost": (("nothing", 1),)}, "test_the_declared_feed_is_complete"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_a_wrong_connector_is_caught(style, wrong, feed, check):
    assert outcome(check, connector(style, wrong, **feed), story(style)) is Outcome.FAILED


def test_samples_that_show_no_level_falling_out_are_caught():
    samples = story("chain")
    assert outcome("test_a_window_is_kept", connector("chain", window=50), samples) is Outcome.FAILED


def test_a_keepalive_later_than_the_silence_is_caught():
    made = connector("chain")
    made = replace(made, spec=replace(made.spec, silence_s=10.0))
    assert outcome("test_the_declared_feed_is_complete", made, story("chain")) is Outcome.FAILED
