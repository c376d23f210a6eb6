"""Runs an account's manager and stream in processes that may be killed, started within milliseconds by forking.

    python -m tests.fakes.manager_host      reads orders from stdin, one JSON a line, and forks a child for each

A child runs one script (`SCRIPTS`) under a failpoint and leaves what it saw in a file. The parent has everything
imported and no thread and no loop of its own; it says on stdout when children began and how they ended. `Hosts` is the
test's side.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.fakes.account_host import Mesh, Place, order, placing
from venuemesh.model import failpoint
from venuemesh.model.errors import MeshError

Script = Callable[[Mesh, dict[str, Any]], Awaitable[dict[str, Any]]]
ROOT = Path(__file__).resolve().parents[2]


# ---------------------------------------------------------------------------------------------------- in the child


async def trade(mesh: Mesh, job: dict[str, Any]) -> dict[str, Any]:
    """Do one of everything; what is refused or unknown is taken as it comes."""
    ids, price = [f"{job['stem']}{number:04d}" for number in range(20)], job["price"]
    low, high = str(price * 9 // 10), str(price * 11 // 10)
    said: list[Any] = []

    async def do(kind: str, body: Any) -> Any:
        try:
            found = await mesh(kind, body)
            said.append([kind, found])
            return found
        except MeshError as error:
            said.append([kind, f"{type(error).__name__}: {error}"])
            return None

    async def place(*orders: dict[str, Any], **more: Any) -> None:
        await do("place", {**placing(*orders), **more})

    await mesh.ready()
    await mesh.streaming()
    await place(order(ids[0], "buy", "0.01", low))
    await place(order(ids[1], "buy", "0.002", high))
    await place(order(ids[2], "sell", "0.002"))
    await do("cancel", {"id": ids[0]})
    await asyncio.gather(
        place(order(ids[3], "buy", "0.01", low), order(ids[4], "buy", "0.01", low)),
        place(order(ids[5], "sell", "0.01", high)),
    )
    new = order(ids[6], "buy", "0.02", low)
    await do("replace", {"id": ids[3], "order": new, "expires_ns": placing()["expires_ns"]})
    await do("amend", {"id": ids[4], "amount": "0.005"})
    await place(order(ids[7], "buy", "0.01", low, time_in_force="IOC"))
    await place(order(ids[8], "buy", "0.01", high, order_type="LIMIT_MAKER", time_in_force=None))
    await asyncio.gather(do("cancel", {"id": ids[5]}), place(order(ids[9], "buy", "0.001", high)))
    await place(order(ids[10], "buy", "0.01", low), order(ids[11], "buy", "0.01", low))
    if job.get("cancel_all", True):
        await do("cancel_all", {"timeout_s": 5.0})
    return {"said": said, **await everything(mesh, job)}


async def verify(mesh: Mesh, job: dict[str, Any]) -> dict[str, Any]:
    """Wait until the manager is sure of everything, ask for every id, and say all that it knows."""
    began = asyncio.get_running_loop().time()
    await mesh.ready(job.get("ready_s", 30.0))
    ready_s = asyncio.get_running_loop().time() - began
    return {"ready_s": ready_s, **await everything(mesh, job)}


async def cancel_all(mesh: Mesh, job: dict[str, Any]) -> dict[str, Any]:
    """Ask for cancel_all at once, whatever the manager does yet, and say what it answered and when it was ready."""
    loop, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()
    results = await mesh("cancel_all", {"timeout_s": 15.0}, 30.0)
    cancelled_s, cancelled_ns = loop.time() - began, time.time_ns()
    await mesh.ready(30.0)
    return {"results": results, "cancelled_s": cancelled_s, "cancelled_ns": cancelled_ns, **await everything(mesh, job)}


async def place_one(mesh: Mesh, job: dict[str, Any]) -> dict[str, Any]:
    """Place one order that rests."""
    await mesh.ready()
    low = str(job["price"] * 9 // 10)
    found = None
    with contextlib.suppress(MeshError):
        found = await mesh("place", placing(order(f"{job['stem']}0000", "buy", "0.01", low)))
    return {"placed": found}


async def compete(mesh: Mesh, job: dict[str, Any]) -> dict[str, Any]:
    """Place order after order under ids of our own until the job's file `stop` is there or this manager has failed."""
    await mesh.ready()
    low, placed = str(job["price"] * 9 // 10), 0
    for number in itertools.count():
        if mesh.failures or (mesh.place.folder / "stop").exists():
            break
        with contextlib.suppress(MeshError, TimeoutError):
            await mesh("place", placing(order(f"{job['stem']}{number:04d}", "buy", "0.001", low)), 1.0)
            placed += 1
        await asyncio.sleep(0.002)
    return {"placed": placed, "failures": [type(error).__name__ for error in mesh.failures]}


async def everything(mesh: Mesh, job: dict[str, Any]) -> dict[str, Any]:
    """All that the manager knows at rest; ids that it never saw get their fate by being asked for."""
    async with asyncio.timeout(20.0):
        while True:
            said = await mesh("account")
            if said["ready"] and not said["in_doubt"] and not said["unresolved_requests"]:
                break
            await asyncio.sleep(0.01)
    fates: dict[str, Any] = {}
    for client_order_id in job.get("ids", []):
        try:
            fates[client_order_id] = (await mesh("get", {"id": client_order_id}))["status"]
        except MeshError as error:
            fates[client_order_id] = type(error).__name__
    events: list[Any] = []
    while True:
        page = await mesh.ask(mesh.orders, "poll:events", {"after": len(events), "limit": 5000}, 0.02)
        if not page["events"]:
            break
        events += page["events"]
    return {
        "fates": fates,
        "account": said,
        "orders": await mesh("orders", {"open": False, "limit": 5000}),
        "fills": await mesh("fills", {"limit": 5000}),
        "events": events,
        "balances": await mesh("balances"),
    }


SCRIPTS: dict[str, Script] = {
    "trade": trade,
    "verify": verify,
    "cancel_all": cancel_all,
    "place_one": place_one,
    "compete": compete,
}


class Lease:
    """What a cell does: the process ends when its loop stood still for longer than its lease."""

    def __init__(self, lease_s: float) -> None:
        self._lease_s, self._last_s = lease_s, time.monotonic()
        asyncio.get_running_loop().create_task(self._beat())

    async def _beat(self) -> None:
        while True:
            self._last_s = time.monotonic()
            await asyncio.sleep(0.05)

    def __call__(self) -> None:
        if time.monotonic() - self._last_s > self._lease_s:
            os._exit(75)


def child(job: dict[str, Any]) -> int:
    """Run a job in this process; return its exit status."""
    failpoint._act = failpoint.plan(job.get("failpoint") or None)

    async def run() -> dict[str, Any]:
        mesh = Mesh(Place.from_dict(job["place"]), incarnation=job.get("incarnation", 1))
        if job.get("lease_s"):
            mesh.alive = Lease(job["lease_s"])
        try:
            await mesh.start()
            found = await SCRIPTS[job["script"]](mesh, job)
            await mesh.stop()
            return found
        except BaseException:
            if mesh.failures:
                raise mesh.failures[0] from None
            raise

    path = Path(job["result"])
    try:
        said, status = asyncio.run(run()), 0
    except BaseException as error:
        said, status = {"error": "".join(traceback.format_exception(error)), "type": type(error).__name__}, 1
    path.with_suffix(".new").write_text(json.dumps(said))
    path.with_suffix(".new").rename(path)
    return status


# --------------------------------------------------------------------------------------------------- in the parent


def main() -> None:
    pipe = os.pipe()
    for end in pipe:
        os.set_blocking(end, False)
    signal.set_wakeup_fd(pipe[1], warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)

    running: dict[int, Any] = {}
    pending = b""
    while True:
        readable, _, _ = select.select([0, pipe[0]], [], [])
        if pipe[0] in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(pipe[0], 4096)
            while running:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                tell({"job": running.pop(pid), "exit": os.waitstatus_to_exitcode(status)})
        if 0 in readable:
            found = os.read(0, 1 << 16)
            if not found:
                break
            *lines, pending = (pending + found).split(b"\n")
            for line in lines:
                job = json.loads(line)
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    os._exit(child(job))
                running[pid] = job["job"]
                tell({"job": job["job"], "pid": pid})
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def tell(what: dict[str, Any]) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


# -------------------------------------------------------------------------------------------------- the test's side


class Hosts:
    """The parent process, for asyncio tests: `run` a job and get (exit status, what it left)."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._gone = False
        self._began: dict[int, asyncio.Future[int]] = {}
        self._ended: dict[int, asyncio.Future[int]] = {}
        self._process: asyncio.subprocess.Process
        self._reading: asyncio.Task[None]
        self._folder = tempfile.TemporaryDirectory(prefix="venuemesh-jobs-")

    async def __aenter__(self) -> Hosts:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.fakes.manager_host",
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self._reading = asyncio.get_running_loop().create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        await self._reading
        self._folder.cleanup()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            if "pid" in said:
                self._began[said["job"]].set_result(said["pid"])
            else:
                self._ended[said["job"]].set_result(said["exit"])
        self._gone = True
        for future in (*self._began.values(), *self._ended.values()):
            if not future.done():
                future.set_exception(RuntimeError("the host process ended"))

    async def start(self, job: dict[str, Any]) -> Running:
        assert not self._gone, "the host process ended"
        number = next(self._numbers)
        path = Path(self._folder.name) / f"{number}.json"
        loop = asyncio.get_running_loop()
        self._began[number], self._ended[number] = loop.create_future(), loop.create_future()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({**job, "job": number, "result": str(path)}).encode() + b"\n")
        pid = await self._began[number]
        return Running(pid, self._ended[number], path)

    async def run(self, job: dict[str, Any], deadline_s: float = 60.0) -> tuple[int, dict[str, Any]]:
        return await (await self.start(job)).result(deadline_s)


def process_state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


class Running:
    """One job under way."""

    def __init__(self, pid: int, ended: asyncio.Future[int], path: Path) -> None:
        self.pid, self._ended, self._path = pid, ended, path

    @property
    def done(self) -> bool:
        return self._ended.done()

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    async def stopped(self, deadline_s: float = 20.0) -> None:
        """Return when the process stands still by SIGSTOP."""
        async with asyncio.timeout(deadline_s):
            while True:
                if process_state(self.pid) in "tT":
                    return
                assert not self.done, "it ended instead of stopping"
                await asyncio.sleep(0.005)

    async def result(self, deadline_s: float = 60.0) -> tuple[int, dict[str, Any]]:
        try:
            async with asyncio.timeout(deadline_s):
                status = await asyncio.shield(self._ended)
        except TimeoutError:
            self.signal(signal.SIGKILL)
            raise
        return status, json.loads(self._path.read_text()) if self._path.exists() else {}


if __name__ == "__main__":
    main()
