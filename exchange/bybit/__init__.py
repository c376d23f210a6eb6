"""Bybit's v5 protocol over the engine, following the manual: spot, REST and websocket.

Source: bybit-exchange/docs, docs/v5, read 2026-11-27; each module names its pages.
"""

from ..face import Protocol
from .face import Bybit

PROTOCOL = Protocol("bybit", Bybit)
