"""Host one role, without Ray: the one place where messages reach a role.

A `Host` hosts one role in its life. Its owner (`ray_cell` in a separate process, `local` for several hosts in one
process) gives the host a loop, heartbeats, and `Hooks` that end the cell.

    SPARE --adopt--> STARTING --the role's start returns--> SERVING --stop--> ENDED
                         |                                     |
                         +----------- a failure ---------------+------------> ENDED

A final stop that comes while the role starts waits for the start, within its limit: then the role does its last work,
without having served. A role whose start fails, or whose cell ends meanwhile, is not stopped, because it does nothing
more.

The host answers a message only while it serves the message's address in the incarnation that the message names; any
other message gets `Fenced`. A message of a supervisor names the supervisor's epoch instead, and is refused below the
newest epoch that the cell has seen, so late messages of an earlier supervisor change nothing. Each command is executed
once for each (sender, sequence); answers to long polls are not kept. A host ends when its role fails, when a message
raises an unexpected error (unless its kind only reads), and when its loop did not run for longer than its lease.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...model.address import book_of
from ...model.errors import Fenced, MeshError, OutcomeUnknown, Rejected
from ...model.shown import whole
from ...model.time import in_ns
from .kinds import ORDERS
from .messages import POLL, Asker, BadMessage, Dedup, Envelope, Routes, Send, pack_error, pack_reply
from .near import Method
from .role import Context, Incarnation, Role

NONE: Incarnation = (0, 0)  # of a spare


@dataclass(frozen=True, slots=True)
class Assignment:
    """The role that a spare must run. `spec` is a child's spec as plain values: address, kind, config, serves, ...

    `predecessor` is the process (id, start time) of the previous incarnation; it must be dead before the role starts.
    """

    epoch: int
    incarnation: Incarnation
    spec: Mapping[str, Any]
    restarts: int = 0
    predecessor: tuple[int, int] | None = None

    @property
    def address(self) -> str:
        address: str = self.spec["address"]
        return address

    @property
    def sender(self) -> str:
        """The name of this incarnation as a sender of messages."""
        return f"{self.address}@{self.incarnation[0]}.{self.incarnation[1]}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "incarnation": list(self.incarnation),
            "spec": dict(self.spec),
            "restarts": self.restarts,
            "predecessor": None if self.predecessor is None else list(self.predecessor),
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Assignment:
        epoch, counter = plain["incarnation"]
        predecessor = plain["predecessor"]
        return cls(
            plain["epoch"],
            (epoch, counter),
            plain["spec"],
            plain["restarts"],
            None if predecessor is None else (predecessor[0], predecessor[1]),
        )


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The surroundings that a cell gives to any role."""

    mesh: str
    node: str
    segments: Path
    routes: Routes
    send: Send
    monotonic_ns: Callable[[], int] = time.monotonic_ns
    time_ns: Callable[[], int] = time.time_ns
    cluster: str = ""
    host: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Hooks:
    """Callbacks from a host to its owner. They must not raise."""

    failed: Callable[[BaseException], None]  # the role cannot continue: end the cell
    lease_over: Callable[[int], None]  # the loop did not run for this many ns: end the cell before it touches anything
    read_failed: Callable[[Envelope, Exception], None]  # a query raised an unexpected error; the role keeps running


Make = Callable[[Assignment, Context], Role]


class Host:
    """See the module. Every method runs on the loop of the role."""

    def __init__(
        self,
        cell: str,
        around: Surroundings,
        hooks: Hooks,
        make: Make,
        lease_s: float | None = None,
        long_lease_s: float | None = None,
    ) -> None:
        """`lease_s` is that of an order manager, `long_lease_s` that of any other role (None: the same). None: no
        lease."""
        self.cell = cell
        self.assignment: Assignment | None = None
        self.role: Role | None = None  # while it serves
        self._context: Context | None = None
        self.ended = False
        self._around, self._hooks, self._make = around, hooks, make
        self._lease_ns = None if lease_s is None else in_ns(lease_s)
        self._long_lease_ns = self._lease_ns if long_lease_s is None else in_ns(long_lease_s)
        self._last_ns = around.monotonic_ns()
        self._serves: frozenset[str] = frozenset()
        self._stopping = False
        self._start_over = asyncio.Event()  # the start of the role has succeeded or failed
        self._epoch = 0
        self._lives: list[asyncio.Future[dict[str, Any]]] = []
        self._dedup = Dedup()

    @property
    def incarnation(self) -> Incarnation:
        """The incarnation of the assignment; (0, 0) for a spare."""
        return self.assignment.incarnation if self.assignment is not None else NONE

    # --- for the supervisor -------------------------------------------------------------------------------------------

    def fence(self, epoch: int) -> None:
        """Record the supervisor's epoch. Raises Fenced: a later supervisor has already called."""
        if epoch < self._epoch:
            raise Fenced(self.cell, (epoch, 0), (self._epoch, 0))
        self._epoch = epoch

    def hello(self, epoch: int) -> dict[str, Any]:
        """Return this cell's identity and its assignment."""
        self.fence(epoch)
        assignment = None if self.assignment is None else self.assignment.to_dict()
        serving = self.role is not None
        return {"cell": self.cell, "node": self._around.node, "assignment": assignment, "serving": serving}

    async def life(self, epoch: int) -> dict[str, Any]:
        """Wait as long as this cell lives; return why the wait ended. A later call ends an earlier one."""
        self.fence(epoch)
        self._end_lives({"why": "superseded"})
        life: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._lives = [life]
        return await life

    async def adopt(
        self, assignment: Assignment, prepare: Callable[[Assignment], Awaitable[None]] | None = None
    ) -> dict[str, Any]:
        """Start the role; return {"ok": True} when it has started, or the error that ends this cell.

        The role serves then, unless a stop waits for the start. `prepare` runs before the role is made.
        """
        self.fence(assignment.epoch)
        if self.assignment is not None:
            return {"ok": False, "error": f"{self.cell} was adopted already"}
        if self._stopping:
            return {"ok": False, "error": f"{self.cell} was stopped before"}
        self.assignment = assignment
        try:
            if prepare is not None:
                await prepare(assignment)
            self._context = self._new_context(assignment)
            role = self._make(assignment, self._context)
            await role.start()
        except Exception as error:
            self.fail(error)
            return {"ok": False, "error": error_text(error)}
        finally:
            self._start_over.set()
        if self.ended:
            return {"ok": False, "error": "the cell ended while its role started"}
        self.role = role
        if not self._stopping:
            served = (assignment.address, *(address for address, _ in assignment.spec.get("serves", ())))
            self._serves = frozenset((*served, *map(book_of, served)))  # a replica stands in for its book
        return {"ok": True}

    def _new_context(self, assignment: Assignment) -> Context:
        around = self._around
        return Context(
            mesh=around.mesh,
            address=assignment.address,
            incarnation=assignment.incarnation,
            node=around.node,
            segments=around.segments,
            ask=Asker(assignment.sender, around.routes, around.send, time.monotonic),
            fail=self.fail,
            monotonic_ns=around.monotonic_ns,
            time_ns=around.time_ns,
            alive=self.alive,
            restarts=assignment.restarts,
            cluster=around.cluster,
            host=around.host,
        )

    async def stop(self, timeout_s: float, final: bool = True) -> None:
        """Stop the role; from then on no message is answered. `final`: see `Context.is_final`.

        Raises the role's errors, and TimeoutError.
        """
        self._stopping = True
        role, self.role, self._serves = self.role, None, frozenset()
        loop = asyncio.get_running_loop()
        ends_at_s = loop.time() + timeout_s
        try:
            async with asyncio.timeout_at(ends_at_s):
                if role is None and final and self.assignment is not None and not self.ended:
                    await self._start_over.wait()
                    role, self.role = self.role, None
                if role is not None and self._context is not None:
                    self._context.is_final, self._context.stop_s = final, ends_at_s - loop.time()
                    await role.stop()
        finally:
            self.end()

    def status(self) -> dict[str, Any]:
        """Return the role's status."""
        return self.role.status() if self.role is not None else {"state": "SPARE", "error": None}

    # --- messages -----------------------------------------------------------------------------------------------------

    async def ask(self, packed: bytes) -> bytes:
        """Answer one message, once; see `messages`."""
        envelope = Envelope.unpack(packed)
        if (refusal := self._refusal(envelope)) is not None:
            return refusal
        return await self._dedup.once(envelope.sender, envelope.sequence, lambda: self._answer(envelope, False))

    async def poll(self, packed: bytes) -> bytes:
        """Answer one long poll."""
        envelope = Envelope.unpack(packed)
        return self._refusal(envelope) or await self._answer(envelope, True)

    async def answer_call(self, method: Method, content: bytes) -> bytes:
        """Answer a near call to this role. Raises BadMessage: it is no such call."""
        match method:
            case Method.ASK | Method.URGENT:
                return await self.ask(content)
            case Method.POLL:
                return await self.poll(content)
            case Method.STATUS:
                return pack_reply(self.status())
        raise BadMessage(f"{method.name} is no call to a role")

    def _refusal(self, envelope: Envelope) -> bytes | None:
        epoch, counter = envelope.incarnation
        is_supervisor = counter == 0
        if is_supervisor and epoch < self._epoch:
            return pack_error(Fenced(self.cell, envelope.incarnation, (self._epoch, 0)))
        if envelope.address in self._serves and (is_supervisor or envelope.incarnation == self.incarnation):
            return None
        return pack_error(Fenced(envelope.address, envelope.incarnation, self.incarnation))

    async def _answer(self, envelope: Envelope, polling: bool) -> bytes:
        role, kind = self.role, envelope.kind.removeprefix(POLL)
        if role is None:
            return pack_error(Fenced(envelope.address, envelope.incarnation, self.incarnation))
        try:
            if polling:
                return pack_reply(await role.poll(kind, envelope.body, envelope.timeout_s))
            return pack_reply(await role.handle(kind, envelope.body))
        except MeshError as error:
            return pack_error(error)
        except Exception as error:
            return pack_error(self._unexpected(role, envelope, error))

    def _unexpected(self, role: Role, envelope: Envelope, error: Exception) -> MeshError:
        """Return the answer to a message that raised an error which the role did not expect; see `Role.handle`."""
        message = f"{envelope.kind} to {envelope.address}"
        if envelope.kind.removeprefix(POLL) in role.reads:
            self._hooks.read_failed(envelope, error)
            return Rejected("broken_request", f"{message}: {error_text(error)}")
        self.fail(error)
        return OutcomeUnknown(message, error_text(error))

    # --- life ---------------------------------------------------------------------------------------------------------

    def check_lease(self) -> int:
        """Record that the loop runs; return the ns since the last record. An assigned cell past its lease ends."""
        now_ns = self._around.monotonic_ns()
        paused_ns = now_ns - self._last_ns
        if self.assignment is not None:
            self._judge(paused_ns)
        self._last_ns = now_ns
        return paused_ns

    def beat(self) -> None:
        """Pass the heartbeat on to the role."""
        if self.role is not None:
            try:
                self.role.beat()
            except Exception as error:
                self.fail(error)

    def alive(self) -> None:
        """Stop the caller if the cell may no longer work: `Context.alive`."""
        if self.ended:
            raise asyncio.CancelledError
        self._judge(self._around.monotonic_ns() - self._last_ns)

    def _judge(self, paused_ns: int) -> None:
        trades = self.assignment is not None and self.assignment.spec.get("kind") == ORDERS
        lease_ns = self._lease_ns if trades else self._long_lease_ns
        if lease_ns is not None and paused_ns > lease_ns:
            self._hooks.lease_over(paused_ns)

    def fail(self, error: BaseException) -> None:
        """End this cell because its role failed; report the error to the supervisor."""
        if not self.ended:
            self.end()
            self._end_lives({"why": "failed", "error": error_text(error)})
            self._hooks.failed(error)

    def end(self) -> None:
        """Stop serving; the role's work ends at its next `Context.alive`."""
        self.ended, self.role, self._serves = True, None, frozenset()

    def _end_lives(self, reason: dict[str, Any]) -> None:
        for life in self._lives:
            if not life.done():
                life.set_result(reason)


def error_text(error: BaseException) -> str:
    return whole(f"{type(error).__name__}: {error}")
