"""What the connectors of all exchanges share: a name, and the samples beside their code."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from .samples import MarketDataSamples
from .spec import ExchangeSpec


@dataclass(frozen=True, slots=True)
class SpecifiedConnector:
    """One exchange by its spec. A connector adds `codec`, and `trading` and `auth` where it trades."""

    spec: ExchangeSpec

    @property
    def name(self) -> str:
        return self.spec.exchange

    def samples(self) -> MarketDataSamples:
        """Return the connector's own messages in the manual's form, for the conformance suite: `SAMPLES` of the module
        `samples` in its package."""
        found: MarketDataSamples = import_module(f"{type(self).__module__}.samples").SAMPLES
        return found
