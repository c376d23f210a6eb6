"""A waiter that drops idle slots must not drop a slot whose change it has just found."""

import asyncio

import pytest

from tests.fakes.waiting import skip_unless_possible
from venuemesh.model.events import BookState
from venuemesh.orderbook.segment import SegmentReader, SegmentWriter, loop, thread
from venuemesh.orderbook.segment.waiter import WAYS, Waiter


@pytest.fixture(params=WAYS)
def waiter(request, monkeypatch):
    """A waiter that drops idle slots at nearly every wake; with a slow feed the real one does so once a second."""
    skip_unless_possible(request.param)
    for module in (loop, thread):
        monkeypatch.setattr(module, "IDLE_NS", 1_000_000)
    waiter = Waiter(request.param)
    yield waiter
    waiter.close()


async def test_a_change_found_while_tidying_up_wakes(tmp_path, waiter):
    tmp_path.chmod(0o700)
    writer = SegmentWriter(
        tmp_path, "book/binance/BTC-USDT", (1, 1), 2, 4, levels=4, trades=4, heartbeat_limit_ns=10**11
    )
    reader = SegmentReader(writer.path)
    for round in range(100):
        before = reader.version
        task = asyncio.create_task(waiter.wait(reader, before))
        await asyncio.sleep(0.002 + 0.00003 * round)
        writer.set_state(BookState.GAP if round % 2 else BookState.SYNCING)
        assert await asyncio.wait_for(task, 10.0) == before + 1
    writer.close()
