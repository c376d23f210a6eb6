"""Checks of single messages: trades, confirmations, refusals, ignored and broken messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ...connectors.market_codec import Codec
from ...connectors.spec import BookSource
from ...model.errors import DecodeError, MeshError, OutcomeUnknown, Rejected, RetryLater
from ...model.events import (
    BookState,
    DepthDelta,
    DepthSnapshot,
    GoingAway,
    Ignored,
    PublicTrade,
    Say,
    Subscribed,
    SubscribeRefused,
)
from ...model.http import HttpResponse
from ...model.shown import few
from .book_replay import Story
from .mutations import JUNK, flipped, truncated, twisted, without_a_field
from .suite import RECV_NS, Suite, decoded, excerpt, expect, reads_or_refuses, skip


class Messages(Suite):
    """Checks of how the codec reads single messages."""

    def test_trades_are_read(self) -> None:
        """Each trade has its id, exact price and size, and the taker's side."""
        codec, instrument = self.bound(), self.instrument()
        expect(bool(self.samples.trades), "the samples have no trade")
        for sample in self.samples.trades:
            event = decoded(codec, sample.frame)
            _expect_type(event, PublicTrade, sample.frame)
            wanted = (instrument.symbol, sample.trade_id, sample.side)
            found = (event.symbol, event.trade_id, event.side)
            expect(found == wanted, f"symbol, trade id and side are {found}, expected {wanted}")
            raw = instrument.price_raw(sample.price), instrument.size_raw(sample.size)
            expect((event.price_raw, event.size_raw) == raw, f"{event!r} should be {sample.size} at {sample.price}")
            expect(event.ts_recv_ns == RECV_NS, f"ts_recv_ns is {event.ts_recv_ns}, expected the argument {RECV_NS}")

    def test_answers_are_read(self) -> None:
        """Confirmations, refusals, pings, closing and ignored messages are decoded as the samples expect."""
        codec = self.bound()
        expect(bool(self.samples.acks), "samples.acks is empty: no check could confirm a subscription")
        expect(bool(self.samples.refusals), "samples.refusals is empty")
        for frame, request_id in self.samples.acks:
            _expect_equal(decoded(codec, frame), Subscribed(request_id), frame)
        for sample in self.samples.refusals:
            event = decoded(codec, sample.frame)
            _expect_type(event, SubscribeRefused, sample.frame)
            expect((event.key, event.code) == (sample.request_id, sample.code), f"{event!r} differs from {sample!r}")
        for frame, answer in self.samples.pings:
            _expect_equal(decoded(codec, frame), Say(answer), frame)
        for frame in self.samples.closing:
            event = decoded(codec, frame)
            _expect_type(event, GoingAway, frame)
        for frame in self.samples.ignored:
            event = decoded(codec, frame)
            _expect_type(event, Ignored, frame)
            expect(
                bool(event.kind), f"Ignored.kind is empty for {excerpt(frame)}: it names the exchange's message type"
            )

    def test_a_memoryview_is_read_like_bytes(self) -> None:
        """decode reads a memoryview exactly as bytes."""
        codec = self.bound()
        for frame in self._market():
            plain, viewed = decoded(codec, frame), codec.decode(memoryview(frame), RECV_NS)[0]
            expect(
                _key(plain) == _key(viewed),
                f"decode reads a memoryview of {excerpt(frame)} as {viewed!r}, bytes as {plain!r}",
            )

    def test_frames_of_pairs_that_are_not_bound_are_ignored(self) -> None:
        """A frame of a pair that is not bound is Ignored; `symbol_of` still finds its symbol."""
        codec, symbol = self.codec(), self.instrument().symbol
        codec.bind([])
        for frame in self._market():
            event = decoded(codec, frame)
            expect(
                isinstance(event, Ignored),
                f"no pair is bound, but decode reads {excerpt(frame)} as {event!r}, expected Ignored",
            )
            found = codec.symbol_of(frame)
            expect(found == symbol, f"symbol_of returned {found!r}, expected {symbol!r}, for {excerpt(frame)}")
        for frame, _ in self.samples.acks:
            found = codec.symbol_of(frame)
            expect(found is None, f"symbol_of returned {found!r}, expected None, for the confirmation {excerpt(frame)}")

    def test_broken_frames_raise_decode_error_and_nothing_else(self) -> None:
        """Truncated frames raise DecodeError; other damaged or foreign bytes raise DecodeError or give an event."""
        codec = self.bound()
        every = [*self._market(), *(frame for frame, _ in self.samples.acks)]
        every += [*(sample.frame for sample in self.samples.refusals), *self.samples.ignored, *self.samples.closing]
        for number, frame in enumerate(every):
            for broken in [*flipped(frame, seed=number), *twisted(frame)]:
                reads_or_refuses("decode", lambda broken=broken: codec.decode(broken, RECV_NS), broken)
                _symbol_of(codec, broken)
            for broken in truncated(frame):
                read = reads_or_refuses("decode", lambda broken=broken: codec.decode(broken, RECV_NS), broken)
                expect(read is None, f"decode reads the truncated frame {excerpt(broken)} as {read!r}")
                _symbol_of(codec, broken)
        for junk in JUNK:
            reads_or_refuses("decode", lambda junk=junk: codec.decode(junk, RECV_NS), junk)
            _symbol_of(codec, junk)

    def test_a_delta_that_lacks_a_field_is_never_ignored(self) -> None:
        """A delta without one of its fields raises DecodeError or reads the same; else a book is silently wrong."""
        codec = self.bound()
        for frame in self.samples.deltas:
            expected = _key(decoded(codec, frame))
            for name, changed in without_a_field(frame):
                if name in self.samples.optional:
                    continue
                events = reads_or_refuses("decode", lambda changed=changed: codec.decode(changed, RECV_NS), changed)
                if events is not None:
                    same = len(events) == 1 and _key(events[0]) == expected
                    expect(same, f"decode reads a delta without {name!r} as {events!r}: {excerpt(changed)}")

    def test_an_unreadable_frame_puts_the_book_in_doubt(self) -> None:
        """After an unreadable frame the book is GAP by both paths, and no exception is raised."""
        for fast in (True, False):
            for broken in (self.samples.deltas[0][:-1], self.samples.deltas[0][: len(self.samples.deltas[0]) // 2]):
                story = Story(self.codec(), self.instrument(), self.samples, fast=fast)
                story.play()
                story.frames([broken])
                expect(
                    story.state is BookState.GAP,
                    f"after {excerpt(broken)} the book is {story.state.name}, expected GAP",
                )

    def test_broken_bodies_raise_decode_error_and_nothing_else(self) -> None:
        """Broken instrument lists, snapshots, tickers and times raise DecodeError, never another exception."""
        for what, read, body in self._bodies():
            read(body)
            for broken in [*flipped(body, seed=7), *twisted(body)]:
                reads_or_refuses(what, lambda read=read, broken=broken: read(broken), broken)
            for broken in [*truncated(body), *JUNK]:
                found = reads_or_refuses(what, lambda read=read, broken=broken: read(broken), broken)
                expect(found is None, f"{what} reads the broken {excerpt(broken)} as {found!r}, expected DecodeError")

    def _bodies(self) -> Iterator[tuple[str, Callable[[bytes], Any], bytes]]:
        codec, samples, instrument = self.codec(), self.samples, self.instrument()
        yield "instruments", codec.instruments, samples.instruments
        limit = samples.snapshot_limit
        rest_book = samples.snapshot if codec.spec.book.source is BookSource.REST else samples.rest_book
        if rest_book is not None:
            yield "snapshot", lambda body: codec.snapshot(instrument, body, limit, RECV_NS), rest_book
        if samples.tickers is not None:
            yield "tickers", codec.tickers, samples.tickers
        if samples.server_time is not None:
            yield "server_time", codec.server_time, samples.server_time[0]

    def test_tickers_are_decimal_text(self) -> None:
        """Each ticker has volume, quote volume and the prices of the day, each decimal text or None."""
        if self.samples.tickers is None:
            skip("the samples have no tickers")
        instrument = self.instrument()
        codec = self.codec()
        codec.instruments(self.samples.instruments)
        rows = codec.tickers(self.samples.tickers)
        expect(instrument.symbol in rows, f"the tickers lack {instrument.symbol!r}; they have {few(sorted(rows))}")
        for symbol, row in rows.items():
            for key in ("volume", "quote_volume", "bid", "ask", "last", "open", "high", "low"):
                expect(key in row, f"the ticker of {symbol} lacks {key!r}")
                value = row[key]
                expect(
                    value is None or isinstance(value, str),
                    f"{key!r} of the ticker of {symbol} is {value!r}, expected decimal text or None",
                )
        for key in ("bid", "ask", "last", "open", "high", "low"):
            if rows[instrument.symbol][key] is not None:
                instrument.price_raw(rows[instrument.symbol][key])

    def test_failures_are_typed(self) -> None:
        """Every failed response with any body is an error, typed by what the caller can do."""
        codec = self.codec()
        fine = codec.failure(_answer(200, self.samples.instruments))
        expect(fine is None, f"failure returned {fine!r} for an instrument list with status 200, expected None")
        for sample in self.samples.errors:
            found = codec.failure(_answer(sample.status, sample.body, dict(sample.headers)))
            expect(
                type(found) is sample.error,
                f"failure returned {found!r} for status {sample.status} with {excerpt(sample.body)}, expected "
                f"{sample.error.__name__}",
            )
        bodies = [*JUNK, *(sample.body for sample in self.samples.errors)]
        for body in bodies:
            for changes in (False, True):
                self._kinds(codec, body, changes)

    def _kinds(self, codec: Codec, body: bytes, changes: bool) -> None:
        for status, headers in (
            (400, {}),
            (401, {}),
            (404, {}),
            (429, {}),
            (429, {"retry-after": "3"}),
            (429, {"retry-after": "soon"}),
            (418, {"retry-after": "3"}),
            (302, {}),
            (500, {}),
            (503, {"retry-after": "-1"}),
        ):
            what = f"failure(status {status} {headers} with {excerpt(body)}, changes={changes})"
            try:
                found = codec.failure(_answer(status, body, headers), changes)
            except Exception as error:
                raise AssertionError(f"{what} raised {error!r}; it must return an error") from error
            expect(isinstance(found, MeshError), f"{what} is {found!r}, expected a MeshError")
            if isinstance(found, RetryLater):
                expect(found.after_s > 0, f"{what}: after_s is {found.after_s}, it must be positive")
            if isinstance(found, Rejected):
                expect(bool(found.code), f"{what} is {found!r} without a code")
            if status == 429:
                expect(isinstance(found, RetryLater), f"{what} is {found!r}, expected RetryLater")
                if headers.get("retry-after") == "3" and isinstance(found, RetryLater):
                    expect(found.after_s >= 3, f"{what} ignores retry-after: {found!r}")
            elif status == 418:
                expect(
                    isinstance(found, RetryLater | Rejected), f"{what} is {found!r}, expected Rejected or RetryLater"
                )
            elif status >= 500:
                wanted = OutcomeUnknown if changes else RetryLater
                expect(isinstance(found, wanted), f"{what} is {found!r}, expected {wanted.__name__}")
            elif status >= 400:
                expect(
                    isinstance(found, Rejected | RetryLater), f"{what} is {found!r}, expected Rejected or RetryLater"
                )
            else:
                expect(
                    isinstance(found, DecodeError | Rejected | RetryLater),
                    f"{what} is {found!r}, expected DecodeError, Rejected or RetryLater",
                )

    def _market(self) -> list[bytes]:
        books = [] if self.codec().spec.book.source is BookSource.REST else [self.samples.snapshot]
        return [*books, *self.samples.deltas, *(trade.frame for trade in self.samples.trades)]


def _answer(status: int, body: bytes, headers: dict[str, str] | None = None) -> HttpResponse:
    return HttpResponse(status, headers or {}, body, 0, 0)


def _key(event: Any) -> Any:
    """Return an event's values without its exchange time, arrays as lists, so that two events compare."""
    if isinstance(event, DepthDelta):
        return (
            event.symbol,
            event.first,
            event.last,
            event.previous,
            event.checksum,
            event.bids.tolist(),
            event.asks.tolist(),
        )
    if isinstance(event, DepthSnapshot):
        return event.symbol, event.sequence, event.request_id, event.checksum, event.bids.tolist(), event.asks.tolist()
    return event


def _expect_equal(event: Any, wanted: Any, frame: bytes) -> None:
    expect(event == wanted, f"decode reads {excerpt(frame)} as {event!r}, expected {wanted!r}")


def _expect_type(event: Any, wanted: type, frame: bytes) -> None:
    expect(isinstance(event, wanted), f"decode reads {excerpt(frame)} as {event!r}, expected {wanted.__name__}")


def _symbol_of(codec: Codec, frame: bytes) -> None:
    try:
        found = codec.symbol_of(frame)
    except Exception as error:
        raise AssertionError(f"symbol_of raised {error!r} for {excerpt(frame)}; it must return None") from error
    expect(
        found is None or isinstance(found, str),
        f"symbol_of returned {found!r} for {excerpt(frame)}, expected a symbol or None",
    )
