"""Polls open orders, fills and balances, and reports changes: the user stream of an exchange without one.

One round requests all open orders. A changed order is reported in its new state, with its fills if its filled amount
grew. An order that disappeared is queried by its id; the answer states how it ended. It is not queried if the manager
held it open and no longer does: the manager knows its end. An order that the manager holds open but no round has shown
appeared and ended between two rounds, and is queried, too. Balances are requested after a
change and in every slow round. A failed round loses nothing: the next round compares with the last reports. Rounds are
fast after the start, while orders are open and after a change, and slow otherwise.

Polling does not see an order that was placed and ended between two rounds. If balances show its effect, and no order
that was open explains the change, the poller reports a gap, and the manager requests what it missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from ...connectors.limit_answers import Cost
from ...connectors.reports import BalanceReport, OrderReport
from ...model.address import orders_address
from ...model.errors import DataError, InboxFull, MeshError, Misconfigured, OutcomeUnknown, Rejected, RetryLater
from ...model.instrument import Instrument
from ...model.time import SECOND_NS, in_ns
from ..cell.background import Background
from ..cell.role import Context
from ..limits.machine import Priority
from .gateway import Gateway
from .pairs import bind_listed
from .reports import Marker, Report
from .settings import StreamSettings

FAST_S = 1.0
ASK_S = 2.0
HELD_PAGE = 1_000  # open orders of one answer of the manager
SHARE = 0.25  # largest share of any limit that fast rounds use
MISSED_ROUNDS = 2  # after this many intervals without a successful round the stream is down
EAGER_ROUNDS = 3  # fast rounds after a start, a failure or a change
EXPECTED = (RetryLater, OutcomeUnknown, InboxFull, Rejected, DataError, Misconfigured)


class Deliver(Protocol):
    """Takes reports of a source, in order, with the frame that contained them."""

    def __call__(self, reports: list[Report], raw: bytes, recv_ns: int) -> None: ...


class Poller:
    """See the module."""

    def __init__(self, gateway: Gateway, context: Context, settings: StreamSettings, deliver: Deliver) -> None:
        self._gateway, self._context, self._deliver = gateway, context, deliver
        exchange = settings.gateway.connector.exchange
        self._exchange = exchange
        self._manager = orders_address(exchange, settings.account)
        self._fast_s = max(FAST_S, _affordable_s(gateway)) if settings.poll_fast_s is None else settings.poll_fast_s
        self._slow_s = settings.poll_slow_s
        self._background = Background()
        self._instruments: dict[str, Instrument] = {}
        self._open: dict[str, OrderReport] = {}  # last reports by exchange order id
        self._followed: set[str] = set()  # orders that the manager held open and the last round showed
        self._ended_ids: set[str] = set()  # orders that the manager held open and that were reported as ended
        self._balances: BalanceReport | None = None
        self._balances_ns = 0
        self._eager = EAGER_ROUNDS
        self.up = False
        self._error: str | None = None
        self._received_ns: int | None = None
        self._silence_ns = 0  # how long after the last successful round the stream is down
        self._rounds = 0

    def start(self) -> None:
        self._background.start(self._keep())

    async def stop(self) -> None:
        await self._background.stop()

    def beat(self) -> None:
        """Report `down` when no round has succeeded for longer than a stream may be silent and two rounds take."""
        now_ns = self._context.monotonic_ns()
        if self.up and self._received_ns is not None and now_ns - self._received_ns >= self._silence_ns:
            self.up = False
            self._deliver([Marker("down", self._error or "no answer")], b"", self._context.time_ns())

    def status(self) -> dict[str, Any]:
        now_ns = self._context.monotonic_ns()
        return {
            "state": "LIVE" if self.up and self._error is None else "FAILING" if self.up else "CONNECTING",
            "error": self._error,
            "source": "polling",
            "received_s_ago": None if self._received_ns is None else (now_ns - self._received_ns) / SECOND_NS,
            "interval_s": self._interval_s(),
            "rounds": self._rounds,
            "open": len(self._open),
        }

    def _interval_s(self) -> float:
        return self._fast_s if self._open or self._eager > 0 else self._slow_s

    async def _keep(self) -> None:
        try:
            while True:
                try:
                    await self._round()
                except EXPECTED as error:
                    self._error = str(error)
                    self._eager = EAGER_ROUNDS
                    wait_s = max(self._fast_s, (error.after_s or 0.0) if isinstance(error, RetryLater) else 0.0)
                    await asyncio.sleep(wait_s)
                else:
                    self._error = None
                    await self._rest()
        except Exception as failure:  # the top of this shell: an unexpected error ends the cell
            self._context.fail(failure)
            raise

    async def _rest(self) -> None:
        """Wait until the next round is due. A slow round comes early once the manager holds an open order."""
        end_s, waited_s = self._interval_s(), 0.0
        while waited_s < end_s:
            step_s = min(self._fast_s, end_s - waited_s)
            await asyncio.sleep(step_s)
            waited_s += step_s
            if end_s > self._fast_s and await self._held():
                return

    async def _round(self) -> None:
        gateway, context = self._gateway, self._context
        if not self._instruments:
            found = await bind_listed(gateway.codec, context, self._exchange)
            self._instruments = {instrument.symbol: instrument for instrument in found}
        held = await self._held()
        reply = await gateway.read(gateway.codec.open_orders(), self._priority)
        now_open = {report.exchange_order_id: report for report in reply.orders}
        news: list[Report] = []
        if not self.up:
            news.append(Marker("up"))
        for number, report in now_open.items():
            before = self._open.get(number)
            if before is None or _seen(before) != _seen(report):
                news.append(await self._with_fills(report, before))
        held_ids = None if held is None else {number for number, _, _ in held}
        gone = [before for number, before in self._open.items() if number not in now_open]
        known = set() if held_ids is None else self._followed - held_ids  # the manager knows their ends
        is_explained = any(before.exchange_order_id in known for before in gone)
        missed = [
            OrderReport(symbol, client_order_id, number, None, 0)
            for number, symbol, client_order_id in held or ()
            if number not in now_open and number not in self._open and number not in self._ended_ids
        ]
        ended = [before for before in (*gone, *missed) if before.exchange_order_id not in known]
        news += await asyncio.gather(*(self._ended(before) for before in ended))
        self._ended_ids = {number for number, _, _ in held or () if number not in now_open}
        if held_ids is not None:
            self._followed = (self._followed | held_ids) & now_open.keys()
        changed = len(news) > 0 or is_explained
        now_ns = context.monotonic_ns()
        if changed or now_ns - self._balances_ns >= self._slow_s * SECOND_NS:
            balances = await self._ask_balances()
            if self._balances is None or balances.balances != self._balances.balances:
                if self._balances is not None and not changed:
                    news.append(Marker("gap", "balances changed, and no order that was open explains the change"))
                news.append(balances)
            self._balances, self._balances_ns = balances, now_ns
        context.alive()
        self._open, self.up = now_open, True
        self._received_ns = context.monotonic_ns()
        self._rounds += 1
        self._eager = EAGER_ROUNDS if changed else max(0, self._eager - 1)
        self._silence_ns = in_ns(max(gateway.spec.silence_s, MISSED_ROUNDS * self._interval_s()))
        if news:
            self._deliver(news, b"", context.time_ns())

    @property
    def _priority(self) -> Priority:
        """The first round after a start or a failure is urgent: without it the manager has no stream."""
        return Priority.NORMAL if self.up else Priority.ACCOUNT

    async def _held(self) -> list[tuple[str, str, str]] | None:
        """Return (exchange's id, symbol, client id) of the orders that the manager holds open; None if it does not
        answer."""
        symbols = {instrument.name: symbol for symbol, instrument in self._instruments.items()}
        held: list[tuple[str, str, str]] = []
        after = None
        while True:
            body = {"open": True, "after": after, "limit": HELD_PAGE}
            try:
                answer = await self._context.ask(self._manager, "orders", body, ASK_S)
            except MeshError:
                return None
            for row in answer["rows"]:
                if row["exchange_order_id"] is not None and row["pair"] in symbols:
                    held.append((row["exchange_order_id"], symbols[row["pair"]], row["client_order_id"]))
            after = answer["next"]
            if after is None:
                return held

    async def _ask_balances(self) -> BalanceReport:
        account = (await self._gateway.read(self._gateway.codec.account(), self._priority)).account
        if account is None:
            raise RetryLater(1.0, "the exchange answered without balances")
        return account.balances

    async def _with_fills(self, report: OrderReport, before: OrderReport | None) -> OrderReport:
        """Add the fills of an order whose filled amount grew since its last report."""
        instrument = self._instruments.get(report.symbol)
        if instrument is None or not report.filled or (before is not None and before.filled == report.filled):
            return report
        reply = await self._gateway.read(self._gateway.codec.fills(instrument, None, report.exchange_order_id))
        return replace(report, fills=reply.fills)

    async def _ended(self, before: OrderReport) -> Report:
        instrument = self._instruments.get(before.symbol)
        if instrument is None:
            return Marker("gap", f"an order on {before.symbol}, which the exchange no longer lists, is no longer open")
        draft = self._gateway.codec.query(before.client_order_id, instrument, before.exchange_order_id)
        try:
            reply = await self._gateway.read(draft)
        except (Rejected, DataError) as error:
            return Marker("gap", f"order {before.client_order_id} is no longer open, and its query failed: {error}")
        now = next((report for report in reply.orders if report.exchange_order_id == before.exchange_order_id), None)
        if now is None:
            return Marker("gap", f"order {before.client_order_id} is no longer open and the exchange does not find it")
        return await self._with_fills(now, before)


def _seen(report: OrderReport) -> tuple[Any, ...]:
    return report.status, report.filled, report.amount, report.price, report.client_order_id


def _affordable_s(gateway: Gateway) -> float:
    """Return the shortest interval of rounds that spends no more than `SHARE` of any limit."""
    per_s = {name: limit.amount / limit.per_s for name, limit in gateway.spec.limits.items()} | gateway.counters.per_s()
    return affordable_s(per_s, gateway.codec.open_orders().cost)


def affordable_s(per_s: Mapping[str, float], cost: Cost) -> float:
    """Return the shortest interval of requests that spends no more than `SHARE` of limits with these units a second."""
    return max((amount / (per_s[name] * SHARE) for name, amount in cost if name in per_s), default=0.0)
