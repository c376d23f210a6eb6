"""One account's machine with everything that it acts through: journal, exchange, clocks, markets, budget.

    take the account (a new epoch fences older ones) -> load -> know the instruments and the exchange's clock -> boot

Until then nothing is answered. After that every input of the machine is given here, its effects go to the `Performer`
at once, and what comes of them is its next input. A journal that is away is tried again until it is back; a newer epoch
ends this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from ...connectors.order_codec import Auth, Draft, Reply, Signed, TradingCodec
from ...journal.committer import Committer
from ...journal.journal import Journal
from ...journal.records import Filter, Loaded
from ...journal.writes import Write
from ...keystore.secrets import journal_url
from ...model.errors import (
    DecodeError,
    Fenced,
    InboxFull,
    JournalUnavailable,
    MeshError,
    OutcomeUnknown,
    Rejected,
    RetryLater,
)
from ...model.failpoint import reach
from ...model.ids import born, maker_of
from ...model.instrument import Instrument
from ...model.time import SECOND_NS, in_ns
from ..account.gateway import Gateway, open_gateway
from ..account.reports import Marker
from ..cell.role import Context
from ..limits.allowance import Allowance
from ..limits.budget import RestLike
from ..limits.machine import Priority
from .inbox import StreamInbox
from .machine.effects import Answer, Ask, Effect, Found, Lookup, Now, Send
from .machine.machine import OrderMachine
from .markets import Markets
from .performer import Performer
from .queries import AccountView
from .settings import OrderManagerSettings
from .timings import ANSWERED, COMMITTED, JUDGED, SIGNED, WRITTEN, Timings

T = TypeVar("T")
LAST_ANSWERS_S = 1.0  # how long `stop` waits for answers that are on their way
RETRY_S = 0.5  # between attempts to reach a journal that is away
TRIM_EVERY_S = 1800.0
BOOT_WAIT_S = 30.0  # how long a command waits for the load at most; its sender may wait less
MAX_WAITING = 1_000  # commands that wait for the load


class ManagerShell:
    """See the module. `start`, then `beat` every 50 ms or so, then `stop`. The arguments replace what is built."""

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
        self.committer: Committer | None = None
        self.machine: OrderMachine
        self.view: AccountView
        self.prepaid: set[str] = set()  # orders whose units of budget were taken before they were signed
        self.booted = asyncio.Event()
        self._performer: Performer
        self._tasks: set[asyncio.Task[None]] = set()
        self._sending: set[asyncio.Task[None]] = set()
        self._poke = asyncio.Event()
        self._numbers = itertools.count(1)
        self._waiting = 0
        self._journal_down = False
        self._no_answer: str | None = None  # why the last question to the exchange was not answered

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        (rest, codec, auth), settings = self._parts, self.settings
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
        self.allowance = Allowance(self.context, gateway.spec, gateway.budget, settings.account_limits)
        self.markets = Markets(settings, self.context, gateway, self._rules)
        gateway.start()
        self.markets.start()
        self._spawn(self._boot())

    async def _boot(self) -> None:
        """Take the account, load what is open, and begin: everything that must happen before anybody is answered."""
        context = self.context
        try:
            journal, epoch = await self._take()
            self.committer = Committer(journal, self.exchange, self.account, epoch)
            loaded = await self._load(self.committer)
            self.state = "STARTING"
            instruments = await self.markets.known()
            while not self.gateway.clock.is_known:
                with contextlib.suppress(RetryLater):
                    await self.gateway.clock.ready()
        except MeshError as error:
            self.error = str(error)
            context.fail(error)
            return
        self.cursors = dict(loaded.cursors)
        self.view = AccountView(loaded.next_event, loaded.orders)
        self._performer = Performer(self.committer.submit, self)
        self._performer.start()
        self.machine = OrderMachine(self.settings.machine, self.gateway.codec, self._sign, self.ids, instruments, born)
        self._spawn(self._open_limits())
        context.alive()
        reach("boot")
        self._do(self.machine.boot(loaded, self.now()))
        self.booted.set()
        self._spawn(self._tick())
        self._spawn(self._keep_trimmed())

    async def _keep_trimmed(self) -> None:
        """Drop from the journal what is over and older than `keep_days`, now and then, beside the commits."""
        settings = self.settings.journal
        keep_ns = in_ns(settings.keep_days * 86_400)

        def trim() -> None:
            opened = Journal.open(journal_url(settings.url, settings.url_file), settings.wait_s, create=False)
            try:
                opened.trim(self.exchange, self.account, self.context.time_ns() - keep_ns)
            finally:
                opened.close()

        while True:
            await asyncio.sleep(TRIM_EVERY_S)
            with contextlib.suppress(JournalUnavailable):  # it is tried again, and commits say when the journal is away
                await asyncio.to_thread(trim)

    async def _open_limits(self) -> None:
        """Ask what the exchange counts of this account's orders, until it says so: before that none is placed."""
        draft = self.gateway.codec.order_counts()
        while draft is not None:
            try:
                self.allowance.open((await self.gateway.read(draft, Priority.URGENT)).counts or {})
                return
            except MeshError as error:
                self.allowance.problem = str(error)
                await asyncio.sleep(RETRY_S)
        self.allowance.open(None)

    async def _take(self) -> tuple[Journal, int]:
        settings, context = self.settings.journal, self.context
        url = journal_url(settings.url, settings.url_file)
        holder = f"{context.address}@{context.incarnation[0]}.{context.incarnation[1]}"
        journal: Journal | None = None
        while True:
            try:
                if journal is None:
                    journal = await asyncio.to_thread(Journal.open, url, settings.wait_s)
                context.alive()
                epoch = await asyncio.to_thread(journal.take, self.exchange, self.account, holder, context.time_ns())
                return journal, epoch
            except JournalUnavailable as error:
                self.state, self.error = "NO_JOURNAL", str(error)
                await asyncio.sleep(RETRY_S)

    async def _load(self, committer: Committer) -> Loaded:
        while True:
            try:
                return await committer.read(lambda journal: journal.load(self.exchange, self.account))
            except JournalUnavailable as error:
                self.state, self.error = "NO_JOURNAL", str(error)
                await asyncio.sleep(RETRY_S)

    async def stop(self) -> None:
        """End everything; what was given to the journal is durable when this returns.

        Requests that are on their way are waited for a moment: what is answered now, a successor need not ask for.
        """
        if self._sending:
            await asyncio.wait(self._sending, timeout=LAST_ANSWERS_S)
        if self.booted.is_set() and not self._journal_down:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_ANSWERS_S):
                    await self._performer.idle()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.markets.stop()
        if self.booted.is_set():
            await self._performer.stop()
        if self.committer is not None:
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
        """Perform what an input of the machine has given; called right after the input, before anything else runs."""
        self._performer.perform(effects)
        self._poke.set()

    async def _tick(self) -> None:
        context, machine = self.context, self.machine
        while True:
            self._poke.clear()
            wait_s = (machine.wake_ns - context.monotonic_ns()) / SECOND_NS
            if wait_s > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(wait_s, 60.0)):
                        await self._poke.wait()
                if machine.wake_ns > context.monotonic_ns():
                    continue
            context.alive()
            self._do(machine.tick(self.now()))
            await asyncio.sleep(0.001)  # what is due and cannot be done now must not keep the loop busy

    async def command(self, feed: Callable[[asyncio.Future[Any], Now], Sequence[Effect]]) -> Any:
        """Give the machine a command when it is there, and return its answer: of the model's types.

        Raises:
            RetryLater, JournalUnavailable, InboxFull: the account is not loaded yet; nothing was done.
            MeshError: what the machine refuses it with.
        """
        await self.loaded()
        token: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._do(feed(token, self.now()))
        return await token

    async def write(self, writes: Sequence[Write]) -> None:
        """Make writes durable that are none of the machine's business. Raises as `Committer.commit`."""
        await self.loaded()
        assert self.committer is not None
        name = f"{self.committer.epoch}-own-{next(self._numbers)}"  # the machine numbers its batches itself
        await self.committer.commit(writes, name)

    async def read(self, work: Callable[[Journal], T]) -> T:
        """Ask the journal, in its reading thread. Raises JournalUnavailable."""
        await self.loaded()
        assert self.committer is not None
        return await self.committer.read(work)

    async def heard(self, body: Any) -> int:
        """Take in a message of the user stream; return the number of its last report, when all of it is durable."""
        await self.loaded()
        heard_ns = self.timings.heard()
        now = self.now()
        reports, last = self.stream.take(body, now.mono_ns)
        for report in reports:
            if isinstance(report, Marker):
                self._do(self.machine.stream(report.what, now))
            else:
                self._do(self.machine.report(report, now))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._journal_down:
            raise JournalUnavailable(RETRY_S, "the journal cannot be written")
        self._do([Answer(done, None)])
        await done
        if reports:
            self.timings.durable(heard_ns, last - len(body["reports"]) + 1, last)
        return last

    # What `Performer` asks for

    def committed(self, writes: Sequence[Write], numbers: Sequence[int]) -> None:
        self.view.committed(writes, numbers)

    def send(self, effect: Send) -> None:
        self.timings.reached(COMMITTED, effect.request.draft.orders)
        sending = self._spawn(self._send(effect.request))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)

    async def _send(self, signed: Signed) -> None:
        result: Reply | MeshError
        try:
            if self.prepaid.isdisjoint(signed.draft.orders):
                try:
                    await self.allowance.take(
                        signed.draft.cost, signed.draft.order_count, self.gateway.validity_ms / 1000
                    )
                except (InboxFull, OutcomeUnknown) as error:  # of the limits role: nothing was sent
                    raise RetryLater(1.0, str(error)) from error
            self.prepaid.difference_update(signed.draft.orders)
            response = await self.gateway.write(signed, lambda: self.timings.reached(WRITTEN, signed.draft.orders))
            self.timings.reached(ANSWERED, signed.draft.orders)
            self.allowance.answered(response)
            result = self.gateway.codec.reply(signed, response)
        except DecodeError as error:
            result = OutcomeUnknown(signed.draft.kind.value, str(error))
        except Rejected as error:
            self.gateway.refused(error)
            result = error
        except MeshError as error:
            result = error
        reach("request.result")
        self._do(self.machine.answered(signed.request_id, result, self.now()))

    def ask(self, effect: Ask) -> None:
        self._spawn(self._ask(effect))

    async def _ask(self, effect: Ask) -> None:
        result: Reply | MeshError
        try:
            result = await self.gateway.read(effect.draft, Priority.URGENT if effect.urgent else Priority.NORMAL)
        except MeshError as error:
            result = error
        self._no_answer = str(result) if isinstance(result, MeshError) else None
        self._do(self.machine.asked(effect.ask_id, result, self.now()))

    def lookup(self, effect: Lookup) -> None:
        self._spawn(self._look_up(effect))

    async def _look_up(self, effect: Lookup) -> None:
        of = (self.exchange, self.account)

        def find(journal: Journal) -> Found:
            if effect.client_order_id is not None:
                order = journal.order(*of, effect.client_order_id)
            else:
                order = journal.order_by_exchange_id(*of, effect.pair or "", effect.exchange_order_id or "")
            if order is None:
                name = effect.client_order_id
                if name is None:
                    return Found()
                maker = maker_of(name)
                highest = None if maker is None else journal.highest_id(*of, maker[0])
                return Found(tombstone=journal.is_tombstone(*of, name), highest=highest)
            page = journal.fills(Filter(*of, client_order_id=order.client_order_id), 0, 10_000)
            return Found(order, tuple(page.rows))

        while True:
            try:
                found = await self.read(find)
                break
            except JournalUnavailable:
                await asyncio.sleep(RETRY_S)
        self._do(self.machine.looked_up(effect.key, found, self.now()))

    def measure_clock(self) -> None:
        self.gateway.clock.measure_soon()

    def journal_failed(self, effects: Sequence[Effect], error: MeshError) -> None:
        self._do(self.machine.journal_failed(effects, error, self.now()))
        if not self._journal_down:
            self._journal_down = True
            self._spawn(self._wait_for_journal())

    async def _wait_for_journal(self) -> None:
        """Try the journal with an empty commit until it takes one; then let the machine have it again."""
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

    # ------------------------------------------------------------------ what is asked

    async def loaded(self) -> None:
        """Return when the account is loaded. Raises RetryLater, InboxFull."""
        if self.booted.is_set():
            return
        if self._waiting >= MAX_WAITING:
            raise InboxFull(self.context.address, MAX_WAITING)
        self._waiting += 1
        try:
            async with asyncio.timeout(BOOT_WAIT_S):
                await self.booted.wait()
        except TimeoutError:
            kind = JournalUnavailable if self.state == "NO_JOURNAL" else RetryLater
            raise kind(1.0, f"{self.context.address} is {self.state}: {self.error or 'not loaded yet'}") from None
        finally:
            self._waiting -= 1

    def status(self) -> dict[str, Any]:
        """What `status` shows, with the reasons in words."""
        mono_ns = self.context.monotonic_ns()
        said: dict[str, Any] = {"state": self.state, "error": self.error or None, "ready": False}
        if self.booted.is_set():
            said |= {**self.machine.status(), **self.view.status()}
            said["state"], said["error"] = self._state(said)
            said["ready"] = said["state"] in ("SERVING", "PAUSED")
            said["unresolved"] = said["unresolved_requests"]
            said["limits"] = self.allowance.status()
            if (committer := self.committer) is not None:
                said["commits"] = {"batches": committer.batches, "transactions": committer.transactions}
        elif not self.error and hasattr(self, "markets"):
            said["error"] = self.markets.error or self.gateway.clock.status()["clock_problem"]
        if hasattr(self, "gateway"):
            said |= self.gateway.status()
        return said | dict(self.stream.status(mono_ns))

    def _state(self, status: Mapping[str, Any]) -> tuple[str, str | None]:
        if self.state in ("FENCED", "FAILED"):
            return self.state, self.error
        if status["journal"] is not None:
            return "NO_JOURNAL", f"no order is accepted: {status['journal']}"
        refused = f"; the last answer: {self._no_answer}" if self._no_answer else ""
        if not status["serving"]:
            return "RECONCILING", f"open orders and balances are being asked for{refused}"
        if not status["reconciled"]:
            waits = status["earlier_requests"]
            doubt = f"; {waits} requests of a predecessor could still arrive" if waits else ""
            return "RECONCILING", f"the exchange is being asked for what was missed{doubt}{refused}"
        if "account" in status["pauses"] or "mesh" in status["pauses"] or self.exchange in status["pauses"]:
            return "PAUSED", f"trading is paused: {next(iter(status['pauses'].values()))}"
        if not self.stream.up:
            return "SERVING", "the user stream is down: orders are followed by asking"
        return "SERVING", None
