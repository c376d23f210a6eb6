"""The shared state of a `Market` and its `AsyncMarket`: account, owner, order ids, and orders on their way."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from ..model.address import orders_address
from ..model.errors import Misconfigured, UnknownExchange, UnknownInstrument
from ..model.ids import OrderIds
from ..model.instrument import Instrument
from ..model.order import NewOrder
from ..model.spelling import BASE_QUOTE, is_misspelled, similar_pairs
from .link import Link
from .values import place_body

ANSWER_S = 15.0  # longest wait for an answer, in addition to the time that an order may be on its way
PENDING_MAX = 4096  # number of ids of this process whose answers are kept; up to twice as many
DEATHS = ("keep", "cancel")


class MarketState:
    """One exchange, an account or none, and an owner. No method waits."""

    def __init__(self, link: Link, exchange: str, account: str | None, owner: str, on_death: str) -> None:
        if on_death not in DEATHS:
            raise Misconfigured("on_death", f"{on_death!r} is not 'keep' or 'cancel'")
        if on_death == "cancel" and not owner:
            raise Misconfigured("on_death", "'cancel' needs an owner: give owner=, whose orders are cancelled")
        self.link = link
        self.exchange, self.account = exchange, account
        self.owner, self.on_death = owner, on_death
        self.ids: Callable[[], str] = OrderIds(time.time_ns(), secrets.randbits(64))
        self._pending: dict[
            str, Future[Any]
        ] = {}  # answers to orders that this process handed over, by client order id
        self._owned = False

    @classmethod
    def checked(
        cls, link: Link, exchange: str, account: str | None, owner: str = "", on_death: str = "keep"
    ) -> MarketState:
        """Make the state for an exchange and account that the mesh has. Raises UnknownExchange, Misconfigured."""
        known = link.exchanges()
        if exchange not in known:
            raise UnknownExchange(exchange, known)
        accounts = link.accounts(exchange)
        if account is None and len(accounts) == 1:
            account = accounts[0]
        elif account is not None and account not in accounts:
            raise Misconfigured(f"account {account!r} of {exchange}", f"known are: {', '.join(accounts) or 'none'}")
        return cls(link, exchange, account, owner, on_death)

    @property
    def instruments(self) -> dict[str, Instrument]:
        return self.link.tracked(self.exchange)

    def instrument(self, pair: str, reason: str) -> Instrument:
        """Return a tracked instrument. Raises UnknownInstrument with `reason`, and with similar tracked pairs."""
        tracked = self.instruments
        found = tracked.get(pair)
        if found is None:
            raise UnknownInstrument(self.exchange, str(pair), reason, similar_pairs(str(pair), tracked))
        return found

    def tradable(self, pair: str) -> Instrument | None:
        """Return the instrument of a pair to trade; None if the mesh does not track it.

        Raises:
            UnknownInstrument: the text cannot be the name of a pair, or it is a tracked pair in another spelling.
        """
        tracked = self.instruments
        found = tracked.get(pair)
        if found is None:
            similar = similar_pairs(str(pair), tracked)
            if is_misspelled(str(pair), similar):
                raise UnknownInstrument(self.exchange, str(pair), BASE_QUOTE, similar)
        return found

    @property
    def orders_address(self) -> str:
        """Address of the account's order manager. Raises Misconfigured: no account."""
        if self.account is None:
            known = self.link.accounts(self.exchange)
            reason = (
                f"give account=, one of {', '.join(known)}"
                if known
                else "the mesh's configuration has no account for it"
            )
            raise Misconfigured(f"market {self.exchange}", f"no account: {reason}")
        return orders_address(self.exchange, self.account)

    # ------------------------------------------------------------------ handing over

    def hand_over(self, order: NewOrder, expires_s: float) -> str:
        """Send an order on its way to the manager; return its id at once."""
        self.take_ownership()
        client_order_id = order.client_order_id
        body = place_body([order], expires_s)
        answer = self.link.submit(self.orders_address, "place", body, expires_s + ANSWER_S)
        if len(self._pending) >= 2 * PENDING_MAX:  # at intervals, because each time all answers are checked
            for known in [known for known, other in self._pending.items() if other.done()][:PENDING_MAX]:
                del self._pending[known]
        self._pending[client_order_id] = answer
        answer.add_done_callback(lambda done: _log_failure("order", client_order_id, done))
        return client_order_id

    def hand_over_cancel(self, client_order_id: str) -> None:
        """Send a cancel on its way at once."""
        answer = self.link.submit(self.orders_address, "cancel", self.cancel_body(client_order_id), ANSWER_S)
        answer.add_done_callback(lambda done: _log_failure("cancel", client_order_id, done))

    def cancel_body(self, client_order_id: str) -> dict[str, Any]:
        """Return the body of a cancel. `pending`: the order may arrive at the manager behind its cancel."""
        order = self._pending.get(client_order_id)
        return {"id": client_order_id, "pending": order is not None and not order.done()}

    def pending(self, client_order_id: str) -> Future[Any] | None:
        """Return the manager's answer to an order that this process handed over; None if there is none."""
        return self._pending.get(client_order_id)

    def take_ownership(self) -> None:
        """Before the first order: take a lease for the owner at the manager."""
        address = self.orders_address
        if self.owner and not self._owned:
            self.link.own(address, self.owner, self.on_death)
            self._owned = True


def _log_failure(what: str, client_order_id: str, answer: Future[Any]) -> None:
    """Log the refusal or unknown outcome of a command that no caller awaits."""
    error = None if answer.cancelled() else answer.exception()
    if error is not None:
        from loguru import logger

        logger.warning("{} {}: {}", what, client_order_id, error)
