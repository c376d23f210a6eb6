"""Kraken spot: market data. It does not trade yet."""

from __future__ import annotations

from dataclasses import dataclass

from ..samples import MarketDataSamples
from ..spec import ExchangeSpec
from .market import KrakenCodec
from .spec import DEPTH, SPEC


@dataclass(frozen=True, slots=True)
class KrakenConnector:
    """One exchange that speaks Kraken's protocol: REST, and version 2 of the websocket."""

    spec: ExchangeSpec

    @property
    def name(self) -> str:
        return self.spec.exchange

    def codec(self, rest: str | None = None, ws: str | None = None, depth: int = DEPTH.default) -> KrakenCodec:
        """Make a codec; `spec.options` say what the options do. Raises Misconfigured: a value that an option lacks."""
        return KrakenCodec(self.spec, rest, ws, depth)

    def samples(self) -> MarketDataSamples:
        """Messages of our own in the manual's shape, for the conformance suite."""
        from .samples import SAMPLES

        return SAMPLES


CONNECTOR = KrakenConnector(SPEC)
