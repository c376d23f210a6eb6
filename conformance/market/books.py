"""Checks of books: the sample history by both paths, the sequence rule, agreement of both readers, recordings."""

from __future__ import annotations

from collections.abc import Iterator

from ...actors.recording.replay import replay
from ...connectors import registry
from ...connectors.market_codec import Codec, Scanner
from ...connectors.sequence import Verdict
from ...connectors.spec import BookSource, Proof
from ...model.events import BookState, DepthDelta, DepthSnapshot, MarketEvent, Side
from ...orderbook.l2 import OrderBook
from .book_replay import Story, level_text
from .mutations import flipped, truncated, twisted
from .suite import RECV_NS, Suite, decoded, excerpt, expect, reads_or_refuses, skip

ORDER = {Verdict.GAP: 0, Verdict.APPLY: 1, Verdict.STALE: 2}  # as a book's sequence grows towards a delta and past it


class Books(Suite):
    """Checks of the books that result from the frames."""

    def test_the_sample_gives_the_expected_book_by_the_fast_path(self) -> None:
        """Snapshot and deltas give the expected book, LIVE, through the byte scanners (if there are any)."""
        self._play(fast=True)

    def test_the_sample_gives_the_expected_book_by_the_slow_path(self) -> None:
        """Snapshot and deltas give the expected book, LIVE, through decode and snapshot alone."""
        self._play(fast=False)

    def _play(self, fast: bool) -> None:
        samples = self.samples
        story = Story(self.codec(), self.instrument(), samples, fast=fast)
        story.play()
        joined = story.feed.is_joined
        self._as_expected(story, "with frames first, then the snapshot" if joined else "with the book, then frames")
        stale = samples.stale is not None and joined
        counters = story.pair.machine.counters
        if story.feed.source is not BookSource.EVERY_FRAME:
            applied = counters.applied == len(samples.deltas)
            expect(applied, f"{counters.applied} of {len(samples.deltas)} deltas applied")
        expect(counters.dropped == stale, f"{counters.dropped} deltas were dropped as stale, expected {int(stale)}")
        late = Story(self.codec(), self.instrument(), samples, fast=fast)
        late.confirm()
        late.snapshot()
        expect(
            late.state is BookState.LIVE,
            f"after a confirmed subscription and a snapshot the book is {late.state.name}, expected LIVE",
        )
        late.frames(samples.deltas)
        self._as_expected(late, "with the snapshot first, then frames")

    def _as_expected(self, story: Story, how: str) -> None:
        why = story.pair.machine.error
        expect(story.state is BookState.LIVE, f"{how}, the book is {story.state.name}, expected LIVE: {why}")
        found = story.pair.book.sequence
        expect(
            found == self.samples.sequence or not story.feed.is_numbered,
            f"{how}, the book's sequence is {found}, expected {self.samples.sequence}",
        )
        for side, rows in ((Side.BUY, self.samples.bids), (Side.SELL, self.samples.asks)):
            levels = story.text(side)
            wanted = [(_plain(price), _plain(size)) for price, size in rows]
            expect(levels == wanted, f"{how}, the {side.value} side is {levels}, expected {wanted}")

    def test_a_missed_delta_is_a_gap_until_the_next_snapshot(self) -> None:
        """After a gap the book is GAP at once and requests a snapshot; a stale frame changes nothing."""
        samples = self.samples
        if samples.gap is None:
            expect(not self.codec().spec.sequenced, "the spec says sequenced, but samples.gap is missing")
            skip("the connection is the only proof")
        for fast in (True, False):
            story = Story(self.codec(), self.instrument(), samples, fast=fast)
            story.play()
            before = story.text(Side.BUY), story.text(Side.SELL)
            if samples.stale is not None and story.feed.proof is not Proof.CHAIN:  # in a chain a repetition is a gap
                story.frames([samples.stale, samples.deltas[-1]])
                expect(
                    story.state is BookState.LIVE, f"after a stale frame the book is {story.state.name}, expected LIVE"
                )
                expect((story.text(Side.BUY), story.text(Side.SELL)) == before, "a stale frame changed the book")
            story.frames([samples.gap])
            expect(story.state is BookState.GAP, f"after the gap the book is {story.state.name}, expected GAP")
            expect(story.asks_for_snapshot, "after the gap the book did not request a snapshot")
            story.snapshot()
            if story.feed.is_joined:
                expect(story.state is not BookState.LIVE, "a snapshot from before the gap made the book LIVE")
            else:
                expect(story.state is BookState.LIVE, "after the gap the next book of the feed did not make it LIVE")

    def test_the_sequence_rule_is_consistent(self) -> None:
        """classify returns the samples' STALE, APPLY and GAP, and stays monotone as the book's sequence grows."""
        codec, samples = self.bound(), self.samples
        feed = codec.spec.book
        if feed.source is BookSource.EVERY_FRAME:
            skip("each frame is a whole book")
        deltas = [self._delta(codec, frame) for frame in samples.deltas]
        if feed.proof is not Proof.RANGE or feed.source is not BookSource.REST:
            skip("test_the_rule_follows_the_declared_proof checks this proof")
        expect(samples.stale is not None and samples.gap is not None, "samples.stale and samples.gap are required")
        snapshot = codec.snapshot(self.instrument(), samples.snapshot, samples.snapshot_limit, RECV_NS)
        at = snapshot.sequence
        stale = self._delta(codec, samples.stale or b"")
        self._expect_verdict(codec, Verdict.STALE, at, stale, False)
        for number, delta in enumerate(deltas):
            self._expect_verdict(codec, Verdict.APPLY, at, delta, number > 0)
            at = delta.last
            self._expect_verdict(codec, Verdict.STALE, at, delta, True)
        self._expect_verdict(codec, Verdict.GAP, at, self._delta(codec, samples.gap or b""), True)
        self._expect_verdict(codec, Verdict.GAP, snapshot.sequence, self._delta(codec, samples.gap or b""), False)
        for delta in deltas:
            for joined in (False, True):
                self._monotone(codec, delta, joined)

    @staticmethod
    def _delta(codec: Codec, frame: bytes) -> DepthDelta:
        event = decoded(codec, frame)
        expect(
            isinstance(event, DepthDelta),
            f"decode reads the sample delta {excerpt(frame)} as {event!r}, expected DepthDelta",
        )
        if codec.spec.book.proof is Proof.RANGE:
            expect(
                event.first <= event.last,
                f"the delta {excerpt(frame)} begins at {event.first}, after its end {event.last}",
            )
        delta: DepthDelta = event
        return delta

    @staticmethod
    def _expect_verdict(codec: Codec, wanted: Verdict, at: int, delta: DepthDelta, joined: bool) -> None:
        verdict = codec.classify(at, delta, joined)
        expect(
            verdict is wanted,
            f"classify({at}, {delta.first}, {delta.last}, joined={joined}) is {verdict}; the samples expect {wanted}",
        )

    @staticmethod
    def _monotone(codec: Codec, delta: DepthDelta, joined: bool) -> None:
        near = set(range(max(0, delta.first - 4), delta.first + 4)) | set(range(max(0, delta.last - 4), delta.last + 5))
        # exchanges differ about a delta that overlaps the book: some apply the whole delta, some treat it as a gap
        sequences = sorted(at for at in near if not (joined and delta.first <= at < delta.last))
        verdicts = [codec.classify(at, delta, joined) for at in sequences]
        ranks = [ORDER[verdict] for verdict in verdicts]
        expect(
            ranks == sorted(ranks),
            f"classify(sequence, {delta.first}, {delta.last}, joined={joined}) is not monotone as the sequence grows: "
            + ", ".join(f"{at}: {verdict.name}" for at, verdict in zip(sequences, verdicts, strict=True)),
        )

    def test_both_readers_of_a_delta_agree(self) -> None:
        """decode reads every frame that the byte scanner accepts, whole or damaged, exactly as the scanner does."""
        scanner = self.codec().scanner()
        if scanner is None:
            skip("the connector has no byte scanner")
        instrument, codec = self.instrument(), self.bound()
        scanner.bind(instrument.symbol, OrderBook(instrument.price_scale, instrument.size_scale))
        recognised = set()
        for frame in self._frames():
            if scanner.scan(frame) < 0:
                continue
            recognised.add(frame)
            events = reads_or_refuses("decode", lambda frame=frame: codec.decode(frame, RECV_NS), frame)
            expect(events is not None, f"the scanner reads {excerpt(frame)}, but decode raises DecodeError")
            if not scanner.depth:
                self._delta(codec, frame)
            same = [(instrument.symbol, *_scanned(scanner))] == [_decoded(event) for event in events]
            expect(same, f"scanner and decode read different levels or numbers from {excerpt(frame)}")
        for kind, frames in (("deltas", self.samples.deltas), ("books", self._pushed_books())):
            expect(not frames or not recognised.isdisjoint(frames), f"the scanner reads none of the sample {kind}")

    def _pushed_books(self) -> tuple[bytes, ...]:
        """The frames of the samples with a whole book."""
        pushed = self.codec().spec.book.source in (BookSource.PUSHED, BookSource.EVERY_FRAME)
        return (self.samples.snapshot,) if pushed else ()

    def _frames(self) -> Iterator[bytes]:
        for number, frame in enumerate((*self._pushed_books(), *self.samples.deltas)):
            yield frame
            yield from truncated(frame, 100)
            yield from flipped(frame, seed=number)
            yield from twisted(frame)

    def test_both_readers_of_a_snapshot_agree(self) -> None:
        """snapshot reads every body that the bulk reader accepts, whole or damaged, exactly as the bulk reader does."""
        codec, sample = self.codec(), self._rest_book()
        bulk = codec.snapshot_scanner()
        if bulk is None:
            skip("the connector has no bulk reader of snapshots")
        instrument, limit = self.instrument(), self.samples.snapshot_limit
        for body in [sample, *truncated(sample, 100), *flipped(sample, seed=1), *twisted(sample)]:
            if not bulk.scan(body, instrument.price_scale, instrument.size_scale):
                continue
            read = reads_or_refuses(
                "snapshot", lambda body=body: codec.snapshot(instrument, body, limit, RECV_NS), body
            )
            expect(read is not None, f"the bulk reader reads {excerpt(body)}, but snapshot raises DecodeError")
            expect(
                bulk.sequence == read.sequence,
                f"the bulk reader reads sequence {bulk.sequence}, snapshot reads {read.sequence}, from {excerpt(body)}",
            )

    def test_a_snapshot_is_complete_only_below_its_limit(self) -> None:
        """A side with fewer levels than the limit is complete, a full side is not. Levels are best first, uncrossed."""
        instrument, codec, samples, body = self.instrument(), self.codec(), self.samples, self._rest_book()
        read = codec.snapshot(instrument, body, samples.snapshot_limit, RECV_NS)
        for side, levels, complete in (("bid", read.bids, read.bids_complete), ("ask", read.asks, read.asks_complete)):
            expect(len(levels) > 0, f"the sample snapshot has no {side}")
            expect(complete == (len(levels) < samples.snapshot_limit), f"{side}s: {len(levels)} rows, {complete=}")
            prices = levels[:, 0].tolist()
            expect(prices == sorted(set(prices), reverse=side == "bid"), f"{side}s are not best first")
            cut = codec.snapshot(instrument, body, len(levels), RECV_NS)
            expect(
                not (cut.bids_complete if side == "bid" else cut.asks_complete),
                f"{len(levels)} {side}s with a limit of {len(levels)} are called complete; there may be more",
            )
        best = level_text(instrument, read.bids[:1]), level_text(instrument, read.asks[:1])
        expect(int(read.bids[0, 0]) < int(read.asks[0, 0]), f"the sample snapshot is crossed: {best}")

    def _rest_book(self) -> bytes:
        """A body of the REST order book."""
        if self.codec().spec.book.source is BookSource.REST:
            return self.samples.snapshot
        if self.samples.rest_book is None:
            skip("the samples have no REST order book")
        return self.samples.rest_book

    def test_recordings_replay_alike_by_both_paths(self) -> None:
        """A recording gives the same books by the fast and the slow path, and they do not end crossed."""
        if not self.samples.recordings:
            skip("the samples have no recording")
        name = self.connector.name
        if name not in registry.known():
            skip(f"{name} is not installed: replay finds connectors by entry point")
        fast, slow = (replay(self.samples.recordings, name, path=path) for path in ("fast", "slow"))
        expect(fast == slow, "the two paths end with different books")
        expect(any(row["book"]["applied"] for row in fast.values()), "no delta of the recording was applied")
        for symbol, row in fast.items():
            best_bid, best_ask = (row["book"][side][:1] for side in ("bids", "asks"))
            crossed = best_bid and best_ask and float(best_bid[0][0]) >= float(best_ask[0][0])
            expect(not crossed, f"{symbol} ends crossed: {best_bid}, {best_ask}")


def _scanned(scanner: Scanner) -> tuple[object, ...]:
    """Return what a scanner has read, a delta or a whole book."""
    sides = [levels.tolist() for levels in scanner.levels()]
    if scanner.depth:
        complete = [len(levels) < scanner.depth for levels in sides]
        return scanner.last, scanner.checksum, scanner.ts_event_ns, complete, sides
    return scanner.first, scanner.last, scanner.previous, scanner.checksum, scanner.ts_event_ns, sides


def _decoded(event: MarketEvent) -> tuple[object, ...] | None:
    """Return the symbol of an event and the same; None if it is of another kind."""
    if not isinstance(event, DepthDelta | DepthSnapshot):
        return None
    sides = [event.bids.tolist(), event.asks.tolist()]
    if isinstance(event, DepthSnapshot):
        complete = [event.bids_complete, event.asks_complete]
        return event.symbol, event.sequence, event.checksum, event.ts_event_ns, complete, sides
    return event.symbol, event.first, event.last, event.previous, event.checksum, event.ts_event_ns, sides


def _plain(text: str) -> str:
    """Decimal text without trailing zeros."""
    return text.rstrip("0").rstrip(".") if "." in text else text
