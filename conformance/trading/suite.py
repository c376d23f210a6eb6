"""The base of all trading checks: a connector, a venue, and one desk for the checks of a class."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import ClassVar, TypeVar

from ...connectors.order_codec import TradingConnector
from ...model.shown import few
from ..market.suite import expect
from .bench import Desk
from .venue import Venue

S = TypeVar("S", bound="TradingSuite")
LIMIT_S = 120.0  # time limit of one check


class TradingSuite:
    """A subclass names a connector and opens a venue. Each `test_` method is one check and raises AssertionError.

    pytest and the command line call `setup_class` and `teardown_class`. The checks of a class trade on one account, one
    after the other; each leaves no order open.
    """

    connector: ClassVar[TradingConnector]
    desk: ClassVar[Desk]
    _opened: ClassVar[contextlib.ExitStack]

    @classmethod
    def venue(cls) -> AbstractContextManager[Venue]:
        """Return the venue to trade on, a context manager around all checks."""
        raise NotImplementedError("override `venue`: it returns the venue to trade on")

    @classmethod
    def setup_class(cls) -> None:
        with contextlib.ExitStack() as opening:
            venue = opening.enter_context(cls.venue())
            cls.desk = opening.enter_context(Desk(cls.connector, venue))
            cls._opened = opening.pop_all()

    @classmethod
    def teardown_class(cls) -> None:
        cls._opened.close()


def trading(check: Callable[[S, Desk], Awaitable[None]]) -> Callable[[S], None]:
    """Make a check of a coroutine function: pass it the desk, limit its time, and cancel its orders after it.

    An unexpected exception in a role fails the check during which it was raised.
    """

    async def carry_out(suite: S) -> None:
        desk = suite.desk
        try:
            async with asyncio.timeout(LIMIT_S) as limit:
                await check(suite, desk)
        except TimeoutError as error:
            if limit.expired():
                raise AssertionError(f"the check did not end within {LIMIT_S:g} s") from None
            raise AssertionError(f"a step of the check timed out: {error!r}") from error
        finally:
            await desk.tidy()
            failures = desk.mesh.take_failures()
            expect(not failures, f"roles raised unexpected exceptions: {few(failures, 3, '; ')}")

    def run(suite: S) -> None:
        asyncio.run(carry_out(suite))

    run.__name__, run.__qualname__, run.__doc__ = check.__name__, check.__qualname__, check.__doc__
    run.__module__ = check.__module__
    return run
