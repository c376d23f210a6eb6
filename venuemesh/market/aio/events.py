"""The account's journal: numbered events, orders and fills. Part of `AsyncMarket`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from ...model.errors import OutcomeUnknown, Rejected, RetryLater
from ...model.order import AccountEvent, Fill, Order
from ...orderbook.view.waits import AsyncWaits
from ..values import LIMITS, Page, row_limit
from .room import AGAIN_S, AsyncRoom

PAGE = 500  # events of one request
ROWS = 1_000  # most rows of one request for a listing; the manager answers nothing else while it packs them
POLL_S = 10.0  # how long one request for events waits at the manager


class AsyncEvents(AsyncRoom):
    """Events, orders and fills of the account, of any age."""

    async def events(
        self,
        after: int | AccountEvent | None = None,
        *,
        cursor: str | None = None,
        owner: str | None = None,
    ) -> AsyncIterator[AccountEvent]:
        """Iterate over the account's events: numbered without gaps, durable, the same for every reader.

        The iteration starts now, or after `after` (the number of an event, or the event itself: then it is certain that
        both are of the same journal), or, with a named `cursor`, after the last event that this cursor handled (a new
        cursor starts at the first kept event). A cursor advances when the iteration requests the
        next event or is closed: after a crash an event may be seen again, but never skipped. `owner` leaves out the
        orders of other owners; numbers then have gaps.

        Raises:
            EventsTrimmed: the next event was deleted; `first` is the number of the oldest event that is kept.
            EventsRewound: an older journal was restored, or a new one begun: events may be missing, others come again.
            Misconfigured: this market has no account.
        """
        if after is not None and cursor is not None:
            raise Rejected("bad_request", "after and cursor cannot both be given")
        lineage = after.lineage if isinstance(after, AccountEvent) else None
        at = after.number if isinstance(after, AccountEvent) else after
        handled: int | None = None
        try:
            while True:
                body: dict[str, Any] = {"after": at, "lineage": lineage, "limit": PAGE, "owner": owner}
                if at is None and cursor is not None:
                    body["cursor"] = cursor
                try:
                    answer = await self._ask("poll:events", body, POLL_S)
                except RetryLater:
                    await AsyncWaits.sleep(AGAIN_S)
                    continue
                if answer is None:
                    continue
                for plain in answer["events"]:
                    event = plain if isinstance(plain, AccountEvent) else AccountEvent.from_dict(plain)
                    yield event
                    handled = event.number
                at, lineage = answer["next"], answer["lineage"]
                if cursor is not None and answer["events"]:
                    handled = at
                    await self._save_cursor(cursor, at)
        finally:
            if cursor is not None and handled is not None and handled != at:
                await self._save_cursor(cursor, handled)

    async def _save_cursor(self, cursor: str, number: int) -> None:
        with contextlib.suppress(RetryLater, OutcomeUnknown):  # the event is seen again: delivery is at least once
            await self._command("cursor", {"name": cursor, "number": number}, 5.0, "cursor")

    async def in_flight_orders(
        self, timeout_s: float = 5.0, *, owner: str | None = None, external: bool = False, pair: str | None = None
    ) -> dict[str, Order]:
        """Return every order of the mesh that is not done, by client order id; with `external` also external orders.

        Many orders come in several answers, all within `timeout_s`; a change meanwhile may be in the result or not.

        Raises:
            UnknownInstrument: the exchange does not list the pair, and the journal has no order of it.
            RetryLater: the manager is away.
        """
        body = {"open": True, "owner": owner, "external": external, "pair": pair}
        rows = (await self._listed("orders", body, None, timeout_s))["rows"]
        return {order.client_order_id: order for order in map(Order.from_dict, rows)}

    async def limit_orders(self, timeout_s: float = 5.0, *, owner: str | None = None) -> list[Order]:
        """Return the limit orders that are not done, oldest first. Raises RetryLater: the manager is away."""
        orders = (await self.in_flight_orders(timeout_s, owner=owner)).values()
        return sorted((order for order in orders if order.order_type in LIMITS), key=lambda order: order.created_ns)

    async def orders(
        self,
        *,
        pair: str | None = None,
        owner: str | None = None,
        after: int = 0,
        limit: int = 500,
        newest: bool = False,
        before: int | None = None,
        timeout_s: float = 10.0,
    ) -> Page[Order]:
        """Return orders of the journal, done or not, in the order of creation; at most `limit`.

        If there are more, the page's `next` tells where they begin: it is the `after` of the next page. `newest`
        returns the last orders instead; `next` is then the `before` of the page of older orders. `to_pandas()` of the
        page makes a data frame.

        Raises:
            UnknownInstrument: the exchange does not list the pair, and the journal has no order of it.
            RetryLater: the manager is away.
        """
        body = {"pair": pair, "owner": owner, "after": after, "newest": newest, "before": before}
        return Page.read(Order, await self._listed("orders", body, limit, timeout_s))

    async def fills(
        self,
        *,
        client_order_id: str | None = None,
        pair: str | None = None,
        after: int = 0,
        limit: int = 500,
        newest: bool = False,
        before: int | None = None,
        timeout_s: float = 10.0,
    ) -> Page[Fill]:
        """Return own fills of the journal, in the order of recording. Pages and frames as in `orders`."""
        body = {"id": client_order_id, "pair": pair, "after": after, "newest": newest, "before": before}
        return Page.read(Fill, await self._listed("fills", body, limit, timeout_s))

    async def _listed(self, kind: str, body: dict[str, Any], limit: int | None, timeout_s: float) -> dict[str, Any]:
        """Return up to `limit` rows of a listing of the manager (None: all), requested page by page.

        Raises:
            Rejected: `limit` is not a whole number of at least 1.
            RetryLater: the manager is away, or not all pages came within `timeout_s`.
        """
        most, deadline = row_limit(limit), time.monotonic() + timeout_s
        rows: list[dict[str, Any]] = []
        while True:
            wanted = ROWS if most is None else min(ROWS, most - len(rows))
            left_s = max(0.001, deadline - time.monotonic())
            answer = await self._ask(kind, body | {"limit": wanted}, left_s)
            found, more = answer["rows"], answer["next"]
            rows = found + rows if body.get("newest") else rows + found
            if more is None or len(rows) == most:
                return {"rows": rows, "next": more}
            body = body | {"before" if body.get("newest") else "after": more}

    async def tracking_states(self, timeout_s: float = 5.0) -> dict[str, dict[str, Any]]:
        """Return the orders that are not done as plain values, for `restore` on another mesh.

        The journal keeps orders anyway; use this to move an account to another mesh.
        """
        states: dict[str, dict[str, Any]] = await self._ask("tracking_states", None, timeout_s)
        return states

    async def restore(self, states: Mapping[str, Mapping[str, Any]], timeout_s: float = 30.0) -> list[str]:
        """Take over orders that another mesh tracked; return the ids that are new here. Idempotent.

        The orders are journaled in the given states, and each is queried at the exchange before its state is trusted.

        Raises:
            Rejected: a state is not an order of this account; nothing was taken over.
            OutcomeUnknown: no answer; call `restore` again.
        """
        plain = {client_order_id: dict(state) for client_order_id, state in states.items()}
        taken: list[str] = await self._command("restore", {"states": plain}, timeout_s, "restore")
        return taken
