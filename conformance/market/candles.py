"""Checks of candles: the declaration in the spec, the requests, and the reading of answers."""

from __future__ import annotations

from typing import Any

from ...connectors.market_codec import Codec, ServesCandles
from ...connectors.samples import CandlesSample
from ...model.candle import Candle, close_of, shortest_ns
from ...model.http import HttpResponse
from ...model.instrument import Instrument
from .mutations import JUNK, flipped, truncated, twisted
from .suite import Suite, excerpt, expect, reads_or_refuses, skip

LOCAL_REST = "http://127.0.0.1:18080"
IMPOSSIBLE = b"0.000000000001"  # a high that is below the low


class Candles(Suite):
    """Checks of the candles that `spec.candles` declares."""

    def test_candles_are_declared(self) -> None:
        """Spec, codec and samples all have candles, or none of them has; each interval has a length."""
        codec, sample = self.codec(), self.samples.candles
        offer, serves = codec.spec.candles, isinstance(codec, ServesCandles)
        expect(
            serves == (offer is not None),
            f"spec.candles is {offer}, but the codec {'has' if serves else 'lacks'} candles_request and candles",
        )
        expect((sample is not None) == serves, "samples.candles and spec.candles go together: one of them is missing")
        if offer is None:
            skip("the exchange offers no candles")
        expect(offer.page > 0, f"spec.candles.page is {offer.page}; it must be positive")
        expect(offer.kept is None or offer.kept > 0, f"spec.candles.kept is {offer.kept}, it must be positive")
        expect(bool(offer.intervals), "spec.candles has no interval")
        for interval in offer.intervals:
            try:
                shortest_ns(interval)
            except ValueError as error:
                raise AssertionError(f"spec.candles names an interval that has no length: {error}") from error

    def test_candles_are_requested_by_window(self) -> None:
        """A request for candles names the pair, has a cost in declared limits, and is recognised in a recording."""
        codec, instrument, sample = self._serving(rest=LOCAL_REST)
        offer = codec.spec.candles
        assert offer is not None
        end_ns = sample.recv_ns
        for interval in offer.intervals:
            for candles in (1, offer.page):
                start_ns = max(0, end_ns - candles * shortest_ns(interval))
                request = codec.candles_request(instrument, interval, start_ns, end_ns, end_ns)
                url = request.url
                expect(url.startswith(f"{LOCAL_REST}/"), f"{url} ignores rest={LOCAL_REST}")
                names = {instrument.symbol, *instrument.aliases}
                expect(any(name in url for name in names), f"{url} contains none of {sorted(names)}")
                unknown = {name for name, _ in request.cost} - codec.spec.limits.keys()
                expect(bool(request.cost), f"{url} costs nothing: every request counts against a limit")
                expect(not unknown, f"{url} spends limits that the spec does not declare: {sorted(unknown)}")
                found = codec.recognise(url)
                expect(
                    isinstance(found, str) and found in codec.spec.endpoints,
                    f"recognise({url!r}) is {found!r}, expected the name of an endpoint",
                )

    def test_candles_are_read(self) -> None:
        """Candles come oldest first, exact, each with its end; the last candle of the sample is still open."""
        codec, instrument, sample = self._serving()
        found = _read(codec, instrument, sample, sample.body)
        wanted = list(sample.candles)
        expect(found == wanted, f"candles() reads the sample as {found}, expected {wanted}")
        expect(len(wanted) > 1, "samples.candles has fewer than two candles: no check could see their order")
        expect(not wanted[-1].is_closed, "the last candle of samples.candles is closed; it must be open at recv_ns")
        expect(wanted[0].is_closed, "the first candle of samples.candles is not closed")
        for candle in wanted:
            end_ns = close_of(candle.open_ns, sample.interval)
            expect(
                candle.close_ns == end_ns, f"a candle of {sample.interval} ends at {candle.close_ns}, expected {end_ns}"
            )

    def test_odd_candles_raise_decode_error(self) -> None:
        """An impossible candle and a broken answer raise DecodeError: no candle is left out silently."""
        codec, instrument, sample = self._serving()

        def read(body: bytes) -> Any:
            return reads_or_refuses("candles", lambda: _read(codec, instrument, sample, body), body)

        odd = sample.body.replace(str(sample.candles[0].high).encode(), IMPOSSIBLE)
        expect(odd != sample.body, f"the sample body has no {sample.candles[0].high}, the high of its first candle")
        for broken in [odd, *truncated(sample.body), *JUNK]:
            found = read(broken)
            expect(found is None, f"candles reads the broken {excerpt(broken)} as {found!r}, expected DecodeError")
        for broken in [*flipped(sample.body, seed=11), *twisted(sample.body)]:
            read(broken)

    def _serving(self, **options: Any) -> tuple[Any, Instrument, CandlesSample]:
        codec, sample = self.codec(**options), self.samples.candles
        if sample is None or not isinstance(codec, ServesCandles):
            skip("the exchange offers no candles")
        codec.bind(self.listed())
        return codec, self.instrument(), sample


def _read(codec: Codec, instrument: Instrument, sample: CandlesSample, body: bytes) -> list[Candle]:
    assert isinstance(codec, ServesCandles)
    return codec.candles(instrument, sample.interval, HttpResponse(200, {}, body, sample.recv_ns, sample.recv_ns))
