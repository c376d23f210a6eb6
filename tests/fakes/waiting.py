"""Which ways to wait for a segment this system has."""

import pytest

from venuemesh.orderbook.segment import WaitSet
from venuemesh.orderbook.segment.loop import FutexRing


def skip_unless_possible(way: str) -> None:
    """Skip the test if this system cannot wait in that way (`waiter.WAYS`)."""
    if way == "thread" and WaitSet().polling:
        pytest.skip("this kernel has no futex_waitv")
    if way == "ring":
        try:
            FutexRing()
        except OSError as error:
            pytest.skip(f"this system has no io_uring with futexes: {error.strerror}")
