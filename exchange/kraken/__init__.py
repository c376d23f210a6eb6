"""Kraken spot's protocol over the engine, following the manual: REST, and the public and private websocket v2.

Source: docs.kraken.com, read 2026-11-27; each module names its pages.
"""

from ..face import Protocol
from .face import Kraken

PROTOCOL = Protocol("kraken", Kraken)
