"""HTX's protocol over the engine, following the manual: spot, REST, market websockets, and the private websocket v2.

Source: rosssaunders/coincise, docs/htx, a copy of htx.com/en-us/opend/newApiPages (2025-11), read 2026-11-28; each
module names its sections.
"""

from ..face import Protocol
from .face import Htx

PROTOCOL = Protocol("htx", Htx)
