"""Requests that read a redundant book are answered by the copy that lives, and nothing else is sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.fakes.clock import until
from venuemesh.mesh.copies import SECOND_S, BookCopies
from venuemesh.mesh.routes import RouteTable
from venuemesh.model.address import book_of, replica_of
from venuemesh.model.errors import NotOffered, OutcomeUnknown, RetryLater
from venuemesh.model.events import BookState

BOOK = "book/acme/BTC-USDT"
REPLICA = replica_of(BOOK)
ENOUGH_S, AT_ONCE_S = 3600.0, 0.0
GAP, LIVE = BookState.GAP, BookState.LIVE
BODY = {"pair": "BTC-USDT"}

Answer = BookState | Exception | Awaitable[BookState] | None  # None: it never answers


class World:
    """The two copies of a book, with the answer of each, and a clock."""

    def __init__(self, book: Answer, replica: Answer, silence_s: float = AT_ONCE_S) -> None:
        self.answers: dict[str, Answer] = {BOOK: book, REPLICA: replica}
        self.copies = [BOOK, REPLICA]
        self.asked: list[str] = []
        self.timeouts_s: list[float] = []
        self.cancelled: list[str] = []
        self.now_s = self.takes_s = 0.0
        self.books = BookCopies(self._ask, lambda address: self.copies, lambda: self.now_s, silence_s)

    async def _ask(self, address: str, kind: str, body: Any, timeout_s: float) -> dict[str, Any]:
        assert body is BODY
        self.asked.append(address)
        self.timeouts_s.append(timeout_s)
        self.now_s += self.takes_s
        answer = self.answers[address]
        try:
            if answer is None:
                await asyncio.Event().wait()
            if isinstance(answer, Exception):
                raise answer
            state = answer if isinstance(answer, BookState) else await answer  # type: ignore[misc]
        except asyncio.CancelledError:
            self.cancelled.append(address)
            raise
        return {"by": address, "state": int(state)}

    async def ask(self, kind: str = "snapshot", timeout_s: float = ENOUGH_S) -> tuple[str, BookState]:
        answer = await self.books.ask(BOOK, kind, BODY, timeout_s)
        await asyncio.sleep(0)  # what was cancelled ends
        return answer["by"], BookState(answer["state"])


async def test_the_nearest_copy_answers_alone() -> None:
    world = World(LIVE, LIVE, ENOUGH_S)
    assert await world.ask() == (BOOK, LIVE)
    world.copies.reverse()
    assert await world.ask("orders") == (REPLICA, LIVE)
    assert world.asked == [BOOK, REPLICA]


async def test_when_the_nearest_copy_is_silent_the_other_one_answers_and_the_first_request_ends() -> None:
    world = World(None, LIVE)
    assert await world.ask() == (REPLICA, LIVE)
    assert world.asked == [BOOK, REPLICA]
    assert world.cancelled == [BOOK]


async def test_a_copy_that_is_only_late_still_answers_if_the_other_is_silent() -> None:
    late: asyncio.Future[BookState] = asyncio.get_running_loop().create_future()
    world = World(late, None)
    asking = asyncio.ensure_future(world.ask())
    await until(lambda: len(world.asked) == 2)
    late.set_result(LIVE)
    assert await asking == (BOOK, LIVE)
    assert world.cancelled == [REPLICA]


async def test_a_copy_that_was_silent_comes_second_for_a_while() -> None:
    world = World(None, LIVE)
    await world.ask()
    world.asked.clear()
    world.answers[BOOK] = LIVE
    assert await world.ask() == (REPLICA, LIVE)
    world.now_s += SECOND_S
    assert await world.ask() == (BOOK, LIVE)
    assert await world.ask() == (BOOK, LIVE)
    world.answers = dict.fromkeys(world.answers, GAP)  # when both were silent, the nearest one is first again
    world.books._silent_s = {BOOK: world.now_s, REPLICA: world.now_s}
    world.asked.clear()
    await world.ask()
    assert world.asked == [BOOK, REPLICA]


@pytest.mark.parametrize("doubt", [GAP, RetryLater(0.1, "away"), OutcomeUnknown("it", "no answer")], ids=str)
async def test_a_copy_without_a_live_book_leaves_the_answer_to_the_other_one(doubt: Answer) -> None:
    world = World(doubt, LIVE, ENOUGH_S)
    assert await world.ask() == (REPLICA, LIVE)
    assert world.asked == [BOOK, REPLICA]


@pytest.mark.parametrize("other", [GAP, None, RetryLater(0.1, "away")], ids=str)
async def test_without_a_live_copy_the_answer_is_one_that_is_not_live(other: Answer) -> None:
    assert await World(BookState.SYNCING, other).ask() == (BOOK, BookState.SYNCING)


async def test_a_failure_of_the_first_leaves_the_other_its_whole_time() -> None:
    late: asyncio.Future[BookState] = asyncio.get_running_loop().create_future()
    world = World(RetryLater(0.1, "away"), late)
    asking = asyncio.ensure_future(world.ask())
    for _ in range(100):  # any limit of `silence_s`, which is 0, would have passed
        await asyncio.sleep(0)
    late.set_result(LIVE)
    assert await asking == (REPLICA, LIVE)


async def test_the_error_is_that_of_the_book_whichever_was_asked_first() -> None:
    world = World(OutcomeUnknown("snapshot", "book"), RetryLater(0.1, "replica"))
    for _ in range(2):
        with pytest.raises(OutcomeUnknown, match="book"):
            await world.ask()
        world.copies.reverse()


async def test_a_refusal_is_an_answer() -> None:
    world = World(NotOffered("acme", "orders"), LIVE, ENOUGH_S)
    with pytest.raises(NotOffered):
        await world.ask("orders")
    assert world.asked == [BOOK]


async def test_the_second_request_has_only_the_time_that_is_left() -> None:
    world = World(None, None)
    world.takes_s = 4.0
    asking = asyncio.ensure_future(world.ask(timeout_s=10.0))
    await until(lambda: len(world.asked) == 2)
    assert world.timeouts_s == [10.0, 6.0]
    asking.cancel()
    await asyncio.wait({asking})
    await asyncio.sleep(0)
    assert world.cancelled == [BOOK, REPLICA]


@pytest.mark.parametrize("kind", ["resync", "track", "untrack", "stats"])
async def test_what_changes_something_or_is_about_one_actor_goes_to_the_book_alone(kind: str) -> None:
    world = World(GAP, LIVE)
    assert await world.ask(kind) == (BOOK, GAP)
    assert world.asked == [BOOK]


async def test_a_book_with_one_actor_has_the_whole_time() -> None:
    world = World(GAP, LIVE)
    world.copies = [BOOK]
    assert await world.ask() == (BOOK, GAP)
    assert (world.asked, world.timeouts_s) == ([BOOK], [ENOUGH_S])


# ---- the route table of a process


def table(**nodes: tuple[str, str]) -> dict[str, Any]:
    """A table of the supervisor; `nodes` by kind: (node, kind of the actor that serves it)."""
    routes = {
        f"{kind}/acme/BTC-USDT": {"node": node, "child": f"{by}/acme/BTC-USDT"} for kind, (node, by) in nodes.items()
    }
    return {"exchanges": ["acme"], "tracked": {}, "accounts": {}, "routes": routes}


@pytest.fixture
def copies() -> Callable[..., list[str]]:
    def found(**nodes: tuple[str, str]) -> list[str]:
        routes = RouteTable("one", "here")
        routes.take(table(**nodes))
        return routes.copies(BOOK)

    return found


def test_the_copy_of_this_node_is_the_nearest(copies: Callable[..., list[str]]) -> None:
    assert copies(book=("here", "book"), replica=("there", "replica")) == [BOOK, REPLICA]
    assert copies(book=("there", "book"), replica=("here", "replica")) == [REPLICA, BOOK]
    assert copies(book=("there", "book"), replica=("far", "replica")) == [BOOK, REPLICA]


def test_a_book_without_a_second_actor_has_one_copy(copies: Callable[..., list[str]]) -> None:
    assert copies(book=("there", "book")) == [BOOK]
    assert copies(book=("here", "replica"), replica=("here", "replica")) == [BOOK], "the replica stands in"
    assert copies() == [BOOK]
    assert RouteTable("one", "here").copies(book_of("catalog/acme")) == ["catalog/acme"]
