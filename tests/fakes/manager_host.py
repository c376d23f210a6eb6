"""Runs an account's manager and stream in processes that may be killed, started within milliseconds by forking.

    python -m tests.fakes.manager_host FOLDER      reads jobs from stdin, one JSON a line, and forks a child for each

A child runs one script (`SCRIPTS`) under a failpoint and writes its results into the folder. The parent has imported
everything and has neither a thread nor a loop; it writes into the folder which process runs a job and how the process
ended. `Hosts` is the test's side.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import io
import itertools
import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.fakes.account_host import Mesh, Place, order, placing
from venuemesh.actors.cell.kinds import preload
from venuemesh.actors.cell.loop_thread import new_loop
from venuemesh.model import failpoint
from venuemesh.model.errors import MeshError

Script = Callable[[Mesh, dict[str, Any]], Awaitable[dict[str, Any]]]
IN_FLIGHT = ("PENDING_NEW", "UNKNOWN", "PENDING_CANCEL")
ROOT = Path(__file__).resolve().parents[2]


# ---------------------------------------------------------------------------------------------------- in the child


async def trade(mesh: Mesh, job: dict[str, Any]) -> dict[str, Any]:
    """Do one of everything; accept refusals and unknown outcomes."""
    ids, price = [f"{job['stem']}{number:04d}" for number in range(20)], job["price"]
    low, high = str(price * 9 // 10), str(price * 11 // 10)
    answers: list[Any] = []

    async def do(kind: str, body: Any) -> Any:
        try:
            found = await mesh(kind, body)
            answers.append([kind, found])
            return found
        except MeshError as error:
            answers.append([kind, f"{type(error).__name__}: {error}"])
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
    return {"answers": answers, **await everything(mesh, job)}


async def verify(mesh: Mesh, job: dict[str, Any]) -> dict[str, Any]:
    """Wait until no outcome is open, query every id, and return everything that the manager knows."""
    began = asyncio.get_running_loop().time()
    await mesh.ready(job.get("ready_s", 30.0))
    ready_s = asyncio.get_running_loop().time() - began
    return {"ready_s": ready_s, **await everything(mesh, job)}


async def cancel_all(mesh: Mesh, job: dict[str, Any]) -> dict[str, Any]:
    """Send cancel_all at once, in any state of the manager; return its answer and when the manager was ready."""
    loop, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()
    results = await mesh("cancel_all", {"timeout_s": 15.0}, 30.0)
    cancelled_s, cancelled_ns = loop.time() - began, time.time_ns()
    await mesh.ready(30.0)
    return {"results": results, "cancelled_s": cancelled_s, "cancelled_ns": cancelled_ns, **await everything(mesh, job)}


async def place_one(mesh: Mesh, job: dict[str, Any]) -> dict[str, Any]:
    """Place one order that rests, and continue until this manager ends."""
    await mesh.ready()
    with contextlib.suppress(MeshError):
        await mesh("place", placing(order(f"{job['stem']}0000", "buy", "0.01", str(job["price"] * 9 // 10))))
    await asyncio.Event().wait()
    return {}


async def follow(mesh: Mesh, job: dict[str, Any]) -> dict[str, Any]:
    """Continue until the file `stop-stream` exists and the stream is LIVE; only for a process without a manager."""
    while not (mesh.place.folder / "stop-stream").exists():  # noqa: ASYNC110 - the file is the only signal
        await asyncio.sleep(0.02)
    async with asyncio.timeout(20.0):
        while (status := mesh.cells.status(mesh.stream_address))["state"] != "LIVE":  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.02)
    return {"stream": status}


async def compete(mesh: Mesh, job: dict[str, Any]) -> dict[str, Any]:
    """Place orders under our own ids until the file `stop-orders` exists."""
    await mesh.ready()
    low, placed = str(job["price"] * 9 // 10), 0
    for number in itertools.count():
        if (mesh.place.folder / "stop-orders").exists():
            break
        with contextlib.suppress(MeshError, TimeoutError):
            await mesh("place", placing(order(f"{job['stem']}{number:04d}", "buy", "0.001", low)), 1.0)
            placed += 1
        await asyncio.sleep(0.002)
    return {"placed": placed}


async def at_rest(mesh: Mesh) -> dict[str, Any]:
    """Wait until nothing is under way: no request, no doubt, no order to cancel; return the status."""
    async with asyncio.timeout(20.0):
        while True:
            account: dict[str, Any] = await mesh("account")
            still = (await mesh("orders", {"open": True}))["rows"]
            moving = any(row["cancel_requested"] or row["status"] in IN_FLIGHT for row in still)
            if account["ready"] and not account["in_doubt"] and not account["unresolved_requests"] and not moving:
                return account
            await asyncio.sleep(0.01)


async def rounds(mesh: Mesh, last_ns: int | None, count: int = 2) -> None:
    """Wait until this many rounds have ended after the current round: the last one began after the current one.

    If the stream does not state locked amounts, only such a round has the balances at rest.
    """
    while count:
        said_ns = (await mesh("account"))["reconciled_ns"]
        count -= said_ns != last_ns
        last_ns = said_ns
        await asyncio.sleep(0.01)


async def everything(mesh: Mesh, job: dict[str, Any], deadline_s: float = 20.0) -> dict[str, Any]:
    """Return everything that the manager knows at rest; a query gives an unseen id its outcome.

    A change in the meantime (a cancel that is repeated until answered) makes it read again.
    """
    async with asyncio.timeout(deadline_s):
        while True:
            account = await at_rest(mesh)
            if job.get("rounds"):
                await rounds(mesh, account["reconciled_ns"])
            found = await snapshot(mesh, job.get("ids", []))
            stands = [*found["fates"].values(), *(row["status"] for row in found["orders"])]
            if not any(status in IN_FLIGHT for status in stands):
                return {"account": account, **found}


async def snapshot(mesh: Mesh, ids: list[str]) -> dict[str, Any]:
    """Return the outcomes of ids, and all orders, fills, events and balances."""
    fates: dict[str, Any] = {}
    for client_order_id in ids:
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
        "orders": (await mesh("orders", {"open": False, "limit": 5000}))["rows"],
        "fills": (await mesh("fills", {"limit": 5000}))["rows"],
        "events": events,
        "balances": await mesh("balances"),
    }


async def full_disk(mesh: Mesh, job: dict[str, Any]) -> dict[str, Any]:
    """Cancel everything while no file can grow: one order by its owner's death, one by its id, an external one, the
    others by cancel_all. Return the answers, how long they took, and everything when there is room again."""
    ids, low = [f"{job['stem']}{number:04d}" for number in range(8)], str(job["price"] * 9 // 10)
    answers: dict[str, Any] = {}
    took_s: dict[str, float] = {}

    async def do(name: str, kind: str, body: Any) -> Any:
        began = asyncio.get_running_loop().time()
        try:
            answers[name] = await mesh(kind, body)
        except MeshError as error:
            answers[name] = type(error).__name__
        took_s[name] = asyncio.get_running_loop().time() - began
        return answers[name]

    await mesh.ready()
    await mesh.streaming()
    await mesh("lease", {"owner": "mortal", "on_death": "cancel", "lease_s": 60.0})
    await mesh("place", placing(order(ids[0], "buy", "0.01", low, owner="mortal")))
    for one in ids[1:6]:
        await mesh("place", placing(order(one, "buy", "0.01", low)))
    elsewhere = [
        row["client_order_id"] for row in (await mesh("orders", {"external": True}))["rows"] if row["external"]
    ]
    await everything(mesh, {"ids": []})
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))  # no page can be written: as a full disk
    try:
        await do("cancel", "cancel", {"id": ids[1]})
        await do("lease", "lease", {"owner": "mortal", "on_death": "cancel", "lease_s": 0.1})
        while (await mesh("get", {"id": ids[0]}))["status"] != "CANCELED":  # noqa: ASYNC110 - only requests show it
            await asyncio.sleep(0.01)
        for one in elsewhere:
            await do("external", "cancel_external", {"id": one})
        await do("cancel_all", "cancel_all", {"timeout_s": 10.0})
        await do("place", "place", placing(order(ids[6], "buy", "0.01", low)))
        await do("amend", "amend", {"id": ids[5], "amount": "0.005"})
        outage = await mesh("account")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await mesh.ready(30.0)
    found = await everything(mesh, {"ids": ids[:6]})
    return {"answers": answers, "took_s": took_s, "outage": outage, **found}


SCRIPTS: dict[str, Script] = {
    "full_disk": full_disk,
    "trade": trade,
    "verify": verify,
    "cancel_all": cancel_all,
    "place_one": place_one,
    "compete": compete,
    "follow": follow,
}


def child(job: dict[str, Any]) -> None:
    """Run a job in this process, and end the process as abruptly as a power failure: nothing is closed."""
    failpoint.arm(job.get("failpoint") or None)
    stacks = open(Path(job["result"]).with_suffix(".stacks"), "a")  # noqa: SIM115 - until this process ends
    faulthandler.register(signal.SIGUSR1, stacks)
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            outcome = runner.run(run(job))
    except BaseException as error:
        finish(job, {"error": "".join(traceback.format_exception(error)), "type": type(error).__name__}, 1)
    finish(job, outcome, 0)


async def run(job: dict[str, Any]) -> dict[str, Any]:
    """Run a job's script until it is done or a role has failed, as a cell does."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, leave_tasks, job)
    incarnation, lease_s = job.get("incarnation", 1), job.get("lease_s")
    mesh = Mesh(Place.from_dict(job["place"]), incarnation=incarnation, lease_s=lease_s, only=job.get("only"))
    await mesh.start()
    script = asyncio.ensure_future(SCRIPTS[job["script"]](mesh, job))
    failed = asyncio.ensure_future(mesh.failed.wait())
    await asyncio.wait({script, failed}, return_when=asyncio.FIRST_COMPLETED)
    if failed.done():
        error = mesh.failures[0]
        finish(job, {"error": "".join(traceback.format_exception(error)), "type": type(error).__name__}, 1)
    finish(job, script.result(), 0)
    raise AssertionError("not reached")


def leave_tasks(job: dict[str, Any]) -> None:
    """Write where each task of the loop waits."""
    found = io.StringIO()
    for task in asyncio.all_tasks():
        task.print_stack(file=found)
    leave(Path(job["result"]).with_suffix(".tasks"), found.getvalue())


def finish(job: dict[str, Any], outcome: dict[str, Any], status: int) -> None:
    path = Path(job["result"])
    path.with_suffix(".part").write_text(json.dumps(outcome))
    path.with_suffix(".part").rename(path)
    os._exit(status)


# --------------------------------------------------------------------------------------------------- in the parent


def main() -> None:
    folder = Path(sys.argv[1])
    preload()
    pipe = os.pipe()
    for end in pipe:
        os.set_blocking(end, False)
    signal.set_wakeup_fd(pipe[1], warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, str] = {}
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
                leave(folder / f"{running.pop(pid)}.exit", os.waitstatus_to_exitcode(status))
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
                    child(job)
                running[pid] = job["job"]
                leave(folder / f"{job['job']}.pid", pid)
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def leave(path: Path, what: int | str) -> None:
    """Write a file that appears complete."""
    new = path.with_suffix(".new")
    new.write_text(str(what))
    new.rename(path)


# -------------------------------------------------------------------------------------------------- the test's side


class Hosts:
    """The parent process, for tests: `run` a job and get (exit status, results). Works from any event loop."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._folder = tempfile.TemporaryDirectory(prefix="venuemesh-jobs-")
        command = [sys.executable, "-m", "tests.fakes.manager_host", self._folder.name]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE)

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30.0)
        self._folder.cleanup()

    async def start(self, job: dict[str, Any]) -> Running:
        name = str(next(self._numbers))
        path = Path(self._folder.name) / name
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({**job, "job": name, "result": f"{path}.json"}).encode() + b"\n")
        self._process.stdin.flush()
        pid = await self.appears(path.with_suffix(".pid"), 60.0)
        return Running(self, int(pid), path)

    async def appears(self, path: Path, deadline_s: float) -> str:
        """Wait for a file that appears complete, and return its content."""
        async with asyncio.timeout(deadline_s):
            while True:
                if (found := content(path)) is not None:
                    return found
                assert self._process.poll() is None, "the host process ended"
                await asyncio.sleep(0.01)

    async def run(self, job: dict[str, Any], deadline_s: float = 60.0) -> tuple[int, dict[str, Any]]:
        return await (await self.start(job)).result(deadline_s)


def content(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def process_state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


class Running:
    """One running job."""

    def __init__(self, hosts: Hosts, pid: int, path: Path) -> None:
        self.pid, self._hosts, self._path = pid, hosts, path

    @property
    def done(self) -> bool:
        return self._path.with_suffix(".exit").exists()

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    async def stopped(self, deadline_s: float = 20.0) -> None:
        """Return when SIGSTOP has stopped the process."""
        async with asyncio.timeout(deadline_s):
            while process_state(self.pid) not in "tT":
                assert not self.done, "it ended instead of stopping"
                await asyncio.sleep(0.005)

    async def result(self, deadline_s: float = 60.0) -> tuple[int, dict[str, Any]]:
        try:
            status = await self._hosts.appears(self._path.with_suffix(".exit"), deadline_s)
        except TimeoutError as error:
            error.add_note(await self._where())
            self.signal(signal.SIGKILL)
            raise
        return int(status), json.loads(content(self._path.with_suffix(".json")) or "{}")

    async def _where(self) -> str:
        """Return where each thread and each task of the process waits; no tasks if its loop does not run."""
        self.signal(signal.SIGUSR1)
        self.signal(signal.SIGUSR2)
        tasks = self._path.with_suffix(".tasks")
        try:
            found = await self._hosts.appears(tasks, 2.0)
        except TimeoutError:
            found = "its loop does not run"
        return f"{content(self._path.with_suffix('.stacks'))}\n{found}"


if __name__ == "__main__":
    main()
