"""Decides whose an order is that has an id of our form, although the journal does not know it. Pure.

Theory of operation. Every order of this mesh is journaled before it is sent. So there are two explanations. The journal
is older than the exchange (a backup was restored, or the journal is a new one): the order is ours. Or another mesh with
another journal trades on the account: the order is not ours. It is another mesh's order if one of these holds:

    its maker (`model.ids`) began after this manager took the account: each of that maker's orders would have gone
        through this manager
    it was placed after this manager took the account: a complete list of the open orders, requested since then, did not
        have it
    an earlier order of its maker was another mesh's; the journal has a mark of that

The clocks of two nodes differ, and a request that was sent before may arrive afterwards. So "after" means more than
`OrderSettings.clock_slack_s` after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ....connectors.reports import OrderReport
from ....journal.writes import PutMark
from ....model.ids import maker_of
from ....model.order import TERMINAL
from ....model.time import DAY_NS, in_ns
from ..settings import OrderSettings
from .effect_buffer import EffectBuffer
from .effects import Now

OTHER_MESH = "other_mesh:"  # prefix of the marks of makers of other meshes
MAKERS_MAX = 100  # makers of other meshes that are remembered
LOST_NS = 7 * DAY_NS  # fills are requested for at most this time before the present


class Origins:
    """See the module."""

    def __init__(self, settings: OrderSettings, effects: EffectBuffer, born: Callable[[str], int | None]) -> None:
        """`born(id)` returns when the maker of an id began, ns since the Unix epoch; None for an id of another form."""
        self._effects, self._born = effects, born
        self._slack_ns = in_ns(settings.clock_slack_s)
        self._taken_ns = self._taken_exchange_ns = 0
        self._journaled_ns = 0  # when the journal was last written before this manager took the account
        self._listed_ns: int | None = None  # when the last complete list of open orders was requested; exchange's clock
        self._makers: dict[str, None] = {}  # of other meshes

    def boot(self, marks: Mapping[str, str], journaled_ns: int | None, now: Now) -> None:
        """Begin at the moment when the manager takes the account."""
        self._taken_ns, self._taken_exchange_ns = now.ns, now.exchange_ns
        self._journaled_ns = journaled_ns or 0
        for name in marks:
            if name.startswith(OTHER_MESH):
                self._makers[name.removeprefix(OTHER_MESH)] = None

    def listed(self, begun: Now) -> None:
        """Record that a complete list of the open orders, requested at `begun`, was applied."""
        self._listed_ns = begun.exchange_ns

    def is_ours(self, report: OrderReport, client_order_id: str, now: Now) -> bool:
        """Return whether an order that the journal does not know is an order of this mesh."""
        made, named = self._born(client_order_id), maker_of(client_order_id)
        if made is None or named is None or named[0] in self._makers:
            return False
        if self._taken_ns + self._slack_ns < made <= now.ns or self._was_placed_since(report):
            self._note_other(named[0], now)
            return False
        return True

    def is_other_mesh(self, client_order_id: str) -> bool:
        """Return whether the maker of an id is known as another mesh's."""
        named = maker_of(client_order_id)
        return named is not None and named[0] in self._makers

    def _was_placed_since(self, report: OrderReport) -> bool:
        listed_ns = self._listed_ns
        if listed_ns is None or listed_ns <= self._taken_exchange_ns + self._slack_ns:
            return False
        is_open = report.status is not None and report.status not in TERMINAL
        return is_open or report.ts_event_ns > listed_ns

    def _note_other(self, maker: str, now: Now) -> None:
        self._makers[maker] = None
        self._effects.write(PutMark(f"{OTHER_MESH}{maker}", str(now.ns)))
        if len(self._makers) > MAKERS_MAX:
            old = next(iter(self._makers))
            del self._makers[old]
            self._effects.write(PutMark(f"{OTHER_MESH}{old}", None))

    def since_ns(self, client_order_id: str, now: Now) -> int:
        """Return the time from which fills may be missing in the journal, our clock, given one order that it lacks."""
        return max(self._born(client_order_id) or 0, self._journaled_ns, now.ns - LOST_NS)
