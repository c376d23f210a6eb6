"""The transport runs codecs against the network. Import its classes from here.

    Feed   a websocket connection kept alive for ever      (feed.py; picows.py or websockets.py carries one connection)
    Rest   requests over a shared session, typed errors    (rest.py)

Both take a `Clock`, and both are replaceable: roles receive them, tests hand in their own.
"""

from __future__ import annotations

from .clock import SYSTEM_CLOCK, Clock, SystemClock
from .feed import Feed
from .link import DialFailed, FrameHandler, Link
from .rest import Rest

__all__ = ["SYSTEM_CLOCK", "Clock", "DialFailed", "Feed", "FrameHandler", "Link", "Rest", "SystemClock"]
