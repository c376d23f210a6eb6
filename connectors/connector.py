"""The shared part of all connectors: a name, and the samples next to their code."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar

from .samples import MarketDataSamples
from .spec import ExchangeSpec, Hosts

C = TypeVar("C", bound="SpecifiedConnector")


@dataclass(frozen=True, slots=True)
class SpecifiedConnector:
    """One exchange by its spec. A connector adds `codec`, and `trading` and `auth` where it trades."""

    spec: ExchangeSpec

    @property
    def name(self) -> str:
        return self.spec.exchange

    def samples(self) -> MarketDataSamples | None:
        """Return the connector's own messages in the manual's form, for the conformance suite: `SAMPLES` of the module
        `samples` in its package; None where it has no such module."""
        name = f"{type(self).__module__}.samples"
        return import_module(name).SAMPLES if find_spec(name) is not None else None


def sister(main: C, exchange: str, hosts: Hosts, **changes: Any) -> C:
    """Return the connector of an exchange with the protocol of `main`, at other hosts; `changes` are further fields of
    its spec. It has the real environment alone."""
    urls = {"rest": hosts.rest, "ws": hosts.ws, "ws_api": hosts.ws_api}
    spec = replace(main.spec, exchange=exchange, sister_of=main.name, **{**urls, "environments": {}, **changes})
    return replace(main, spec=spec)
