"""OKX spot: market data. Trading is not offered yet."""

from __future__ import annotations

from dataclasses import dataclass

from ..samples import MarketDataSamples
from ..spec import ExchangeSpec
from .market import OkxCodec
from .spec import IS_DEMO, REGION, SPEC


@dataclass(frozen=True, slots=True)
class OkxConnector:
    """One exchange that speaks OKX's protocol."""

    spec: ExchangeSpec

    @property
    def name(self) -> str:
        return self.spec.exchange

    def codec(
        self,
        rest: str | None = None,
        ws: str | None = None,
        region: str = REGION.default,
        demo: bool = IS_DEMO.default,
    ) -> OkxCodec:
        """Make a codec; `spec.options` say what the options do. Raises Misconfigured: a value that an option lacks."""
        return OkxCodec(self.spec, rest, ws, region, demo)

    def samples(self) -> MarketDataSamples:
        """Messages of our own in the manual's shape, for the conformance suite."""
        from .samples import SAMPLES

        return SAMPLES


CONNECTOR = OkxConnector(SPEC)
