"""The mirror role against a fake source."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fakes.context import context_of
from venuemesh.actors.node import mirror as mirror_role
from venuemesh.actors.node.mirror import MirrorRole
from venuemesh.actors.node.settings import MirrorSettings
from venuemesh.model.errors import Rejected, RetryLater
from venuemesh.model.events import BookState
from venuemesh.orderbook.segment import SegmentReader
from venuemesh.orderbook.segment.directory import find_newest, list_segments, segment_name

A = "book/x/A-B"
FOLLOW = {"sources": {"book/x/group-1": {"books": {A: {"levels": 10, "trades": 16}}}}}


class Source:
    """What a book role answers to `poll:next`."""

    def __init__(self) -> None:
        self.news: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.asked: list[Any] = []
        self.away = False

    def say(self, version: int, incarnation: tuple[int, int] = (1, 5), **changes: Any) -> None:
        levels = np.array([[100 - version, 7]], dtype="<i8")
        update = {
            "incarnation": list(incarnation),
            "version": version,
            "state": int(BookState.LIVE),
            "sequence": version,
            "price_scale": 2,
            "size_scale": 3,
            "bids": levels.tobytes(),
            "asks": (levels + np.array([10, 0])).tobytes(),
            "bids_complete": False,
            "asks_complete": True,
            "ts_event_ns": 1,
            "ts_recv_ns": 2,
            "trades": [],
            "sequenced": True,
            "exact": True,
            "reason": "",
        }
        self.news.put_nowait({A: update | changes})

    async def ask(self, address: str, kind: str, body: Any = None, timeout_s: float = 5.0) -> Any:
        self.asked.append((address, kind, body))
        if self.away:
            await asyncio.sleep(0.01)
            raise RetryLater(0.1, "away")
        try:
            return await asyncio.wait_for(self.news.get(), timeout_s)
        except TimeoutError:
            return {}


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
async def mirror(tmp_path: Path, source: Source) -> AsyncIterator[MirrorRole]:
    directory = tmp_path / "node"
    directory.mkdir(mode=0o700)

    context = context_of("mirror/n", incarnation=(1, 9), segments=directory, ask=source.ask)
    role = MirrorRole(MirrorSettings(), context)
    await role.start()
    await role.handle("follow", FOLLOW)
    yield role
    await role.stop()


async def until(reached: Callable[[], Any], role: MirrorRole | None = None) -> Any:
    """Return the result of `reached` once it is true; beat the role meanwhile."""
    async with asyncio.timeout(10.0):
        while True:
            if role is not None:
                role.beat()
            if found := reached():
                return found
            await asyncio.sleep(0.005)


async def reader(directory: Path) -> SegmentReader:
    return SegmentReader(await until(lambda: find_newest(directory, A)))


async def until_state(book: SegmentReader, state: BookState, role: MirrorRole | None = None) -> None:
    await until(lambda: book.state is state, role)


async def test_a_book_is_republished_with_its_state_and_trades(
    mirror: MirrorRole, source: Source, tmp_path: Path
) -> None:
    source.say(0)
    source.say(1, trades=[[4, 44, 99, 3, "buy", None, 5, 0]])
    book = await reader(tmp_path / "node")
    await until_state(book, BookState.LIVE)
    await until(lambda: book.last_trade_number == 1)
    assert book.incarnation == (1, 9)
    assert book.top().bid_raw == (99, 7)
    assert [trade.trade_id for trade in book.trades(0)] == [44]
    source.say(2, state=int(BookState.GAP))
    await until_state(book, BookState.GAP)
    source.say(3)
    await until_state(book, BookState.LIVE)
    assert book.top().sequence == 3
    await until(lambda: source.asked[-1][2]["after"][A] == [1, 5, 3, 4])
    assert source.asked[-1][:2] == ("book/x/group-1", "poll:next")


async def test_a_quiet_source_stays_live_and_an_absent_one_does_not(
    mirror: MirrorRole, source: Source, tmp_path: Path
) -> None:
    source.say(1)
    book = await reader(tmp_path / "node")
    await until_state(book, BookState.LIVE)
    source.away = True
    await until_state(book, BookState.SILENT, mirror)
    source.away = False
    await until_state(book, BookState.LIVE, mirror)  # nothing new was published: the heartbeat proved its life


async def test_a_later_source_has_a_separate_segment(mirror: MirrorRole, source: Source, tmp_path: Path) -> None:
    source.say(1)
    first = await reader(tmp_path / "node")
    source.say(1, incarnation=(1, 12))
    await until_state(first, BookState.RETIRED)
    assert (await reader(tmp_path / "node")).incarnation == (1, 12)


async def test_readers_see_no_gap_when_a_source_has_a_successor(
    mirror: MirrorRole, source: Source, tmp_path: Path
) -> None:
    source.say(1)
    first = await reader(tmp_path / "node")
    await until_state(first, BookState.LIVE)
    states: list[list[BookState]] = []
    close = mirror_role.SegmentWriter.close

    class Watched(mirror_role.SegmentWriter):
        def close(self, unlink: bool = True) -> None:
            close(self, unlink)
            states.append([SegmentReader(path).state for _, _, path in list_segments(tmp_path / "node")])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mirror_role, "SegmentWriter", Watched)
        for counter in (12, 13):
            source.say(1, incarnation=(1, counter))
            await until(
                lambda n=counter: find_newest(tmp_path / "node", A) == tmp_path / "node" / segment_name(A, (1, n))
            )
            await until(lambda: len(list_segments(tmp_path / "node")) == 1)
    assert states == [[BookState.LIVE]]


def trades(*entries: tuple[int, int]) -> list[list[Any]]:
    """Trades of (number, lost so far)."""
    return [[number, 40 + number, 99, 3, "buy", None, 5, lost] for number, lost in entries]


async def test_trades_begin_with_the_first_after_the_mirror_and_say_what_was_missed(
    mirror: MirrorRole, source: Source, tmp_path: Path
) -> None:
    source.say(1, trades=trades((3, 0), (4, 10)))  # from before: an earlier mirror may have told them
    book = await reader(tmp_path / "node")
    source.say(2, trades=trades((5, 10)))
    source.say(3, trades=trades((40, 13), (41, 15)))  # 34 lost by the source's ring, 3 and 2 by the source
    await until(lambda: book.last_trade_number == 3)
    assert [(t.trade_id, t.missed) for t in book.trades(0)] == [(45, None), (80, 37), (81, 2)]


async def test_all_trades_of_a_later_source_are_reported(mirror: MirrorRole, source: Source, tmp_path: Path) -> None:
    source.say(1, trades=trades((7, 0)))
    first = await reader(tmp_path / "node")
    source.say(1, incarnation=(1, 12), trades=trades((1, 0), (2, 0)))
    await until_state(first, BookState.RETIRED)
    book = await reader(tmp_path / "node")
    await until(lambda: book.last_trade_number == 2)
    assert [(t.trade_id, t.missed) for t in book.trades(0)] == [(41, None), (42, 0)]


async def test_a_segment_remade_at_the_source_is_remade_here(
    mirror: MirrorRole, source: Source, tmp_path: Path
) -> None:
    source.say(9, trades=trades((7, 0)))
    first = await reader(tmp_path / "node")
    source.say(2, trades=trades((1, 0)))
    await until_state(first, BookState.RETIRED)
    book = await reader(tmp_path / "node")
    await until(lambda: book.last_trade_number == 1)
    assert book.incarnation == first.incarnation
    assert [(t.trade_id, t.missed) for t in book.trades(0)] == [(41, None)]


async def test_state_and_reason_are_copied(mirror: MirrorRole, source: Source, tmp_path: Path) -> None:
    source.say(1, sequenced=False, exact=False, state=int(BookState.GAP), reason="a frame was lost")
    book = await reader(tmp_path / "node")
    await until_state(book, BookState.GAP)
    assert (book.sequenced, book.exact, book.statistics().reason) == (False, False, "a frame was lost")
    source.away = True
    await until_state(book, BookState.SILENT, mirror)
    assert book.statistics().reason == "its source does not answer"
    source.away = False
    await until_state(book, BookState.GAP, mirror)
    assert book.statistics().reason == "a frame was lost"
    source.say(2)
    await until_state(book, BookState.LIVE)
    assert book.statistics().reason == ""


async def test_a_book_that_is_no_longer_followed_is_retired(mirror: MirrorRole, source: Source, tmp_path: Path) -> None:
    source.say(1)
    book = await reader(tmp_path / "node")
    await mirror.handle("follow", {"sources": {}})
    assert book.state is BookState.RETIRED
    assert find_newest(tmp_path / "node", A) is None
    await mirror.handle("follow", FOLLOW)
    source.say(1)
    await until_state(await reader(tmp_path / "node"), BookState.LIVE)
    assert mirror.status()["books"] == {A: "LIVE"}


async def test_other_kinds_are_refused(mirror: MirrorRole) -> None:
    with pytest.raises(Rejected):
        await mirror.handle("dance", None)
    with pytest.raises(Rejected):
        await mirror.poll("next", {}, 0.0)
