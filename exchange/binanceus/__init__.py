"""Binance.US's protocol over the engine: Binance's with the requests, costs and limits that differ.

Source: binance-us/binance-us-api-docs, read 2026-11-27; each module names its pages. Not offered: the WebSocket API.
"""

from ..face import Protocol
from .face import BinanceUs

PROTOCOL = Protocol("binanceus", BinanceUs)
