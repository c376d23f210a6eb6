"""The shell of one account's machine: journal, exchange, clocks, markets and rate budget.

    take the account (a new epoch fences older ones) -> load -> wait for instruments and the exchange's clock -> boot

Until then the shell answers no message. After that it gives the machine all inputs and passes the effects to the
`Performer` at once; their results are the next inputs. It retries an unavailable journal until the journal is back. A
newer epoch ends this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from loguru import logger

from ...connectors.order_codec import Auth, Draft, Ends, Reply, Signed, TradingCodec
from ...connectors.reading import LeftOut, left_out_text
from ...journal.committer import Committer
from ...journal.journal import Journal
from ...journal.writes import Write
from ...model.errors import Fenced, InboxFull, JournalRewound, JournalUnavailable, MeshError, RetryLater
from ...model.failpoint import reach
from ...model.ids import born
from ...model.instrument import Instrument
from ...model.time import SECOND_NS
from ..account.gateway import Gateway
from ..account.opening import open_gateway
from ..account.polling import affordable_s
from ..account.reports import Marker
from ..cell.role import Context
from ..limits.allowance import Allowance
from ..limits.budget import RestLike
from ..limits.machine import Priority
from .account_journal import RETRY_S, AccountJournal
from .condition import condition
from .dead_man import DeadMan
from .inbox import StreamInbox
from .lookup import find
from .machine.effects import Answer, Ask, Effect, Lookup, Now, Send
from .machine.machine import OrderMachine
from .machine.state import NONCE_MARK
from .markets import Markets
from .performer import Performer
from .queries import AccountView
from .sending import Sending
from .settings import OrderManagerSettings, OrderSettings
from .spent import count_spent
from .timings import JUDGED, SIGNED, Timings

T = TypeVar("T")
LAST_ANSWERS_S = 1.0  # how long `stop` waits for answers under way
BOOT_WAIT_S = 30.0  # longest wait of a command for the load; its sender may wait less
LISTING_WAIT_S = 5.0  # longest wait for the list of instruments if the journal has open orders, with theirs
MAX_WAITING = 1_000  # commands that wait for the load
WAKE_S = 60.0  # longest time between two looks at the machine's clock
SWITCH_S = 0.0005  # longest wait of the journal's thread for the interpreter lock, which it takes ten times a commit
TICK_S = 0.001  # shortest time between two ticks


class ManagerShell:
    """See the module.

    `start`, then `beat` every 50 ms or so, then `stop`. The arguments replace parts built from the configuration.
    """

    def __init__(
        self,
        settings: OrderManagerSettings,
        context: Context,
        ids: Callable[[], str],
        rest: RestLike | None = None,
        codec: TradingCodec | None = None,
        auth: Auth | None = None,
    ) -> None:
        self.settings, self.context, self.ids = settings, context, ids
        self.exchange, self.account = settings.machine.exchange, settings.machine.account
        self._parts = (rest, codec, auth)
        self.stream = StreamInbox()
        self.timings = Timings(context.monotonic_ns, context.time_ns)
        self.state, self.error = "STARTING", ""
        self.cursors: dict[str, int] = {}
        self.gateway: Gateway
        self.markets: Markets
        self.allowance: Allowance
        self.sending: Sending
        self.committer: Committer | None = None
        self.machine: OrderMachine
        self.view: AccountView
        self.booted = asyncio.Event()
        self._performer: Performer
        self._dead_man: DeadMan | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._alarm: tuple[float, asyncio.Handle] | None = None  # of the next tick; by the loop's clock
        self._numbers = itertools.count(1)
        self._waiting = 0
        self.unjournaled = 0  # cancels of external orders that were sent while the journal was down
        self._journal_down = False
        self._journal: AccountJournal | None = None
        self._left_out: dict[str, tuple[LeftOut, ...]] = {}  # unreadable rows of the last answer, by its purpose
        self._no_answer: str | None = None  # the error of the last ask, if it failed

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        (rest, codec, auth), settings = self._parts, self.settings
        sys.setswitchinterval(min(SWITCH_S, sys.getswitchinterval()))
        self.gateway = gateway = await open_gateway(
            settings.gateway,
            self.context,
            rest=rest,
            codec=codec,
            auth=auth,
            by_websocket=settings.send_by == "websocket",
        )
        if settings.processing_s is not None:
            gateway.codec.offer = replace(gateway.codec.offer, processing_s=settings.processing_s)
        self.allowance = Allowance(
            self.context, gateway.spec, gateway.budget, gateway.counters.granted(settings.account_limits)
        )
        self.sending = Sending(gateway, self.allowance, self.timings, self._spawn, self._written, self._answered)
        self.markets = Markets(settings, self.context, gateway, self._rules)
        gateway.start()
        self.markets.start()
        self._spawn(self._boot())

    async def _boot(self) -> None:
        """Take the account, load its open state, and start the machine."""
        context = self.context
        try:
            self._journal = journal = AccountJournal(
                self.settings.journal, self.exchange, self.account, context, self._wait_for_opening
            )
            self.committer = await journal.take()
            loaded = await journal.load(self.committer)
            self.state = "STARTING"
            instruments = await self.markets.known(LISTING_WAIT_S if loaded.orders else None)
            if self.settings.dead_man_s is not None:
                self._dead_man = DeadMan(self.gateway, self.settings.dead_man_s, context.monotonic_ns)
            if loaded.epoch > 1:
                await self._count_spent(self.committer, instruments)
            while not self.gateway.clock.is_known:
                with contextlib.suppress(RetryLater):
                    await self.gateway.clock.ready()
        except MeshError as error:
            self.error = str(error)
            context.fail(error)
            return
        self.state, self.error = "STARTING", ""
        if self.gateway.nonces is not None:
            self.gateway.nonces.raise_above(int(loaded.marks.get(NONCE_MARK, "0")))
        self.cursors = dict(loaded.cursors)
        self.view = AccountView(loaded.next_event, loaded.orders, loaded.lineage)
        self._performer = Performer(self.committer.submit, self, context.alive)
        self.machine = OrderMachine(self._affordable(), self.gateway.codec, self._sign, self.ids, instruments, born)
        self._spawn(self._open_limits())
        context.alive()
        reach("boot")
        effects = self.machine.boot(loaded, self.now())
        self.markets.keep(self.machine.instruments)
        self._do(effects)
        self.booted.set()
        self._spawn(journal.keep_trimmed())
        self._spawn(self._hold(journal, self.committer))
        if self._dead_man is not None:
            self._spawn(self._dead_man.run())

    async def _count_spent(self, committer: Committer, instruments: Sequence[Instrument]) -> None:
        while True:
            try:
                now_ns = self.context.time_ns()
                return await count_spent(self.gateway, committer, self.settings.machine, instruments, now_ns)
            except JournalUnavailable as error:
                self._wait_for_opening(error)
                await asyncio.sleep(RETRY_S)

    def _affordable(self) -> OrderSettings:
        """Return the machine's settings with rounds as far apart as the limits of the key allow."""
        settings, codec, per_s = self.settings.machine, self.gateway.codec, self.gateway.counters.per_s()
        soon_s, later_s = settings.reconcile_s
        round_s = sum(affordable_s(per_s, draft.cost) for draft in (codec.open_orders(), codec.account()))
        return replace(settings, reconcile_s=(max(soon_s, round_s), max(later_s, round_s)))

    async def _open_limits(self) -> None:
        """Request the exchange's order counts of this account until it answers. No order is placed before."""
        draft = self.gateway.codec.order_counts()
        while draft is not None:
            try:
                self.allowance.open((await self.gateway.read(draft, Priority.ACCOUNT)).counts or {})
                return
            except MeshError as error:
                self.allowance.problem = str(error)
                await asyncio.sleep(RETRY_S)
        self.allowance.open(None)

    def _wait_for_opening(self, error: MeshError) -> None:
        self.state, self.error = "NO_JOURNAL" if isinstance(error, JournalUnavailable) else "HELD", str(error)

    async def _hold(self, journal: AccountJournal, committer: Committer) -> None:
        try:
            await journal.hold(committer, self.write, lambda error: self.journal_failed((), error))
        except MeshError as error:
            self.halt(error)

    async def stop(self) -> None:
        """End everything. On return, submitted commits are durable. An intent that was not durable in time is not sent.

        Waits a moment for answers under way, so that a successor need not query those orders.
        """
        if self.sending.under_way:
            await asyncio.wait(self.sending.under_way, timeout=LAST_ANSWERS_S)
        if self.booted.is_set() and not self._journal_down:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_ANSWERS_S):
                    await self._performer.idle()
        if self.booted.is_set():
            self._performer.stop()  # else an intent that becomes durable from now on is sent, and its answer is lost
        if self._alarm is not None:
            self._alarm[1].cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.markets.stop()
        if self._dead_man is not None and self.booted.is_set() and self.state not in ("FENCED", "FAILED"):
            await self._dead_man.disarm()
        if self.committer is not None:
            if self._journal is not None and not self._journal_down and self.state not in ("FENCED", "FAILED"):
                with contextlib.suppress(MeshError, TimeoutError):
                    async with asyncio.timeout(LAST_ANSWERS_S):
                        await self._journal.release(self.committer)
            await self.committer.close()
        await self.allowance.close()
        await self.gateway.close()

    def beat(self) -> None:
        if not hasattr(self, "gateway"):
            return
        self.gateway.beat()
        self.allowance.beat()
        if self.booted.is_set():
            now = self.now()
            if self.stream.silent(now.mono_ns):
                self._do(self.machine.stream("down", now))

    # ------------------------------------------------------------------ the machine and its effects

    def now(self) -> Now:
        context = self.context
        return Now(context.time_ns(), context.monotonic_ns(), self.gateway.clock.earliest_ns())

    def _sign(self, draft: Draft, request_id: str, now: Now) -> Signed:
        self.timings.reached(JUDGED, draft.orders)
        signed = self.gateway.sign(draft, request_id, self.gateway.clock.now_ns())
        self.timings.reached(SIGNED, draft.orders)
        return signed

    def _do(self, effects: Sequence[Effect]) -> None:
        """Perform the effects of an input. Called right after the input, before anything else runs."""
        self._performer.perform(effects)
        self._wake_at(self.machine.wake_ns)

    def _wake_at(self, wake_ns: int, least_s: float = 0.0) -> None:
        """Call `_tick` at this time, or earlier."""
        loop = asyncio.get_running_loop()
        wait_s = min(WAKE_S, max(least_s, (wake_ns - self.context.monotonic_ns()) / SECOND_NS))
        at_s = loop.time() + wait_s
        if self._alarm is not None:
            due_s, alarm = self._alarm
            if due_s <= at_s:
                return
            alarm.cancel()
        self._alarm = at_s, loop.call_at(at_s, self._tick)  # uvloop's handle does not always know its time

    def _tick(self) -> None:
        self._alarm = None
        if self.machine.wake_ns > self.context.monotonic_ns():
            self._wake_at(self.machine.wake_ns)
            return
        try:
            self.context.alive()
            self._performer.perform(self.machine.tick(self.now()))
        except asyncio.CancelledError:  # the cell has ended
            return
        except Exception as failure:  # the top of this callback
            self.context.fail(failure)
            return
        self._wake_at(self.machine.wake_ns, TICK_S)  # what is due but cannot run now must not make a busy loop

    async def command(
        self, feed: Callable[[asyncio.Future[Any], Now], Sequence[Effect]], *, is_cancel: bool = False
    ) -> Any:
        """Give the booted machine a command, and return the answer, in the model's types.

        Raises:
            RetryLater, JournalUnavailable, InboxFull: the account is not loaded yet. Nothing changed.
            MeshError: the refusal of the machine.
        """
        await self.loaded(is_cancel=is_cancel)
        token: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._do(feed(token, self.now()))
        return await token

    async def write(self, writes: Sequence[Write]) -> None:
        """Commit writes that the machine does not need to know. Raises as `Committer.commit`."""
        await self.loaded()
        assert self.committer is not None
        name = f"{self.committer.epoch}-own-{next(self._numbers)}"  # the machine numbers its own batches
        await self.committer.commit(writes, name)

    async def read(self, work: Callable[[Journal], T]) -> T:
        """Read from the journal in its reading thread. Raises JournalUnavailable."""
        await self.loaded()
        assert self.committer is not None
        return await self.committer.read(work)

    async def receive(self, body: Any) -> int:
        """Apply a message of the user stream. Return the number of its last report when all its reports are durable."""
        await self.loaded()
        received_ns = self.timings.reports_received()
        now = self.now()
        reports, last = self.stream.take(body, now.mono_ns)
        perform, machine = self._performer.perform, self.machine
        for report in reports:
            perform(machine.stream(report.what, now) if isinstance(report, Marker) else machine.report(report, now))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._journal_down:
            raise JournalUnavailable(RETRY_S, "the journal cannot be written")
        self._do([Answer(done, None)])
        await done
        if reports:
            self.timings.durable(received_ns, last - len(body["reports"]) + 1, last)
        return last

    # The effects, for `Performer`

    def committed(self, writes: Sequence[Write], numbers: Sequence[int]) -> None:
        self.view.committed(writes, numbers)

    def can_prepare(self, effect: Send) -> bool:
        return self.sending.can_prepare(effect.request)

    def prepare(self, effect: Send) -> None:
        self.sending.prepare(effect.request)

    def send(self, effect: Send) -> None:
        self.sending.send(effect.request)

    def _written(self, request_id: str, ends: Ends) -> None:
        self.machine.written(request_id, ends)

    def _answered(self, request_id: str, result: Reply | MeshError) -> None:
        self._do(self.machine.answered(request_id, result, self.now()))

    def ask(self, effect: Ask) -> None:
        self._spawn(self._ask(effect))

    async def _ask(self, effect: Ask) -> None:
        result: Reply | MeshError
        try:
            result = await self.gateway.read(effect.draft, Priority.DOUBT if effect.urgent else Priority.ACCOUNT)
        except MeshError as error:
            result = error
        self._no_answer = str(result) if isinstance(result, MeshError) else None
        if isinstance(result, Reply):
            self._note_left_out(effect.purpose.value, result.left_out)
        self._do(self.machine.asked(effect.ask_id, result, self.now()))

    def _note_left_out(self, purpose: str, rows: tuple[LeftOut, ...]) -> None:
        if rows != self._left_out.get(purpose, ()):
            logger.warning(
                "unreadable rows of an answer are left out", answer=purpose, rows=left_out_text(rows) or "none"
            )
        self._left_out[purpose] = rows

    def lookup(self, effect: Lookup) -> None:
        self._spawn(self._look_up(effect))

    async def _look_up(self, effect: Lookup) -> None:
        of = (self.exchange, self.account)
        while True:
            try:
                found = await self.read(lambda journal: find(journal, of, effect))
                break
            except JournalUnavailable:
                await asyncio.sleep(RETRY_S)
        self._do(self.machine.looked_up(effect.key, found, self.now()))

    def measure_clock(self) -> None:
        self.gateway.clock.measure_soon()

    def journal_failed(self, effects: Sequence[Effect], error: MeshError) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self.sending.drop(effect.request)
        self._do(self.machine.journal_failed(effects, error, self.now()))
        if not self._journal_down:
            self._journal_down = True
            self._spawn(self._wait_for_journal())

    async def _wait_for_journal(self) -> None:
        """Try empty commits until one succeeds, then let the machine commit its backlog."""
        while True:
            await asyncio.sleep(RETRY_S)
            try:
                await self.write(())
            except (JournalUnavailable, InboxFull):
                continue
            except MeshError as error:
                self.halt(error)
                return
            break
        self._journal_down = False
        self._do(self.machine.journal_back(self.now()))

    def halt(self, error: BaseException) -> None:
        self.state, self.error = "FENCED" if isinstance(error, Fenced) else "FAILED", str(error)
        if isinstance(error, JournalRewound) and self._journal is not None:
            self._journal.rewound()
        self.context.fail(error)

    def _rules(self, instruments: list[Instrument]) -> None:
        if self.booted.is_set():
            self._do(self.machine.rules(instruments, self.now()))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self.context.fail(failure)

    # ------------------------------------------------------------------ status

    @property
    def is_journal_down(self) -> bool:
        return self._journal_down

    async def loaded(self, *, is_cancel: bool = False) -> None:
        """Wait until the account is loaded; a cancel does not wait for a journal that is unavailable.

        Raises:
            RetryLater, JournalUnavailable, InboxFull: the account is not loaded. Nothing changed.
        """
        if self.booted.is_set():
            return
        if is_cancel and self.state == "NO_JOURNAL":
            reason = f"the open orders are in the journal, which {self.context.address} cannot read: {self.error}"
            raise JournalUnavailable(1.0, reason)
        if self._waiting >= MAX_WAITING:
            raise InboxFull(self.context.address, MAX_WAITING)
        self._waiting += 1
        try:
            async with asyncio.timeout(BOOT_WAIT_S):
                await self.booted.wait()
        except TimeoutError:
            kind = JournalUnavailable if self.state == "NO_JOURNAL" else RetryLater
            raise kind(
                1.0, f"{self.context.address} is {self.state}: {self.error or 'the account is not loaded yet'}"
            ) from None
        finally:
            self._waiting -= 1

    def status(self) -> dict[str, Any]:
        """Return the status, with reasons as text."""
        mono_ns = self.context.monotonic_ns()
        shown: dict[str, Any] = {"state": self.state, "error": self.error or None, "ready": False}
        shown["on_shutdown"] = self.settings.on_shutdown
        if self.booted.is_set():
            shown |= {**self.machine.status(), **self.view.status()}
            shown["unjournaled_cancels"] += self.unjournaled
            if self.state in ("FENCED", "FAILED"):
                shown["state"], shown["error"] = self.state, self.error
            else:
                lacks = [] if self.stream.up else ["the user stream is down: orders are followed by polling"]
                lacks += [] if self.markets.error is None else [self.markets.error]
                kept = None if self._journal is None else self._journal.problem
                lacks += [] if kept is None else [f"an older journal might not be noticed at the next start: {kept}"]
                shown["state"], shown["error"] = condition(shown, self.exchange, self.account, self._no_answer, lacks)
            shown["ready"] = shown["state"] in ("SERVING", "PAUSED")
            shown["unresolved"] = shown["unresolved_requests"]
            shown["limits"] = self.allowance.status()
            if self._dead_man is not None:
                shown["dead_man"] = self._dead_man.status()
            shown["left_out"] = {purpose: left_out_text(rows) for purpose, rows in self._left_out.items() if rows}
            if (committer := self.committer) is not None:
                shown["commits"] = {"batches": committer.batches, "transactions": committer.transactions}
        elif not self.error and hasattr(self, "markets"):
            shown["error"] = self.markets.error or self.gateway.clock.status()["clock_problem"]
        if hasattr(self, "gateway"):
            shown |= self.gateway.status()
        return shown | dict(self.stream.status(mono_ns))
