"""Connects codecs to the network. Import the classes from here.

    Feed   a websocket connection kept open for ever      (feed.py; picows.py or websockets.py carries one connection)
    Rest   requests over a shared session, typed errors    (rest.py)

Both have a `Clock`, and both are arguments of roles, so that tests pass their own.
"""

from __future__ import annotations

from .clock import SYSTEM_CLOCK, Clock, SystemClock
from .feed import Attempted, Feed
from .link import DialFailed, FrameHandler, Link
from .rest import Rest

__all__ = ["SYSTEM_CLOCK", "Attempted", "Clock", "DialFailed", "Feed", "FrameHandler", "Link", "Rest", "SystemClock"]
