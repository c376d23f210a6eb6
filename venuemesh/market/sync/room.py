# Generated from venuemesh/market/aio/room.py by scripts/generate-sync: change that file, not this one.
"""`Room`, the base of every part of `Market`: the market's state, and requests to roles."""

from __future__ import annotations

from typing import Any, Self

from ...model.errors import OutcomeUnknown, RetryLater
from ...orderbook.view import BookView
from ...orderbook.view.waits import Waits
from ..link import Link
from ..state import MarketState

AGAIN_S = 0.5  # pause after a request without an answer


class Room:
    """One exchange and one of its accounts. Base of the parts of `Market`."""

    def __init__(
        self, link: Link, exchange: str, account: str | None = None, owner: str = "", on_death: str = "keep"
    ) -> None:
        """Raises UnknownExchange; Misconfigured: the exchange has no such account, or "cancel" without an owner."""
        self._state = MarketState.checked(link, exchange, account, owner, on_death)
        self._views: dict[str, BookView] = {}

    @classmethod
    def with_state(cls, state: MarketState) -> Self:
        """Make a market that shares account, owner, order ids and orders on their way with another."""
        market = cls.__new__(cls)
        market._state, market._views = state, {}
        return market

    def __repr__(self) -> str:
        whose = f"{self.exchange} {self.account}" if self.account else self.exchange
        return f"<{type(self).__name__} {whose} of mesh {self._state.link.mesh}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # unpickling sends no request, because it may run where blocking is not allowed; each copy makes its own ids
        state = self._state
        return _restore, (type(self), state.link, state.exchange, state.account, state.owner, state.on_death)

    @property
    def exchange(self) -> str:
        """Name of the exchange."""
        return self._state.exchange

    @property
    def account(self) -> str | None:
        """Name of the account; None if the exchange has none, or has several and none was chosen."""
        return self._state.account

    @property
    def owner(self) -> str:
        """Name written on every order that is placed through this market; it may be empty."""
        return self._state.owner

    @property
    def on_death(self) -> str:
        """The fate of the owner's open orders when its last process dies: "keep" or "cancel"."""
        return self._state.on_death

    def ask_role(self, address: str, kind: str, body: Any, timeout_s: float) -> Any:
        """Send a request that changes nothing to any role of the mesh, by its address. For tools.

        Raises:
            RetryLater: not served or not answered; call it again.
            MeshError: an error of the role.
        """
        try:
            return Waits.answer(self._state.link.submit, address, kind, body, timeout_s)
        except OutcomeUnknown as error:  # a request that changes nothing leaves no doubt
            raise RetryLater(AGAIN_S, str(error)) from error

    def _ask(self, kind: str, body: Any, timeout_s: float) -> Any:
        """Send the account's order manager a request that changes nothing."""
        return self.ask_role(self._state.orders_address, kind, body, timeout_s)

    def _command(self, kind: str, body: Any, timeout_s: float, what: str) -> Any:
        """Send the account's order manager a command. `what` names the command in OutcomeUnknown."""
        try:
            return Waits.answer(self._state.link.submit, self._state.orders_address, kind, body, timeout_s)
        except OutcomeUnknown as error:
            raise OutcomeUnknown(what, error.reason) from error


def _restore(kind: type[Room], link: Link, exchange: str, account: str | None, owner: str, on_death: str) -> Room:
    return kind.with_state(MarketState(link, exchange, account, owner, on_death))
