"""The order-level checks pass for right connectors of both styles and Kraken's, and each catches a mistake."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.fakes.order_styles import (
    CHECKSUM,
    NUMBER,
    ChecksummedOrderCodec,
    JoinedOrderCodec,
    OrderLevelStyle,
    OrderModel,
    order_connector,
)
from tests.fakes.styles import story
from venuemesh.conformance.runner import suite_of
from venuemesh.connectors.kraken import CONNECTOR
from venuemesh.connectors.kraken.level3 import KrakenOrderLevelCodec
from venuemesh.connectors.market_codec import Outgoing
from venuemesh.connectors.samples import MarketDataSamples, OrderLevelSamples
from venuemesh.connectors.sequence import Verdict
from venuemesh.connectors.spec import BookSource, Proof
from venuemesh.model.events import OrderDelta, Side
from venuemesh.orderbook.records import ADD, CHANGE

CHECKS = (
    "test_the_declared_order_level_feed_is_complete",
    "test_the_sample_gives_the_expected_orders",
    "test_a_lost_order_message_is_noticed",
    "test_a_repeated_order_message_is_noticed_or_harmless",
    "test_the_checksum_covers_orders_and_queues",
    "test_damaged_order_messages_are_refused",
    "test_order_messages_are_those_of_their_pair_alone",
    "test_no_recording_has_the_account_s_proof",
)


def samples(style: str) -> MarketDataSamples:
    """The history of the model exchange, with two orders at a level and one that falls out of the window."""
    model = OrderModel(style)
    snapshot = model.book()
    changes = (("add", 5, 3), ("size", 2, 4), ("add", 6, 2), ("gone", 3, 1), ("add", 5, 9), ("size", 6, 8))
    deltas = tuple(model.change(*change) for change in changes)
    bids, asks = (
        tuple((name, f"0.{price:08d}", f"0.{size:08d}") for name, price, size in model.rows(side))
        for side in ("buy", "sell")
    )
    sequence = model.sequence if style == NUMBER else 0
    stale = OrderModel(style, 98).change("size", 0, 7) if style == NUMBER else None
    model.change("add", 5, 6)  # lost
    gap = model.change("size", 2, 5)
    made = OrderLevelSamples(snapshot, deltas, bids, asks, sequence, stale, gap)
    return replace(story("range"), order_level=made)


def run(check: str, made: Any, given: MarketDataSamples) -> None:
    suite = suite_of(made, given)()
    try:
        getattr(suite, check)()
    except BaseException as error:
        if type(error).__name__ != "SkipTest":
            raise


@pytest.mark.parametrize("check", CHECKS)
def test_right_connectors_pass(check):
    for style in (CHECKSUM, NUMBER):
        run(check, order_connector(style), samples(style))
    run(check, CONNECTOR, CONNECTOR.samples())


class Wrong(OrderLevelStyle):
    """A connector with another codec."""

    kind: type

    def order_level_codec(self, *urls: Any, **options: Any) -> Any:
        made = super().order_level_codec(*urls, **options)
        return type(self).kind(made.spec, None, None)


def wrong(style: str, kind: type, **feed: Any) -> Any:
    right = order_connector(style, **feed)
    return type("Broken", (Wrong,), {"kind": kind})(right.style, right.spec, right.codec_class)


class NoChecksum(JoinedOrderCodec):
    """Its feed needs `order_checksum`."""


class ChecksumOfLevels(ChecksummedOrderCodec):
    def order_checksum(self, instrument, book):
        return hash(str([book.book.levels(side).tolist() for side in Side]))


class AppliesEverything(JoinedOrderCodec):
    def classify(self, sequence, delta, joined):
        return Verdict.STALE if delta.last <= sequence else Verdict.APPLY


class ForgetsChanges(JoinedOrderCodec):
    def decode(self, frame, recv_ns):
        return [_without_changes(event) for event in super().decode(frame, recv_ns)]


class AddsTwice(JoinedOrderCodec):
    """Takes a repeated message as new, under a new id."""

    count = 0

    def decode(self, frame, recv_ns):
        self.count += 1
        return [_renamed(event, self.count) for event in super().decode(frame, recv_ns)]

    def classify(self, sequence, delta, joined):
        return Verdict.APPLY


class RaisesKeyErrors(ChecksummedOrderCodec):
    def decode(self, frame, recv_ns):
        if not frame.endswith(b"}"):
            raise KeyError("data")
        return super().decode(frame, recv_ns)


class NamesOthers(ChecksummedOrderCodec):
    def symbol_of(self, frame):
        return "ETHBTC"


class Tells(KrakenOrderLevelCodec):
    def subscribe(self, instruments, request_id):
        return [Outgoing(one.frame, one.expects) for one in super().subscribe(instruments, request_id)]


def _without_changes(event):
    if not isinstance(event, OrderDelta):
        return event
    return replace(event, changes=[one for one in event.changes if one[0] & 7 != CHANGE])


def _renamed(event, count):
    if not isinstance(event, OrderDelta):
        return event
    return replace(
        event, changes=[(ADD, f"{one[1]}-{count}", *one[2:]) if one[0] == ADD else one for one in event.changes]
    )


@pytest.mark.parametrize(
    ("check", "style", "kind", "feed"),
    [
        (CHECKS[0], CHECKSUM, NoChecksum, {}),
        (CHECKS[0], NUMBER, ChecksummedOrderCodec, {}),
        (CHECKS[0], NUMBER, JoinedOrderCodec, {"by_order": False}),
        (CHECKS[0], NUMBER, JoinedOrderCodec, {"proof": Proof.RANGE}),
        (CHECKS[0], CHECKSUM, ChecksummedOrderCodec, {"source": BookSource.REST}),
        (CHECKS[1], NUMBER, ForgetsChanges, {}),
        (CHECKS[1], CHECKSUM, ChecksummedOrderCodec, {"window": 2}),
        (CHECKS[2], NUMBER, AppliesEverything, {}),
        (CHECKS[3], NUMBER, AddsTwice, {}),
        (CHECKS[4], CHECKSUM, ChecksumOfLevels, {}),
        (CHECKS[5], CHECKSUM, RaisesKeyErrors, {}),
        (CHECKS[6], CHECKSUM, NamesOthers, {}),
    ],
)
def test_each_check_catches_its_mistake(check, style, kind, feed):
    with pytest.raises(AssertionError) as caught:
        run(check, wrong(style, kind, **feed), samples(style))
    assert str(caught.value)


def test_a_proof_in_recordings_is_caught():

    class Telling(type(CONNECTOR)):  # type: ignore[misc]
        def order_level_codec(self, *urls: Any, **options: Any) -> Any:
            return Tells(self.spec, None, None, None)

    with pytest.raises(AssertionError, match="no masked form"):
        run(CHECKS[7], Telling(CONNECTOR.spec), CONNECTOR.samples())


def test_samples_are_required():
    with pytest.raises(AssertionError, match=r"samples\.order_level is missing"):
        run(CHECKS[1], order_connector(NUMBER), story("range"))
    assert isinstance(samples(CHECKSUM).order_level, OrderLevelSamples)
