"""`AsyncRoom`: what every part of `AsyncMarket` stands on: the market's state, and how a role is asked."""

from __future__ import annotations

from typing import Any, Self

from ...model.errors import OutcomeUnknown, RetryLater
from ...orderbook.view import AsyncBookView
from ...orderbook.view.waits import AsyncWaits
from ..link import Link
from ..state import MarketState

AGAIN_S = 0.5  # pause after a question that got no answer


class AsyncRoom:
    """One exchange and an account of it. Base of the parts of `AsyncMarket`."""

    def __init__(
        self, link: Link, exchange: str, account: str | None = None, owner: str = "", on_death: str = "keep"
    ) -> None:
        """Raises UnknownExchange; Misconfigured: the exchange has no such account, or "cancel" without an owner."""
        self._state = MarketState.checked(link, exchange, account, owner, on_death)
        self._views: dict[str, AsyncBookView] = {}

    @classmethod
    def with_state(cls, state: MarketState) -> Self:
        """Make a market that shares its account, owner, order ids and what is on its way with another."""
        market = cls.__new__(cls)
        market._state, market._views = state, {}
        return market

    def __repr__(self) -> str:
        whose = f"{self.exchange} {self.account}" if self.account else self.exchange
        return f"<{type(self).__name__} {whose} of mesh {self._state.link.mesh}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # asks nobody: the other end may not be able to wait; ids of its own: two copies never choose the same
        state = self._state
        return _restore, (type(self), state.link, state.exchange, state.account, state.owner, state.on_death)

    @property
    def exchange(self) -> str:
        """Name of the exchange."""
        return self._state.exchange

    @property
    def account(self) -> str | None:
        """Name of the account; None when the exchange has none, or several and none was named."""
        return self._state.account

    @property
    def owner(self) -> str:
        """Name written on every order that is placed through this market; it may be empty."""
        return self._state.owner

    @property
    def on_death(self) -> str:
        """What becomes of the owner's open orders when its last process dies: "keep" or "cancel"."""
        return self._state.on_death

    async def ask_role(self, address: str, kind: str, body: Any, timeout_s: float) -> Any:
        """Ask any role of the mesh something that changes nothing, by its address: for tools.

        Raises:
            RetryLater: not served or not answered; ask again. And what the role raises.
        """
        try:
            return await AsyncWaits.answer(self._state.link.submit, address, kind, body, timeout_s)
        except OutcomeUnknown as error:  # of a question that only means: not answered
            raise RetryLater(AGAIN_S, str(error)) from error

    async def _ask(self, kind: str, body: Any, timeout_s: float) -> Any:
        """Ask the order manager of the account something that changes nothing."""
        return await self.ask_role(self._state.orders_address, kind, body, timeout_s)

    async def _command(self, kind: str, body: Any, timeout_s: float, what: str) -> Any:
        """Have the order manager do something. `what` names it in OutcomeUnknown."""
        try:
            return await AsyncWaits.answer(self._state.link.submit, self._state.orders_address, kind, body, timeout_s)
        except OutcomeUnknown as error:
            raise OutcomeUnknown(what, error.reason) from error


def _restore(
    kind: type[AsyncRoom], link: Link, exchange: str, account: str | None, owner: str, on_death: str
) -> AsyncRoom:
    return kind.with_state(MarketState(link, exchange, account, owner, on_death))
