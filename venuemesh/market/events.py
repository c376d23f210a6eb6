"""Following orders: what became of them, what is open, and the numbered events of the account. Part of `Market`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Future
from typing import Any

from ..model.errors import OutcomeUnknown, Rejected, RetryLater
from ..model.order import AccountEvent, Fill, Order
from .account import AGAIN_S, AccountFace
from .values import Page, by_id, limit_orders_of

PAGE = 500  # events asked for at once
POLL_S = 10.0  # how long one question for events waits at the manager


class Following(AccountFace):
    """What is known of the orders of an account, from memory or from its journal."""

    _pending: dict[str, Future[Any]]  # answers to what was handed over here, by client order id

    async def wait(self, client_order_id: str, until: str = "done", timeout_s: float = 60.0) -> Order:
        """Return the order once it is "done" (nothing more can happen to it) or "open" (the exchange has it, or done).

        An order that was refused before it was sent is returned too: FAILED or REJECTED with its reason. May be called
        from any process that knows the id, again and again.

        Raises:
            UnknownOrder: it never reached the manager, and now never will: an order that comes with this id later is
                refused.
            RetryLater: not within `timeout_s`, or the manager was away; the order goes on.
        """
        if until not in ("done", "open"):
            raise Rejected("bad_request", f"until is {until!r}; it is 'done' or 'open'")
        deadline = time.monotonic() + timeout_s
        await self._handed_over(client_order_id, timeout_s)
        while (left := deadline - time.monotonic()) > 0:
            body = {"id": client_order_id, "until": until}
            with contextlib.suppress(RetryLater):
                found = await self._ask_async("poll:order", body, min(left, POLL_S))
                if found is not None:
                    return Order.from_dict(found)
        raise RetryLater(1.0, f"{client_order_id} is not {until} within {timeout_s:g} s")

    async def _handed_over(self, client_order_id: str, timeout_s: float) -> None:
        """Let the order reach the manager before the manager is asked for it."""
        answer = self._pending.get(client_order_id)
        if answer is None:
            return
        done, _ = await asyncio.wait({asyncio.wrap_future(answer)}, timeout=timeout_s)
        for one in done:
            error = one.exception()
            if isinstance(error, RetryLater):  # it never got there: the manager gives the id its fate when it is asked
                self._pending.pop(client_order_id, None)

    async def events(
        self,
        after: int | None = None,
        *,
        cursor: str | None = None,
        owner: str | None = None,
    ) -> AsyncIterator[AccountEvent]:
        """Iterate over what happens on the account: numbered without holes, durable, the same for every reader.

        From now on, or after the number `after`, or, with a named `cursor`, after what that cursor handled last (from
        the first event that is kept, when it is new). A cursor moves on when the iteration comes back for the next
        event or is closed: an event may be seen again after a crash, never skipped. `owner` leaves out the
        orders of others; numbers then have holes.

        Raises:
            EventsTrimmed: what comes next is no longer kept; `first` says where one may go on.
            Misconfigured: this market has no account.
        """
        if after is not None and cursor is not None:
            raise Rejected("bad_request", "after and cursor cannot both be given")
        at = after
        handled: int | None = None
        try:
            while True:
                body: dict[str, Any] = {"after": at, "limit": PAGE, "owner": owner}
                if at is None and cursor is not None:
                    body["cursor"] = cursor
                try:
                    answer = await self._ask_async("poll:events", body, POLL_S)
                except RetryLater:
                    await asyncio.sleep(AGAIN_S)
                    continue
                if answer is None:
                    continue
                for plain in answer["events"]:
                    event = AccountEvent.from_dict(plain)
                    yield event
                    handled = event.number
                at = answer["next"]
                if cursor is not None and answer["events"]:
                    handled = at
                    await self._save_cursor(cursor, at)
        finally:
            if cursor is not None and handled is not None and handled != at:
                await self._save_cursor(cursor, handled)

    async def _save_cursor(self, cursor: str, number: int) -> None:
        with contextlib.suppress(RetryLater, OutcomeUnknown):  # seen again, then: at least once is the promise
            await self._link.call_async(self._address, "cursor", {"name": cursor, "number": number}, 5.0)

    def get_order(self, client_order_id: str, timeout_s: float = 5.0) -> Order:
        """Return one order, however old.

        Raises:
            UnknownOrder: there is none, and now never will be: an order that comes with this id later is refused.
            RetryLater: the manager is away.
        """
        return Order.from_dict(self._ask_account("get", {"id": client_order_id}, timeout_s))

    async def get_order_async(self, client_order_id: str, timeout_s: float = 5.0) -> Order:
        """`get_order` for async actors. Waits until an order handed over here has reached the manager."""
        await self._handed_over(client_order_id, timeout_s)
        return Order.from_dict(await self._ask_async("get", {"id": client_order_id}, timeout_s))

    def in_flight_orders(
        self, timeout_s: float = 5.0, *, owner: str | None = None, external: bool = False
    ) -> dict[str, Order]:
        """Return every order of the mesh that is not done, by client order id; `external`: those of others, too.

        Raises RetryLater: the manager is away.
        """
        body = {"open": True, "owner": owner, "external": external}
        return by_id(self._ask_account("orders", body, timeout_s)["rows"])

    async def in_flight_orders_async(
        self, timeout_s: float = 5.0, *, owner: str | None = None, external: bool = False
    ) -> dict[str, Order]:
        """`in_flight_orders` for async actors."""
        body = {"open": True, "owner": owner, "external": external}
        return by_id((await self._ask_async("orders", body, timeout_s))["rows"])

    def limit_orders(self, timeout_s: float = 5.0, *, owner: str | None = None) -> list[Order]:
        """Return the limit orders that are not done, oldest first. Raises RetryLater: the manager is away."""
        return limit_orders_of(self.in_flight_orders(timeout_s, owner=owner))

    async def limit_orders_async(self, timeout_s: float = 5.0, *, owner: str | None = None) -> list[Order]:
        """`limit_orders` for async actors."""
        return limit_orders_of(await self.in_flight_orders_async(timeout_s, owner=owner))

    def orders(
        self,
        *,
        pair: str | None = None,
        owner: str | None = None,
        after: int = 0,
        limit: int = 500,
        newest: bool = False,
        timeout_s: float = 10.0,
    ) -> Page[Order]:
        """Return orders of the journal, done or not, in the order they were made; at most `limit` (5,000).

        `after` is the `next` of the page before; `newest` gives the last ones instead. Raises RetryLater: the manager
        is away.
        """
        body = {"open": False, "pair": pair, "owner": owner, "after": after, "limit": limit, "newest": newest}
        return Page.read(Order.from_dict, self._ask_account("orders", body, timeout_s))

    def fills(
        self,
        *,
        client_order_id: str | None = None,
        pair: str | None = None,
        after: int = 0,
        limit: int = 500,
        newest: bool = False,
        timeout_s: float = 10.0,
    ) -> Page[Fill]:
        """Return own fills of the journal, in the order they were recorded. Everything as in `orders`."""
        body = {"id": client_order_id, "pair": pair, "after": after, "limit": limit, "newest": newest}
        return Page.read(Fill.from_dict, self._ask_account("fills", body, timeout_s))

    def tracking_states(self, timeout_s: float = 5.0) -> dict[str, dict[str, Any]]:
        """Return the orders that are not done as plain values, to be kept elsewhere and given to `restore`.

        Nobody needs to: the journal does it. This is for moving an account to another mesh.
        """
        states: dict[str, dict[str, Any]] = self._ask_account("tracking_states", None, timeout_s)
        return states

    async def tracking_states_async(self, timeout_s: float = 5.0) -> dict[str, dict[str, Any]]:
        """`tracking_states` for async actors."""
        states: dict[str, dict[str, Any]] = await self._ask_async("tracking_states", None, timeout_s)
        return states

    def restore(self, states: Mapping[str, Mapping[str, Any]], timeout_s: float = 30.0) -> list[str]:
        """Take over orders that another mesh tracked; return the ids that were not known here. Idempotent.

        They are journaled as they were said to be, and the exchange is asked for each before anything is believed.

        Raises:
            Rejected: one of them is not an order of this account; nothing was taken over.
            OutcomeUnknown: not answered; do it again.
        """
        plain = {client_order_id: dict(state) for client_order_id, state in states.items()}
        taken: list[str] = self._command("restore", {"states": plain}, timeout_s, "restore")
        return taken
