"""Coinbase Exchange's protocol over the engine, following the manual: spot, REST and websocket.

Source: rosssaunders/coincise, docs/coinbase/exchange, read 2026-11-28: "rest" is private_rest_api.md and
public_rest_api.md at 1ae34ec2, "ws" websocket_api.md at 7b30bfe2; each module names its sections.
"""

from ..face import Protocol
from .face import Coinbase

PROTOCOL = Protocol("coinbase", Coinbase)
