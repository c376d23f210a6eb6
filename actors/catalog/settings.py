"""The settings of a catalog role."""

from __future__ import annotations

from dataclasses import dataclass

from ...connectors.settings import ConnectorSettings

LISTING_POLL_S = 5.0  # one long poll of the list of instruments
LISTING_AGAIN_S = 0.1  # pause before the list is requested again from a catalog that did not answer


@dataclass(frozen=True, slots=True)
class CatalogSettings:
    """The list of instruments is fetched every `refresh_s`; a requested price stays in the cache for `price_ttl_s`."""

    connector: ConnectorSettings
    refresh_s: float = 600.0
    price_ttl_s: float = 1.0
