"""Shared-memory segments: one writer's book, read by any process of the same user on this node.

A segment is a file for one (address, incarnation). Its writer allocates the whole file under a temporary name, writes
the header, and only then renames the file, so no reader ever sees half a header or a hole. Readers map it read-only.
`segment.h`, whose Cython declarations are in `layout.pxd`, explains how the data is guarded. `writer`, `reader`, `top`
and `waitset` do the work, over the mapped file of `mapping`; import them from here.

A reader may trust a copy whose lock word was even and unchanged around it, from a writer whose heartbeat
(CLOCK_MONOTONIC) is younger than the limit in the header, in a segment that has not ended. Only such a copy is `LIVE`.
A writer that is killed during a publish leaves the lock word odd for ever: reads then try for at most about 2 ms and
raise `NotSynced`, with the state DEAD as soon as the heartbeat is too old.
"""

from __future__ import annotations

from .mapping import FORMAT_VERSION, LEVELS_MAX, TRADES_MAX, mark_ended, monotonic_ns, process_start
from .reader import SegmentReader, ahead
from .top import Top, empty_top
from .waitset import WaitSet
from .writer import SegmentWriter

__all__ = [
    "FORMAT_VERSION",
    "LEVELS_MAX",
    "TRADES_MAX",
    "SegmentReader",
    "SegmentWriter",
    "Top",
    "WaitSet",
    "ahead",
    "empty_top",
    "mark_ended",
    "monotonic_ns",
    "process_start",
]
