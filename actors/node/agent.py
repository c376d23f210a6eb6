"""The node agent: the role on every node that reads pulses, kills processes, removes old segments and measures memory.

A new incarnation rebuilds nothing, because all its data is on its node (pulses, segments, /proc). Kinds: `kill`,
`sweep`, `usage`; long poll `health`. The agent also watches the pulse of a supervisor on its node. If the supervisor's
loop does not run for longer than `watcher_limit_s`, the agent kills the supervisor, so that Ray restarts it.

If a pulse continues although no visible process has its id, its process runs in another pid namespace. While there is
such a process, the agent removes the files of a process that seems dead only after a longer silence; otherwise at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from loguru import logger

from ...model.time import in_ns
from ..cell.pulse import (
    PERIOD_S,
    SUPERVISOR,
    Beat,
    HangDetector,
    Usage,
    is_alive,
    kill_process,
    read_beats,
    starved_ns,
    usage,
)
from ..cell.role import Context
from ..cell.sweep import PULSES, sweep, sweep_orphans
from .settings import AgentSettings

LOOK_SHARE = 0.1  # of the hang limit: the pause between two readings of the pulses; a hang is found that late at most
SWEEP_EVERY_BEATS = 20
ORPHANS_EVERY_BEATS = 100  # an earlier node of this host may have ended a moment ago, when its files count as its own
SILENT_BEATS = 4  # times the heartbeat limit: by then no reader trusts the segment
USAGE_NS = 1_000_000_000  # least time between readings of proportional memory, which take milliseconds per process


class AgentRole:
    """See the module."""

    reads = frozenset({"health", "usage", "stats"})

    def __init__(self, settings: AgentSettings, context: Context) -> None:
        self._context = context
        self._pulses = context.segments / PULSES
        self._look_every_beats = max(1, round(LOOK_SHARE * settings.hang_limit_s / PERIOD_S))
        step_ns = in_ns(3 * PERIOD_S * self._look_every_beats)
        self._silent_ns = in_ns(max(settings.hang_limit_s, SILENT_BEATS * settings.heartbeat_limit_s))
        self._cells = HangDetector(in_ns(settings.hang_limit_s), step_ns)
        self._supervisor = HangDetector(in_ns(settings.watcher_hang_limit_s), step_ns)
        self._stale: tuple[str, ...] = ()
        self._changed = asyncio.Event()
        self._used: dict[tuple[int, int], tuple[int, Usage]] = {}  # process -> when it was read, what it used
        self._seen: dict[tuple[int, int], int | None] = {}  # process -> its first progress; None after the judgement
        self._foreign: set[tuple[int, int]] = set()  # processes with a pulse that are not visible on this node
        self._beats = 0
        self._swept = 0
        self._killed = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        self._count(await asyncio.to_thread(sweep, self._context.segments, self._silent_ns))
        await asyncio.to_thread(self._sweep_orphans)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.to_thread(self._sweep)

    async def handle(self, kind: str, body: Any) -> Any:
        """`kill` {pid, start, timeout_s} -> whether it is gone; `sweep` -> number of removed files; `usage` -> by
        cell."""
        match kind:
            case "kill":
                self._killed += 1
                pid = body["pid"]
                gone = await asyncio.to_thread(kill_process, pid, body["start"], body.get("timeout_s", 2.0))
                logger.warning("killed" if gone else "cannot be killed", pid=pid)
                return gone
            case "sweep":
                return await asyncio.to_thread(self._sweep)
            case "usage":
                return await asyncio.to_thread(self._usage)
        raise self._context.unknown(kind)

    async def poll(self, kind: str, body: Any, timeout_s: float) -> Any:
        """`health`: return the names of hung cells, as soon as they differ from `body["stale"]`."""
        if kind != "health":
            raise self._context.unknown_poll(kind)
        known = tuple(body.get("stale", ()))
        deadline = asyncio.get_running_loop().time() + timeout_s
        while self._stale == known and (remaining_s := deadline - asyncio.get_running_loop().time()) > 0:
            self._changed.clear()
            try:
                async with asyncio.timeout(remaining_s):  # unlike wait_for, it never drops a cancellation
                    await self._changed.wait()
            except TimeoutError:
                break
        return {"stale": list(self._stale)}

    def status(self) -> dict[str, Any]:
        return {
            "state": "SERVING",
            "error": None,
            "stale": list(self._stale),
            "swept": self._swept,
            "killed": self._killed,
        }

    def beat(self) -> None:
        self._beats += 1
        if self._beats % self._look_every_beats == 0:
            self._look()
        if self._beats % SWEEP_EVERY_BEATS == 0:
            self._spawn(asyncio.to_thread(self._sweep))
        if self._beats % ORPHANS_EVERY_BEATS == 0:
            self._spawn(asyncio.to_thread(self._sweep_orphans))

    def _look(self) -> None:
        """Read every pulse of this node."""
        now_ns = self._context.monotonic_ns()
        beats = read_beats(self._pulses)
        self._judge(beats.values())

        def starved(name: str, whole: bool) -> int | None:
            return starved_ns(beats[name].pid, None if whole else beats[name].thread)

        cells = {name: beat.progress for name, beat in beats.items()}
        own_supervisor = {SUPERVISOR: cells.pop(SUPERVISOR)} if SUPERVISOR in cells else {}
        stale = tuple(sorted(self._cells.look(cells, now_ns, starved)))
        if stale != self._stale:
            logger.log("WARNING" if stale else "INFO", "hung cells", cells=" ".join(stale) or "none")
            self._stale = stale
            self._changed.set()
        if self._supervisor.look(own_supervisor, now_ns, starved):
            supervisor = beats[SUPERVISOR]
            if is_alive(supervisor.pid, supervisor.start):
                logger.warning("the supervisor hangs: killing it", pid=supervisor.pid)
                self._spawn(asyncio.to_thread(kill_process, supervisor.pid, supervisor.start))
                self._killed += 1
            else:
                (self._pulses / SUPERVISOR).unlink(missing_ok=True)

    def _judge(self, beats: Iterable[Beat]) -> None:
        """Determine once for each process, after its second pulse, whether it is visible on this node."""
        seen: dict[tuple[int, int], int | None] = {}
        for beat in beats:
            process = (beat.pid, beat.start)
            first = self._seen.get(process, beat.progress)
            if first is not None and first != beat.progress:
                first = None
                if not is_alive(*process):
                    self._foreign.add(process)
            seen[process] = first
        self._seen = seen
        self._foreign &= seen.keys()

    def _sweep(self) -> int:
        return self._count(sweep(self._context.segments, self._silent_ns if self._foreign else 0))

    def _sweep_orphans(self) -> int:
        return self._count(sweep_orphans(self._context.segments))

    def _count(self, gone: int) -> int:
        self._swept += gone
        if gone:
            logger.info("swept", files=gone)
        return gone

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._context.fail(error)

    def _usage(self) -> dict[str, dict[str, Any]]:
        now_ns = self._context.monotonic_ns()
        found, before, self._used = {}, self._used, {}
        for cell, beat in read_beats(self._pulses).items():
            process = (beat.pid, beat.start)
            read_ns, used = before.get(process, (0, None))
            if used is None or now_ns - read_ns > USAGE_NS:
                read_ns, used = now_ns, usage(beat.pid) if is_alive(*process) else None
            if used is not None:
                self._used[process] = (read_ns, used)
                found[cell] = {
                    "pid": beat.pid,
                    "rss": used.rss,
                    "pss": used.pss,
                    "cpu_s": used.cpu_s,
                    "lag_ms": beat.lag_ns / 1e6,
                    "address": beat.address,
                }
        return found
