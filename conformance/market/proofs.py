"""The proof that a connector declares, broken in every way: each break must be noticed, and what is legal must pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from ...connectors.market_codec import ChecksummedBooks, Codec, RequestedBooks
from ...connectors.sequence import Verdict
from ...connectors.spec import BookSource, Proof
from ...model.events import BookState, DepthDelta, DepthSnapshot, MarketEvent, Side
from .book_replay import Story
from .suite import RECV_NS, Suite, decoded, excerpt, expect, skip

E = TypeVar("E")
APPLY, STALE, GAP = Verdict.APPLY, Verdict.STALE, Verdict.GAP
FAR = 1_000_000  # numbers away


@dataclass(frozen=True, slots=True)
class Step:
    """The numbers of a delta."""

    first: int
    last: int
    previous: int | None = None


# Number of the book, numbers of a delta, whether one was joined before, what the delta may be taken for.
CHAIN: tuple[tuple[int, Step, bool, tuple[Verdict, ...], str], ...] = (
    (10, Step(11, 15, 10), True, (APPLY,), "the next delta"),
    (15, Step(16, 15, 15), True, (APPLY,), "a delta whose number stands still"),
    (15, Step(16, 3, 15), True, (APPLY,), "a delta that sets the chain back"),
    (3, Step(4, 5, 3), True, (APPLY,), "the delta after the chain was set back"),
    (10, Step(13, 15, 12), True, (GAP,), "a delta after a lost one"),
    (15, Step(4, 5, 3), True, (GAP,), "a delta after a lost one that set the chain back"),
    (15, Step(11, 15, 10), True, (GAP, STALE), "a delta that comes twice"),
)
STEP: tuple[tuple[int, Step, bool, tuple[Verdict, ...], str], ...] = (
    (10, Step(11, 11, None), True, (APPLY,), "the next delta"),
    (10, Step(10, 10, None), True, (GAP, STALE), "a delta that comes twice"),
    (10, Step(12, 12, None), True, (GAP,), "a delta after a lost one"),
    (10, Step(10 + FAR, 10 + FAR, None), True, (GAP,), "a delta after many lost ones"),
)
UNNUMBERED: tuple[tuple[int, Step, bool, tuple[Verdict, ...], str], ...] = (
    (10, Step(0, 0, None), True, (APPLY,), "a delta without a number"),
)
RULES = {Proof.CHAIN: CHAIN, Proof.STEP: STEP, Proof.CHECKSUM: UNNUMBERED, Proof.CONNECTION: UNNUMBERED}


class Meddler:
    """A codec with one method that changes what it returns."""

    def __init__(self, codec: Codec, method: str, change: Callable[[Any], Any]) -> None:
        self._codec = codec
        self._change = {method: change}

    def __getattr__(self, name: str) -> Any:
        found, change = getattr(self._codec, name), self._change.get(name)
        return found if change is None else lambda *args, **options: change(found(*args, **options))


class Proofs(Suite):
    """What `spec.book` promises, broken."""

    def _story(self, fast: bool = False, codec: Any = None) -> Story:
        return Story(codec or self.codec(), self.instrument(), self.samples, fast=fast)

    def _sides(self, story: Story) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        return story.text(Side.BUY), story.text(Side.SELL)

    def test_the_declared_feed_is_whole(self) -> None:
        """The spec's book feed can be true, and the codec has what it needs."""
        spec, codec = self.connector.spec, self.codec()
        feed = codec.spec.book
        expect(
            feed.is_numbered or not feed.is_joined,
            f"whole books come apart from the deltas ({feed.source.value}) and {feed.proof.value} cannot tell which "
            "delta follows them: such a book is joined to an unrelated stream",
        )
        for needed, protocol, name in (
            (feed.source is BookSource.REQUESTED, RequestedBooks, "book_request"),
            (feed.proof is Proof.CHECKSUM, ChecksummedBooks, "checksum"),
        ):
            has = isinstance(codec, protocol)
            expect(has or not needed, f"{feed.source.value} books proven by {feed.proof.value} need {name}")
        expect(feed.window is None or feed.window > 0, f"a window of {feed.window} levels")
        expect(feed.first_book_s > 0, f"first_book_s is {feed.first_book_s}")
        for name, amount in feed.resync_cost:
            known = name in spec.limits and spec.limits[name].scope == "egress" and amount > 0
            expect(known, f"resync_cost spends {amount} of {name!r}, which is no limit of an egress")
        if spec.keepalive is not None:
            late = spec.keepalive.every_s >= spec.silence_s
            expect(bool(spec.keepalive.frame) and not late, f"{spec.keepalive} is empty or later than silence_s")

    def test_the_rule_follows_the_declared_proof(self) -> None:
        """classify applies what is next, also where a chain stands still or goes back, and nothing after a hole."""
        codec = self.codec()
        proof = codec.spec.book.proof
        if proof is Proof.RANGE:
            skip("test_the_sequence_rule_is_consistent looks at ranges")
        for at, step, joined, allowed, what in RULES[proof]:
            verdict = codec.classify(at, step, joined)
            names = " or ".join(one.name for one in allowed)
            expect(verdict in allowed, f"{what}, {step} to a book at {at}, is {verdict.name}; it is {names}")

    def test_a_dropped_frame_is_noticed(self) -> None:
        """Without any one frame that matters, the story is not LIVE: whatever the proof is, it shows the hole."""
        samples = self.samples
        if self.codec().spec.book.proof is Proof.CONNECTION:
            skip("the connection alone is the proof")
        expect(len(samples.deltas) > 1, "the story has one delta only: no frame can be dropped before another")
        noticed = 0
        for fast in (True, False):
            whole = self._story(fast)
            whole.play()
            for missing in range(len(samples.deltas) - 1):
                story = self._story(fast)
                story.confirm()
                story.snapshot()
                story.frames(frame for number, frame in enumerate(samples.deltas) if number != missing)
                if story.state is BookState.LIVE:
                    same = self._sides(story) == self._sides(whole)  # one that changes nothing may be lost
                    dropped = excerpt(samples.deltas[missing])
                    expect(same, f"the delta {dropped} was dropped, and the book is LIVE without it")
                else:
                    noticed += 1
                    expect(story.asks_for_snapshot, "after a dropped frame no new book is asked for")
        expect(noticed > 0, "no frame of the story can be missed: the samples cannot show a hole")

    def test_a_repeated_frame_is_noticed_or_harmless(self) -> None:
        """A frame that comes twice ends LIVE, or changes nothing."""
        for number in range(len(self.samples.deltas)):
            story = self._story()
            story.confirm()
            story.snapshot()
            deltas = list(self.samples.deltas)
            story.frames(deltas[: number + 1])
            before = self._sides(story)
            story.frames([deltas[number]])
            if story.state is BookState.LIVE:
                expect(self._sides(story) == before, f"{excerpt(deltas[number])} twice changes the book")
                story.frames(deltas[number + 1 :])
                expect(story.state is BookState.LIVE, "the story cannot go on after a frame that came twice")
            else:
                expect(story.asks_for_snapshot, "after a repeated frame no new book is asked for")

    def test_a_wrong_checksum_is_noticed(self) -> None:
        """A delta or a book whose checksum is not the book's ends LIVE; the right ones are compared, each of them."""
        proof = self.codec().spec.book.proof
        if proof is not Proof.CHECKSUM:
            skip("checksums are not the proof")
        frames = (self.samples.snapshot, *self.samples.deltas)
        story = self._story()
        story.frames(frames)
        compared = story.pair.machine.counters.checksums
        expect(compared == len(frames), f"{compared} checksums were compared, of {len(frames)} frames that carry one")
        for broken in range(len(frames)):
            story = self._story()
            story.frames(frames[:broken])
            wrong = self._story_with(story, lambda event: _with(event, checksum=(event.checksum or 0) ^ 1))
            wrong.frames([frames[broken]])
            expect(wrong.state is not BookState.LIVE, f"a wrong checksum with {excerpt(frames[broken])} is not noticed")
            expect(wrong.asks_for_snapshot, "after a wrong checksum no new book is asked for")

    def test_every_level_is_in_the_checksum(self) -> None:
        """A level that is wrong where the checksum reaches gives another checksum: the best of each side, at least."""
        codec = self.codec()
        if codec.spec.book.proof is not Proof.CHECKSUM:
            skip("checksums are not the proof")
        expect(isinstance(codec, ChecksummedBooks), "the codec has no checksum")
        story = self._story()
        story.play()
        instrument, book = self.instrument(), story.pair.book
        right = codec.checksum(instrument, book)  # type: ignore[attr-defined]
        levels = {side: book.levels(side) for side in Side}
        for side in Side:
            for column, what in ((0, "price"), (1, "size")):
                changed = {other: rows.copy() for other, rows in levels.items()}
                farther = -1 if side is Side.BUY else 1
                changed[side][0, column] += farther if column == 0 else 1
                if len(changed[side]) > 1 and column == 0 and changed[side][0, 0] == changed[side][1, 0]:
                    continue
                book.load(changed[Side.BUY], changed[Side.SELL], 1)
                found = codec.checksum(instrument, book)  # type: ignore[attr-defined]
                expect(found != right, f"the best {side.value} level has another {what}, and the same checksum")

    def test_a_book_in_the_feed_is_taken_at_any_time(self) -> None:
        """A whole book in the middle of the story replaces what was held and is LIVE; the story begins again there."""
        codec = self.bound()
        feed = codec.spec.book
        if feed.is_joined:
            skip("whole books come apart from the feed")
        came = decoded(codec, self.samples.snapshot)
        expect(
            isinstance(came, DepthSnapshot) and came.request_id is None,
            f"decode makes {came!r} of the book in the feed, {excerpt(self.samples.snapshot)}",
        )
        for fast in (True, False):
            fresh = self._story(fast)
            fresh.snapshot()
            expect(fresh.state is BookState.LIVE, f"a book in the feed makes the book {fresh.state.name}, not LIVE")
            expect(not fresh.asks_for_snapshot, "a book came, and another is asked for")
            for before in range(len(self.samples.deltas) + 1):
                story = self._story(fast)
                story.snapshot()
                story.frames(self.samples.deltas[:before])
                story.snapshot()
                expect(story.state is BookState.LIVE, f"a book after {before} deltas makes the book {story.state.name}")
                same = self._sides(story) == self._sides(fresh)
                expect(same, f"a book after {before} deltas does not replace what was held")
                story.frames(self.samples.deltas)
                self._ends_right(story)

    def test_frames_before_the_first_book_make_no_book(self) -> None:
        """Deltas alone are never LIVE; after a lost frame the next book of the feed is."""
        samples = self.samples
        if self.codec().spec.book.source is BookSource.EVERY_FRAME:
            skip("each frame is a whole book")
        story = self._story()
        story.confirm()
        story.frames(samples.deltas)
        expect(story.state is not BookState.LIVE, "deltas without a book are LIVE")
        expect(story.asks_for_snapshot, "there are deltas and no book, and none is asked for")
        if not story.feed.is_joined:
            story.snapshot()
            expect(story.state is BookState.LIVE, f"the book came late, and the state is {story.state.name}")
            story.frames(samples.deltas)
            self._ends_right(story)

    def test_a_foreign_snapshot_does_not_join(self) -> None:
        """A snapshot of another time, far before or after the deltas that wait, is not LIVE with them."""
        codec = self.codec()
        if not codec.spec.book.is_joined:
            skip("books in the feed are joined to nothing")
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
                f"a snapshot {away} numbers away from the deltas is joined to them",
            )

    def test_a_window_is_kept(self) -> None:
        """What falls out of the exchange's window is forgotten, and every level inside it counts as proven."""
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
                expect(n <= window, f"{n} {name} are held after {excerpt(frame)}, of a window of {window}")
                expect(proven == n, f"{proven} of {n} {name} count as proven after {excerpt(frame)}")
        expect(most > window, f"no level of the story falls out of the window of {window}: the samples cannot show it")

    def _ends_right(self, story: Story) -> None:
        expect(story.state is BookState.LIVE, f"the story ends {story.state.name}: {story.pair.machine.error}")
        whole = self._story()
        whole.play()
        expect(self._sides(story) == self._sides(whole), "the story ends with another book")

    def _story_with(self, story: Story, change: Callable[[Any], Any]) -> Story:
        """The same story, its codec changing every event from here on."""
        codec: Any = Meddler(story.ingest.codec, "decode", lambda events: _each(events, change))
        story.ingest.codec = codec
        return story


def _each(events: Sequence[MarketEvent], change: Callable[[Any], Any]) -> list[MarketEvent]:
    return [change(event) if isinstance(event, DepthDelta | DepthSnapshot) else event for event in events]


def _with(event: E, **changes: Any) -> E:
    return replace(event, **changes)  # type: ignore[type-var]


def _moved(event: Any, away: int) -> Any:
    """A snapshot with another number."""
    return replace(event, sequence=max(1, event.sequence + away)) if isinstance(event, DepthSnapshot) else event
