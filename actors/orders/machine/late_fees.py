"""Requests the fills of orders whose fees are not stated yet. Pure.

Theory of operation. An exchange may report a fill before it knows the fee. A later report of the stream states the fee,
or only the list of fills does. So the fills of such an order are requested: first `fee_s` after the report, then after
pauses twice as long, at most `ASKS` times (about a quarter of an hour at the default). After that the fee stays
unknown until a report or a restart of the manager. Nothing waits for a fee.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ....connectors.order_codec import Draft, Reply
from ....model.errors import MeshError
from ....model.time import in_ns
from .effects import Now, Purpose
from .ledger import Held
from .state import AccountState

ASKS = 10


@dataclass(slots=True)
class Late:
    """An order with fills without fees: `due_mono_ns` of the next request, None while one is under way."""

    due_mono_ns: int | None
    asks: int = 0


class LateFees:
    """See the module. `ask` sends the request of a purpose for an order."""

    def __init__(self, state: AccountState, ask: Callable[[Purpose, str, Draft, Now], object]) -> None:
        self._state, self._ask = state, ask
        self._late: dict[str, Late] = {}  # by client order id

    @property
    def due_ns(self) -> list[int]:
        """Return the times of the next requests, by the monotonic clock."""
        return [late.due_mono_ns for late in self._late.values() if late.due_mono_ns is not None]

    def changed(self, held: Held, now: Now) -> None:
        """Note whether fees of the order's fills are missing."""
        one = held.order.client_order_id
        if not held.without_fee:
            self._late.pop(one, None)
        elif one not in self._late:
            self._late[one] = Late(now.mono_ns + in_ns(self._state.settings.fee_s))

    def tick(self, now: Now) -> None:
        """Send the requests that are due."""
        for one, late in list(self._late.items()):
            if late.due_mono_ns is None or late.due_mono_ns > now.mono_ns:
                continue
            draft = self._draft(one)
            if draft is None:
                del self._late[one]
                continue
            late.due_mono_ns, late.asks = None, late.asks + 1
            self._ask(Purpose.FEES, one, draft, now)

    def _draft(self, one: str) -> Draft | None:
        held = self._state.ledger.get(one)
        if held is None or held.order.exchange_order_id is None:
            return None
        instrument = self._state.guards.instruments.get(held.order.pair)
        if instrument is None:
            return None
        return self._state.codec.fills(instrument, None, held.order.exchange_order_id)

    def asked(self, one: str, result: Reply | MeshError, now: Now) -> None:
        """Apply the answer; schedule the next request if a fee is still missing."""
        held, late = self._state.ledger.get(one), self._late.get(one)
        if held is not None and isinstance(result, Reply):
            for fill in result.fills:
                if fill.exchange_order_id in ("", held.order.exchange_order_id):
                    self._state.ledger.fill(held, fill, now, is_listed=True)
        if late is None:
            return
        if held is None or not held.without_fee or late.asks >= ASKS:
            del self._late[one]
        else:
            late.due_mono_ns = now.mono_ns + in_ns(self._state.settings.fee_s * 2**late.asks)
