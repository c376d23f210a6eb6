"""Binance spot's protocol over the engine, following the manual: REST, market streams, WebSocket API, user data.

Source: binance/binance-spot-api-docs, read 2026-11-22; each module names its pages.
"""

from ..face import Protocol
from .face import Binance

PROTOCOL = Protocol("binance", Binance, by_default=True)
