"""Messages between roles: packing, repeated sending, refusals, and one execution per message. No Ray.

A message is a msgpack array (address, sender, incarnation, sequence, kind, timeout_s, body). The sender numbers its
messages; the receiver keeps its last answers by (sender, sequence), so a message that is sent twice to one incarnation
is executed once. A message that is sent again to the *next* incarnation may execute again. A message that must not
execute twice carries an id in its body (for orders the client order id), and the role recognises that id.

A kind that begins with "poll:" is a long poll: it runs in the receiver's poll group and waits there up to `timeout_s`;
its answer is not kept.

A kind of `URGENT_KINDS` ends risk, such as a cancel. It has its own outbox, connection and concurrency group,
so it waits behind no other message, on no part of the way.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

import msgpack

from ...model import errors
from ...model.address import Route
from ...model.errors import Fenced, InboxFull, MeshError, OutcomeUnknown, Rejected, RetryLater
from ...model.shown import shown

POLL = "poll:"
ASK_METHOD, POLL_METHOD, URGENT_METHOD = "ask", "poll", "urgent"  # the methods of a cell that take an envelope
URGENT_KINDS = frozenset({"cancel", "cancel_all", "cancel_external", "pause"})
POLL_GRACE_S = 1.0  # how long after its own timeout a long poll may still answer
AGAIN_S = 0.05  # pause before a message is sent again to a role or cell that did not answer


class BadMessage(ValueError):
    """The bytes are not a message: the peer is not one of our processes, or a different version."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message. `incarnation` is the incarnation that the sender addresses.

    A message of a supervisor has the supervisor's epoch and the counter 0 there: any incarnation that serves the
    address takes it, unless its cell has already heard a later supervisor.
    """

    address: str
    sender: str
    incarnation: tuple[int, int]
    sequence: int
    kind: str
    timeout_s: float
    body: Any

    def pack(self) -> bytes:
        """Return the message. Raises Rejected: a text in it is no Unicode text."""
        try:
            packed: bytes = msgpack.packb(
                (self.address, self.sender, self.incarnation, self.sequence, self.kind, self.timeout_s, self.body)
            )
        except UnicodeEncodeError as error:
            reason = f"{shown(error.object)[:80]!r} has half of a surrogate pair, which is no text"
            raise Rejected("bad_request", reason) from None
        return packed

    @classmethod
    def unpack(cls, raw: bytes) -> Envelope:
        """Read an envelope. Raises BadMessage."""
        try:
            address, sender, (epoch, counter), sequence, kind, timeout_s, body = msgpack.unpackb(
                raw, strict_map_key=False
            )
        except (ValueError, TypeError) as error:
            raise BadMessage(f"not an envelope: {error}") from error
        fields = (address, sender, epoch, counter, sequence, kind, timeout_s)
        if tuple(map(type, fields)) not in _ENVELOPE_TYPES:
            raise BadMessage("not an envelope: its fields have wrong types")
        return cls(address, sender, (epoch, counter), sequence, kind, timeout_s, body)


_ENVELOPE_TYPES = {(str, str, int, int, int, str, number) for number in (int, float)}


def _leaves(cls: type[MeshError]) -> dict[str, type[MeshError]]:
    found = {cls.__name__: cls}
    for sub in cls.__subclasses__():
        found |= _leaves(sub)
    return found


def method_of(kind: str) -> str:
    """Return the method of a cell that takes a message of this kind."""
    if kind.startswith(POLL):
        return POLL_METHOD
    return URGENT_METHOD if kind in URGENT_KINDS else ASK_METHOD


_ERRORS = {name: cls for name, cls in _leaves(MeshError).items() if getattr(errors, name, None) is cls}


def pack_reply(value: Any) -> bytes:
    packed: bytes = msgpack.packb((True, value))
    return packed


def pack_error(error: MeshError) -> bytes:
    """Pack a typed error; fields that are not plain values travel as text."""
    fields = [_plain(value) for value in error.args]
    packed: bytes = msgpack.packb((False, type(error).__name__, fields, str(error)))
    return packed


def _plain(value: Any) -> Any:
    try:
        msgpack.packb(value)
    except (TypeError, ValueError, OverflowError):
        return str(value)
    return value


def unpack_reply(raw: bytes) -> Any:
    """Return the reply, or raise the packed error (an unknown error as Rejected with its name).

    Raises:
        OutcomeUnknown: the bytes are no reply, so the peer is a different version. It may have executed the call.
    """
    try:
        found, error = _reply_in(raw)
    except (ValueError, TypeError, LookupError) as wrong:
        raise OutcomeUnknown("a call to another process", f"its answer cannot be read: {wrong}"[:300]) from wrong
    if error is not None:
        raise error
    return found


def _reply_in(raw: bytes) -> tuple[Any, MeshError | None]:
    is_reply, *rest = msgpack.unpackb(raw, strict_map_key=False)
    if is_reply is True:
        return rest[0], None
    name, fields, text = rest
    if not isinstance(name, str) or not isinstance(fields, list) or not isinstance(text, str):
        raise TypeError("the packed error has fields of wrong types")
    cls = _ERRORS.get(name)
    if cls is None:
        return None, Rejected(name, text)
    error = cls(*(tuple(value) if isinstance(value, list) and name == "Fenced" else value for value in fields))
    str(error)  # fields of wrong types fail here, and not where the error is shown
    return None, error


class Dedup:
    """The receiver's last answers, bounded by number and bytes; the oldest are dropped."""

    def __init__(self, limit: int = 8192, limit_bytes: int = 16 << 20) -> None:
        self._limit, self._limit_bytes, self._bytes = limit, limit_bytes, 0
        self._answers: OrderedDict[tuple[str, int], asyncio.Future[bytes]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    async def once(self, sender: str, sequence: int, answer: Callable[[], Awaitable[bytes]]) -> bytes:
        """Run `answer` for a new message; for a repeated message return the same bytes."""
        key = (sender, sequence)
        known = self._answers.get(key)
        if known is None:
            known = asyncio.ensure_future(answer())
            known.add_done_callback(self._account)
            self._answers[key] = known
            self._trim()
        return await asyncio.shield(known)

    def _account(self, done: asyncio.Future[bytes]) -> None:
        if not done.cancelled() and done.exception() is None:
            self._bytes += len(done.result())
            self._trim()

    def _trim(self) -> None:
        while len(self._answers) > self._limit or (self._bytes > self._limit_bytes and len(self._answers) > 1):
            key = next((k for k, answer in self._answers.items() if answer.done()), None)
            if key is None:
                return
            gone = self._answers.pop(key)
            if not gone.cancelled() and gone.exception() is None:
                self._bytes -= len(gone.result())


class Gone(Exception):
    """The addressed cell is dead. `sent` False: the message provably never reached the cell."""

    def __init__(self, sent: bool = True) -> None:
        super().__init__(sent)
        self.sent = sent


class Unreachable(Exception):
    """The cell cannot be reached at the moment. It may be alive and may have received the message."""


class Routes(Protocol):
    """The source of routes: the process's copy of the route table, kept current by long polls."""

    async def find(self, address: str, newer_than: tuple[int, int] | None, timeout_s: float) -> Route | None:
        """Wait for a route with a later incarnation and return it; None at the timeout."""


Send = Callable[[Route, str, bytes, float], Awaitable[bytes]]
"""(route, method of the cell, packed envelope, timeout_s) -> packed reply. Raises Gone, Unreachable, TimeoutError."""


class Asker:
    """Sends the messages of a process: `Context.ask`. Its outbox holds the unanswered messages, at most `limit` a lane.

    Lanes keep one sender in the process from filling the outbox of the others: urgent messages have a lane, and a
    caller names the lane of other messages.

    Until its deadline a message is sent again: to the same incarnation if it could not be reached, to the next
    incarnation if the first one died.
    """

    def __init__(
        self,
        sender: str,
        routes: Routes,
        send: Send,
        clock_s: Callable[[], float],
        limit: int = 1024,
    ) -> None:
        self._sender, self._routes, self._send, self._clock_s, self._limit = sender, routes, send, clock_s, limit
        self._sequence = itertools.count(1)
        self._lanes: Counter[str] = Counter()

    @property
    def outbox(self) -> int:
        """The number of unanswered messages."""
        return self._lanes.total()

    async def __call__(
        self, address: str, kind: str, body: Any = None, timeout_s: float = 5.0, *, lane: str = ""
    ) -> Any:
        """Return the reply. See `actors.cell.role.Ask`.

        Raises:
            RetryLater: no cell served the address within the timeout; the message was not executed.
            OutcomeUnknown: the message was sent, and no answer came in time.
            InboxFull: the outbox of this lane is full; the message was not sent.
            MeshError: an error of the role.
        """
        method = method_of(kind)
        lane = method if method == URGENT_METHOD else lane
        if self._lanes[lane] >= self._limit:
            raise InboxFull(f"outbox of {self._sender}", self._limit)
        self._lanes[lane] += 1
        try:
            return await self._deliver(address, kind, body, timeout_s)
        finally:
            self._lanes[lane] -= 1
            if not self._lanes[lane]:
                del self._lanes[lane]

    async def _deliver(self, address: str, kind: str, body: Any, timeout_s: float) -> Any:
        polling = kind.startswith(POLL)
        deadline = self._clock_s() + timeout_s + (POLL_GRACE_S if polling else 0.0)
        sequence, sent, older = next(self._sequence), False, None
        while (remaining_s := deadline - self._clock_s()) > 0:
            route = await self._routes.find(address, older, remaining_s)
            if route is None:
                break
            wait_s = min(timeout_s, remaining_s)
            packed = Envelope(address, self._sender, route.incarnation, sequence, kind, wait_s, body).pack()
            try:
                remaining_s = max(0.001, deadline - self._clock_s())
                return unpack_reply(await self._send(route, method_of(kind), packed, remaining_s))
            except Gone as gone:
                sent, older = sent or gone.sent, route.incarnation
            except Unreachable:
                sent = True
                await asyncio.sleep(AGAIN_S)
            except TimeoutError:
                sent = True
                break
            except Fenced:  # the cell now serves another address
                older = route.incarnation
        if sent and not polling:
            raise OutcomeUnknown(f"{kind} to {address}", f"no answer within {timeout_s:g} s")
        raise RetryLater(0.1, f"no role serves {address}")
