"""Withholds the fees of fills for a while, under the fault `late_fee`.

The first report of a fill, and the lists of fills until `ms` later, have no fee, or a fee of zero. Then the lists have
the fee, and with `again` another report of the fill. An order's own sum of fees and the balances are right at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..model.time import MILLISECOND_NS
from .clock import Clock
from .engine.accounts import Fill
from .engine.market import ExecutionReport
from .faults import Faults

Key = tuple[str, str, int, int]  # protocol, symbol, trade id, order id
KEPT = 10_000  # withheld fees; the oldest are stated first


class LateFees:
    """See the module. A withheld fee is 0; its asset is "" where the fee is absent."""

    def __init__(self, faults: Faults, clock: Clock) -> None:
        self._faults, self._clock = faults, clock
        self._withheld: dict[Key, tuple[str, int]] = {}  # how, and until when

    def report(self, protocol: str, report: ExecutionReport, send: Callable[[ExecutionReport], None]) -> None:
        """Send a report with `send`; under the fault without its fee, and later with it."""
        fill = report.fill
        rule = None if fill is None else self._faults.fee(protocol, fill.symbol, report.account.name)
        if fill is None or rule is None:
            send(report)
            return
        until_ns = self._clock.now_ns() + int(rule.ms * MILLISECOND_NS)
        self._withheld[_key(protocol, fill)] = (rule.mode, until_ns)
        if len(self._withheld) > KEPT:
            del self._withheld[next(iter(self._withheld))]
        send(replace(report, fill=_without_fee(fill, rule.mode)))
        if rule.again:
            self._faults.later(rule.ms / 1000, lambda: send(report))

    def shown(self, protocol: str, fill: Fill) -> Fill:
        """Return a fill as lists show it now."""
        withheld = self._withheld.get(_key(protocol, fill)) if self._withheld else None
        if withheld is None:
            return fill
        how, until_ns = withheld
        return fill if self._clock.now_ns() >= until_ns else _without_fee(fill, how)


def _key(protocol: str, fill: Fill) -> Key:
    return protocol, fill.symbol, fill.trade_id, fill.order_id


def _without_fee(fill: Fill, how: str) -> Fill:
    return replace(fill, fee=0) if how == "zero" else replace(fill, fee=0, fee_asset="")
