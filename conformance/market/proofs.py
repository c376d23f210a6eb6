"""Checks of the declared proof: the book must notice every kind of error and accept every legal message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from ...actors.book.comparison import compared_levels
from ...actors.book.stillness import agrees
from ...connectors.market_codec import ChecksummedBooks, Codec, RequestedBooks
from ...connectors.sequence import Verdict
from ...connectors.spec import BookSource, Compared, Proof
from ...model.events import BookState, DepthDelta, DepthSnapshot, MarketEvent, Side
from .book_replay import Story
from .suite import RECV_NS, Suite, decoded, excerpt, expect, skip

E = TypeVar("E")
APPLY, STALE, GAP = Verdict.APPLY, Verdict.STALE, Verdict.GAP
SPARE = 0.25  # of a limit that requests may spend which can be left out, less than the limits role grants
FAR = 1_000_000  # a distance in sequence numbers


@dataclass(frozen=True, slots=True)
class Step:
    """The sequence numbers of a delta."""

    first: int
    last: int
    previous: int | None = None


# The book's sequence, the delta's numbers, whether a delta was joined before, the allowed verdicts, the case.
CHAIN: tuple[tuple[int, Step, bool, tuple[Verdict, ...], str], ...] = (
    (10, Step(11, 15, 10), True, (APPLY,), "the next delta"),
    (15, Step(16, 15, 15), True, (APPLY,), "a delta that keeps the book's number"),
    (15, Step(16, 3, 15), True, (APPLY,), "a delta that resets the chain to a lower number"),
    (3, Step(4, 5, 3), True, (APPLY,), "the delta after a reset of the chain"),
    (10, Step(13, 15, 12), True, (GAP,), "a delta after a lost delta"),
    (15, Step(4, 5, 3), True, (GAP,), "a delta after a lost reset of the chain"),
    (15, Step(11, 15, 10), True, (GAP, STALE), "a repeated delta"),
)
STEP: tuple[tuple[int, Step, bool, tuple[Verdict, ...], str], ...] = (
    (10, Step(11, 11, None), True, (APPLY,), "the next delta"),
    (10, Step(10, 10, None), True, (GAP, STALE), "a repeated delta"),
    (10, Step(12, 12, None), True, (GAP,), "a delta after a lost delta"),
    (10, Step(10 + FAR, 10 + FAR, None), True, (GAP,), "a delta after many lost deltas"),
)
UNNUMBERED: tuple[tuple[int, Step, bool, tuple[Verdict, ...], str], ...] = (
    (10, Step(0, 0, None), True, (APPLY,), "a delta without a number"),
)
RULES = {Proof.CHAIN: CHAIN, Proof.STEP: STEP, Proof.CHECKSUM: UNNUMBERED, Proof.CONNECTION: UNNUMBERED}


class Meddler:
    """A codec with one method whose results are changed."""

    def __init__(self, codec: Codec, method: str, change: Callable[[Any], Any]) -> None:
        self._codec = codec
        self._change = {method: change}

    def __getattr__(self, name: str) -> Any:
        found, change = getattr(self._codec, name), self._change.get(name)
        return found if change is None else lambda *args, **options: change(found(*args, **options))


class Proofs(Suite):
    """Checks of the declaration `spec.book`."""

    def _story(self, fast: bool = False, codec: Any = None) -> Story:
        return Story(codec or self.codec(), self.instrument(), self.samples, fast=fast)

    def _sides(self, story: Story) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        return story.text(Side.BUY), story.text(Side.SELL)

    def test_the_declared_feed_is_complete(self) -> None:
        """The spec's book feed is possible, and the codec has the methods that the feed needs."""
        spec, codec = self.connector.spec, self.codec()
        feed = codec.spec.book
        expect(
            feed.is_numbered or not feed.is_joined,
            f"books and deltas come separately ({feed.source.value}), but the proof {feed.proof.value} does not show "
            "which delta follows a book",
        )
        for needed, protocol, name in (
            (feed.source is BookSource.REQUESTED, RequestedBooks, "book_request"),
            (feed.proof is Proof.CHECKSUM, ChecksummedBooks, "checksum"),
        ):
            has = isinstance(codec, protocol)
            expect(has or not needed, f"{feed.source.value} books with proof {feed.proof.value} need codec.{name}")
        expect(feed.window is None or feed.window > 0, f"the window is {feed.window} levels, it must be positive")
        expect(feed.first_book_s > 0, f"first_book_s is {feed.first_book_s}, it must be positive")
        for name, amount in feed.resync_cost:
            known = name in spec.limits and spec.limits[name].scope == "egress" and amount > 0
            expect(
                known,
                f"resync_cost spends {amount} of {name!r}; it needs a positive amount of a limit of scope egress",
            )
        if spec.keepalive is not None:
            late = spec.keepalive.every_s >= spec.silence_s
            expect(
                bool(spec.keepalive.frame) and not late,
                f"{spec.keepalive} needs a frame, and an interval shorter than silence_s {spec.silence_s:g}",
            )

    def test_the_rule_follows_the_declared_proof(self) -> None:
        """classify applies the next delta, also after a reset of the chain, and no delta after a gap."""
        codec = self.codec()
        proof = codec.spec.book.proof
        if proof is Proof.RANGE:
            skip("test_the_sequence_rule_is_consistent checks ranges")
        for at, step, joined, allowed, what in RULES[proof]:
            verdict = codec.classify(at, step, joined)
            names = " or ".join(choice.name for choice in allowed)
            expect(
                verdict in allowed,
                f"classify returned {verdict.name} for {what}, {step} to a book at {at}; expected {names}",
            )

    def test_a_dropped_frame_is_noticed(self) -> None:
        """With any declared proof, the book is not LIVE after the loss of a frame that changes the book."""
        samples = self.samples
        if self.codec().spec.book.proof is Proof.CONNECTION:
            skip("the connection is the only proof")
        expect(len(samples.deltas) > 1, "samples.deltas has only one delta; this check drops one before another")
        noticed = 0
        for fast in (True, False):
            undisturbed = self._story(fast)
            undisturbed.play()
            for missing in range(len(samples.deltas) - 1):
                story = self._story(fast)
                story.confirm()
                story.snapshot()
                story.frames(frame for number, frame in enumerate(samples.deltas) if number != missing)
                if story.state is BookState.LIVE:
                    # the loss of a delta without changes is harmless
                    same = self._sides(story) == self._sides(undisturbed)
                    dropped = excerpt(samples.deltas[missing])
                    expect(same, f"the delta {dropped} was dropped, and the book stayed LIVE")
                else:
                    noticed += 1
                    expect(story.asks_for_snapshot, "after a dropped frame the book did not request a snapshot")
        expect(noticed > 0, "no sample delta changes the book: the samples cannot show a gap")

    def test_a_repeated_frame_is_noticed_or_harmless(self) -> None:
        """After a repeated frame the book is not LIVE, or it is unchanged."""
        for number in range(len(self.samples.deltas)):
            story = self._story()
            story.confirm()
            story.snapshot()
            deltas = list(self.samples.deltas)
            story.frames(deltas[: number + 1])
            before = self._sides(story)
            story.frames([deltas[number]])
            if story.state is BookState.LIVE:
                expect(self._sides(story) == before, f"the repetition of {excerpt(deltas[number])} changed the book")
                story.frames(deltas[number + 1 :])
                expect(
                    story.state is BookState.LIVE,
                    f"the frames after a repeated frame made the book {story.state.name}, expected LIVE",
                )
            else:
                expect(story.asks_for_snapshot, "after a repeated frame the book did not request a snapshot")

    def test_a_wrong_checksum_is_noticed(self) -> None:
        """A wrong checksum ends LIVE, and the checksum of every frame is compared."""
        proof = self.codec().spec.book.proof
        if proof is not Proof.CHECKSUM:
            skip("the proof is not a checksum")
        frames = (self.samples.snapshot, *self.samples.deltas)
        story = self._story()
        story.frames(frames)
        compared = story.pair.machine.counters.checksums
        expect(compared == len(frames), f"{compared} checksums were compared, expected {len(frames)}: one per frame")
        for broken in range(len(frames)):
            story = self._story()
            story.frames(frames[:broken])
            wrong = self._story_with(story, lambda event: _with(event, checksum=(event.checksum or 0) ^ 1))
            wrong.frames([frames[broken]])
            expect(
                wrong.state is not BookState.LIVE,
                f"the book stayed LIVE after a wrong checksum with {excerpt(frames[broken])}",
            )
            expect(wrong.asks_for_snapshot, "after a wrong checksum the book did not request a snapshot")

    def test_every_level_is_in_the_checksum(self) -> None:
        """A change of the best level of either side changes the checksum."""
        codec = self.codec()
        if codec.spec.book.proof is not Proof.CHECKSUM:
            skip("the proof is not a checksum")
        expect(isinstance(codec, ChecksummedBooks), "the codec has no method checksum")
        story = self._story()
        story.play()
        instrument, book = self.instrument(), story.pair.book
        right = codec.checksum(instrument, book)  # type: ignore[attr-defined]
        levels = {side: book.levels(side) for side in Side}
        for side in Side:
            for column, what in ((0, "price"), (1, "size")):
                changed = {each: rows.copy() for each, rows in levels.items()}
                farther = -1 if side is Side.BUY else 1
                changed[side][0, column] += farther if column == 0 else 1
                if len(changed[side]) > 1 and column == 0 and changed[side][0, 0] == changed[side][1, 0]:
                    continue
                book.load(changed[Side.BUY], changed[Side.SELL], 1)
                found = codec.checksum(instrument, book)  # type: ignore[attr-defined]
                expect(
                    found != right, f"the checksum stays the same with another {what} of the best {side.value} level"
                )

    def test_a_book_in_the_feed_is_taken_at_any_time(self) -> None:
        """A whole book in the middle of the feed replaces the book, which is LIVE; deltas continue from there."""
        codec = self.bound()
        feed = codec.spec.book
        if feed.is_joined:
            skip("books do not come in the feed")
        came = decoded(codec, self.samples.snapshot)
        expect(
            isinstance(came, DepthSnapshot) and came.request_id is None,
            f"decode reads the book in the feed {excerpt(self.samples.snapshot)} as {came!r}, expected DepthSnapshot "
            "without request_id",
        )
        for fast in (True, False):
            fresh = self._story(fast)
            fresh.snapshot()
            expect(
                fresh.state is BookState.LIVE,
                f"after a book in the feed the state is {fresh.state.name}, expected LIVE",
            )
            expect(not fresh.asks_for_snapshot, "after a book in the feed the book still requests a snapshot")
            for before in range(len(self.samples.deltas) + 1):
                story = self._story(fast)
                story.snapshot()
                story.frames(self.samples.deltas[:before])
                story.snapshot()
                expect(
                    story.state is BookState.LIVE,
                    f"after {before} deltas and a book the state is {story.state.name}, expected LIVE",
                )
                same = self._sides(story) == self._sides(fresh)
                expect(same, f"a book after {before} deltas did not replace the levels before it")
                story.frames(self.samples.deltas)
                self._ends_right(story)

    def test_frames_before_the_first_book_make_no_book(self) -> None:
        """Deltas alone never make a book LIVE; the next book of the feed does."""
        samples = self.samples
        if self.codec().spec.book.source is BookSource.EVERY_FRAME:
            skip("each frame is a whole book")
        story = self._story()
        story.confirm()
        story.frames(samples.deltas)
        expect(story.state is not BookState.LIVE, "deltas without a book made the book LIVE")
        expect(story.asks_for_snapshot, "after deltas without a book the book did not request a snapshot")
        if not story.feed.is_joined:
            story.snapshot()
            expect(
                story.state is BookState.LIVE,
                f"after deltas and then a book the state is {story.state.name}, expected LIVE",
            )
            story.frames(samples.deltas)
            self._ends_right(story)

    def test_a_foreign_snapshot_does_not_join(self) -> None:
        """A snapshot far before or after the buffered deltas does not become LIVE with them."""
        codec = self.codec()
        if not codec.spec.book.is_joined:
            skip("books in the feed are not joined to deltas")
        for away in (-FAR, FAR):
            if codec.spec.book.source is BookSource.REST:
                foreign = Meddler(codec, "snapshot", partial(_moved, away=away))
            else:
                foreign = Meddler(codec, "decode", partial(_each, change=partial(_moved, away=away)))
            story = self._story(codec=foreign)
            story.frames(self.samples.deltas)
            story.snapshot()
            same = story.pair.book.sequence == self.samples.sequence
            expect(
                not (story.state is BookState.LIVE and same),
                f"a snapshot {away} sequence numbers away from the deltas was joined to them",
            )

    def test_a_silent_book_can_be_compared(self) -> None:
        """A book over REST agrees with the same book, and with no other; the comparison fits the spare rate limit."""
        codec, samples, instrument = self.bound(), self.samples, self.instrument()
        feed = codec.spec.book
        body = samples.snapshot if feed.source is BookSource.REST else samples.rest_book
        if feed.compared is None or body is None:
            skip("the exchange has no book over REST to compare" if body else "samples.rest_book is missing")
        levels = compared_levels(codec)
        for name, amount in codec.snapshot_request(instrument, levels).cost:
            most = int(codec.spec.limits[name].amount * SPARE)
            expect(amount <= most, f"a comparison of {levels} levels spends {amount} of {name!r}; {most} are spare")
        read = codec.snapshot(instrument, body, levels, RECV_NS)
        expect(
            feed.compared is not Compared.NUMBER or (feed.is_numbered and read.sequence > 0),
            "spec.book.compared is the number, but books over REST or deltas have none",
        )
        pair = self._story().pair
        bids, asks = read.bids[:levels], read.asks[:levels]
        pair.book.load(bids, asks, read.sequence)
        pair.machine.sequence = read.sequence
        expect(agrees(pair, read, levels, feed.compared), "a book over REST does not agree with itself")
        for side, rows, step in (("bids", bids, 1), ("asks", asks, -1)):
            other = rows.copy()
            other[0, 0] += step
            changed = replace(read, bids=other) if side == "bids" else replace(read, asks=other)
            same = agrees(pair, replace(changed, sequence=read.sequence + 1), levels, feed.compared)
            expect(not same, f"a book over REST with another best price of the {side} agrees with this book")

    def test_a_window_is_kept(self) -> None:
        """The book drops levels outside the exchange's window, and counts every level inside as proven."""
        window = self.codec().spec.book.window
        if window is None:
            skip("the exchange has no window")
        story = self._story()
        story.confirm()
        story.snapshot()
        held: dict[Side, set[int]] = {side: set(story.pair.book.levels(side)[:, 0].tolist()) for side in Side}
        most = max(len(prices) for prices in held.values())
        codec = self.bound()
        for frame in self.samples.deltas:
            for event in codec.decode(frame, RECV_NS):
                if isinstance(event, DepthDelta):
                    for side, rows in ((Side.BUY, event.bids), (Side.SELL, event.asks)):
                        for price, size in rows.tolist():
                            (held[side].add if size else held[side].discard)(price)
            most = max(most, *(len(prices) for prices in held.values()))
            story.frames([frame])
            book = story.pair.book
            for name, n, proven in (("bids", book.n_bids, book.proven_bids), ("asks", book.n_asks, book.proven_asks)):
                expect(n <= window, f"after {excerpt(frame)} the book has {n} {name}, more than its window of {window}")
                expect(proven == n, f"after {excerpt(frame)} {proven} of {n} {name} count as proven, expected all")
        expect(most > window, f"the sample deltas never exceed the window of {window} levels: add levels to them")

    def _ends_right(self, story: Story) -> None:
        expect(
            story.state is BookState.LIVE,
            f"after all frames the book is {story.state.name}, expected LIVE: {story.pair.machine.error}",
        )
        undisturbed = self._story()
        undisturbed.play()
        expect(
            self._sides(story) == self._sides(undisturbed), "after all frames the book differs from the expected book"
        )

    def _story_with(self, story: Story, change: Callable[[Any], Any]) -> Story:
        """Return the story; from now on `change` is applied to every event of its codec."""
        codec: Any = Meddler(story.ingest.codec, "decode", lambda events: _each(events, change))
        story.ingest.codec = codec
        return story


def _each(events: Sequence[MarketEvent], change: Callable[[Any], Any]) -> list[MarketEvent]:
    return [change(event) if isinstance(event, DepthDelta | DepthSnapshot) else event for event in events]


def _with(event: E, **changes: Any) -> E:
    return replace(event, **changes)  # type: ignore[type-var]


def _moved(event: Any, away: int) -> Any:
    """Return a snapshot with its sequence moved by `away`; other events unchanged."""
    return replace(event, sequence=max(1, event.sequence + away)) if isinstance(event, DepthSnapshot) else event
