"""Checks of the stream of candles that `spec.candles.stream` declares: its messages, and the reading of its frames."""

from __future__ import annotations

from typing import Any

from ...connectors.market_codec import StreamsCandles
from ...connectors.samples import CandlesSample
from ...model.events import CandleUpdate, Ignored
from ...model.instrument import Instrument
from .mutations import JUNK, flipped, truncated, twisted
from .suite import RECV_NS, Suite, decoded, excerpt, expect, reads_or_refuses, skip

LOCAL_WS = "ws://127.0.0.1:18081"
IMPOSSIBLE = b"0.000000000001"  # as a high, it is below the low
FIRST_ID = 41


class CandleStreams(Suite):
    """Checks of streamed candles."""

    def test_a_stream_of_candles_is_declared(self) -> None:
        """A stream of candles is in the spec, the codec and the samples, or in none of them."""
        codec, sample = self.codec(), self.samples.candles
        offer = codec.spec.candles
        stream = None if offer is None else offer.stream
        streams = isinstance(codec, StreamsCandles)
        expect(
            streams == (stream is not None),
            f"spec.candles.stream is {stream}, but the codec {'has' if streams else 'lacks'} candle_message",
        )
        frames = sample.frames if sample is not None else ()
        expect(bool(frames) == streams, "samples.candles.frames and spec.candles.stream go together: one is missing")
        if stream is None:
            skip("the exchange streams no candles")
        for name in ("pairs_per_message", "max_streams"):
            expect(getattr(stream, name) > 0, f"spec.candles.stream.{name} must be positive")

    def test_candle_subscriptions_name_their_pairs(self) -> None:
        """A message about candles names its pairs, has separate keys for its answers, and differs by its purpose."""
        codec, listed, _ = self._streaming(ws=LOCAL_WS)
        url = codec.candle_url()
        expect(url.startswith(f"{LOCAL_WS}/") or url == LOCAL_WS, f"candle_url() is {url}, it ignores ws={LOCAL_WS}")
        frames = set()
        groups = [listed[:1], listed[:2]][: codec.spec.candles.stream.pairs_per_message]
        for request_id, interval in enumerate(codec.spec.candles.intervals, FIRST_ID):
            for pairs in groups:
                begin = codec.candle_message("subscribe", interval, pairs, request_id)
                end = codec.candle_message("unsubscribe", interval, pairs, request_id)
                for message in (begin, end):
                    missing = [
                        instrument.symbol
                        for instrument in pairs
                        if instrument.symbol.upper() not in _upper(message.frame)
                    ]
                    expect(not missing, f"the message {excerpt(message.frame)} does not name {missing}")
                named = {symbol for expected in begin.expects for symbol in expected.symbols}
                symbols = {instrument.symbol for instrument in pairs}
                expect(named in (symbols, set()), f"the answers expected to {interval} are about {sorted(named)}")
                frames |= {begin.frame, end.frame}
        count = 4 if len(listed) > 1 and len(groups) > 1 else 2
        expect(
            len(frames) == count * len(codec.spec.candles.intervals),
            "two messages about candles are equal, though their intervals, pairs or purposes differ",
        )

    def test_candle_frames_are_read(self) -> None:
        """A frame with a candle gives its symbol, its interval by our name, and the exact candle."""
        codec, (instrument, *_), sample = self._streaming()
        for frame, candle in sample.frames:
            found = decoded(codec, frame)
            wanted = CandleUpdate(instrument.symbol, sample.interval, candle)
            expect(found == wanted, f"decode reads {excerpt(frame)} as {found}, expected {wanted}")
        codec.bind([])
        for frame, _ in sample.frames:
            found = decoded(codec, frame)
            expect(isinstance(found, Ignored), f"a candle of an unbound pair is {found!r}, expected Ignored")

    def test_odd_candle_frames_raise_decode_error(self) -> None:
        """An impossible candle in a stream, and a broken frame, raise DecodeError."""
        codec, _, sample = self._streaming()

        def read(frame: bytes) -> Any:
            return reads_or_refuses("decode", lambda: codec.decode(frame, RECV_NS), frame)

        for frame, candle in sample.frames:
            odd = frame.replace(str(candle.high).encode(), IMPOSSIBLE)
            expect(odd != frame, f"the frame {excerpt(frame)} has no {candle.high}, the high of its candle")
            for broken in [odd, *truncated(frame), *JUNK]:
                found = read(broken)
                is_candle = any(isinstance(event, CandleUpdate) for event in found or ())
                expect(not is_candle, f"decode reads a candle in the broken {excerpt(broken)}: {found!r}")
            expect(read(odd) is None, f"decode reads the impossible {excerpt(odd)}, expected DecodeError")
            for changed in [*flipped(frame, seed=13), *twisted(frame)]:
                read(changed)

    def _streaming(self, **options: Any) -> tuple[Any, list[Instrument], CandlesSample]:
        codec, sample = self.codec(**options), self.samples.candles
        if sample is None or not isinstance(codec, StreamsCandles):
            skip("the exchange streams no candles")
        listed = self.listed()
        codec.bind(listed)
        first = self.instrument()
        return codec, [first, *(instrument for instrument in listed if instrument != first)], sample


def _upper(frame: bytes) -> str:
    """Return a frame as text without escapes, in capitals: some exchanges write symbols in small letters."""
    return frame.decode().replace("\\/", "/").upper()
