"""Faults on request: the kind of error, the client that gets it, and its frequency. Seeded; set by the admin interface.

| kind | where | does |
|---|---|---|
| drop, duplicate, corrupt | frames | leaves out, sends twice, spoils (`mode`: text, truncate, garbage, protocol) |
| delay | frames | holds a frame and what follows it on that connection for `ms` |
| reorder | frames | sends a frame after the next one of that connection (after `ms` if none comes) |
| cut | frames | resets the connection instead of sending |
| silence | frames | sends nothing more on that connection, not even pings, and keeps the connection open |
| skip | sequence | before a symbol's next diff, leaves out `ids` update ids |
| snapshot | sequence | sends a whole book between changes, if the protocol pushes whole books |
| reset | sequence | restarts the numbers of the feed: with a whole book or within a chain, depending on the protocol |
| no_change | sequence | sends a message without changes and with the number of the previous message, in a chain |
| status | requests | answers `status` (429, 418, 403, 5xx) without doing anything |
| hang | requests, handshakes | reads the request, does nothing, never answers |
| slow | requests, handshakes | answers after `ms` |
| disconnect | requests | reads the request, does nothing, resets the connection |
| late | requests | holds the request for `ms`, then checks and executes it, even if the client has disconnected |
| accept_then_hang | requests | executes, never answers |
| accept_then_status | requests | executes, answers `status` with `code`: execution status unknown |
| accept_then_cut | requests | executes, sends half of the answer, resets the connection |
| accept_then_wait | requests | executes, answers after `ms`: user events go out before the answer |
| reject_later | orders | accepts an order without putting it on the book, and rejects it after `ms` |
| unseen | lookups | finds no order younger than `ms` |
| forget | lookups | finds no order that ended more than `ms` ago |
| late_fee | fills | for `ms` states no fee of a fill, or zero (`mode` zero); then lists do, and with `again` a report |
| balance | answers, user events | adds `amount` to the free `asset` shown to `account` (for `for_ms`) |
| rewrite | answers over HTTP, frames | replaces every match of the regular expression `find` by `replace` |
| no_ping | connections | sends no pings |

At most one rule applies to a request before its execution, and one after. Frames of user data have the stream `user`;
only rules that name that stream or an account apply to them, and rules with an account apply only to user data.
"""

from __future__ import annotations

import random
import re
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from decimal import Decimal
from typing import Any, Protocol

from .wire.frames import payload_of, text_frame

FRAME_KINDS = ("drop", "duplicate", "delay", "reorder", "corrupt", "cut", "silence", "rewrite")
REQUEST_KINDS = ("status", "hang", "slow")
BEFORE_KINDS = (*REQUEST_KINDS, "disconnect", "late")
AFTER_KINDS = ("accept_then_hang", "accept_then_status", "accept_then_cut", "accept_then_wait")
ORDER_KINDS = ("reject_later", "unseen", "forget")
FEE_KINDS = ("late_fee",)
ANEW_KINDS = ("snapshot", "reset")
OTHER_KINDS = ("skip", *ANEW_KINDS, "no_change", "no_ping", "balance")
KINDS = (*FRAME_KINDS, *BEFORE_KINDS, *AFTER_KINDS, *ORDER_KINDS, *FEE_KINDS, *OTHER_KINDS)
USER = "user"  # the stream that frames of user data belong to
CORRUPTIONS = ("text", "truncate", "garbage", "protocol")
MODES = (*CORRUPTIONS, "absent", "zero")  # the last two of late_fee, where the others mean absent, too
HELD = 10_000  # most held frames of one connection


class Receiver(Protocol):
    """One connection that receives frames."""

    number: int
    protocol: str
    silent: bool

    def write(self, frame: bytes) -> None: ...
    def cut(self) -> None: ...


@dataclass(slots=True)
class Fault:
    """One rule. A scope of None matches everything; `count` is the number of times that the fault may still happen."""

    kind: str
    protocol: str | None = None
    symbol: str | None = None
    stream: str | None = None
    connection: int | None = None
    endpoint: str | None = None
    account: str | None = None
    probability: float = 1.0
    count: int | None = None
    after: int = 0  # number of matches to skip first
    ms: float = 200.0
    status: int = 503
    code: int | str | None = None  # of accept_then_status; None is the protocol's usual one
    asset: str | None = None
    amount: str = "0"  # signed decimal
    for_ms: float | None = None
    ids: int = 1
    mode: str = "text"
    again: bool = True  # of late_fee: another report of the fill states the fee
    find: str = ""  # of rewrite: a regular expression
    replace: str = ""  # of rewrite; it may name groups of the expression, as in \\1
    id: int = 0
    matched: int = 0
    done: int = 0


FIELDS = tuple(field.name for field in fields(Fault) if field.name not in ("id", "matched", "done"))


class Faults:
    """The current rules. `later(seconds, call)` is the shell's timer."""

    def __init__(self, seed: int, later: Callable[[float, Callable[[], None]], Any]) -> None:
        self._draw = random.Random(f"faults/{seed}")
        self.later = later
        self._next = 1
        self.rules: dict[int, Fault] = {}
        self.frames_active = False
        self.counters: dict[str, int] = {}
        self._held: dict[int, tuple[Receiver, deque[bytes]]] = {}
        self._swapped: dict[int, tuple[Receiver, bytes]] = {}

    def add(self, fault: Fault) -> Fault:
        fault.id, self._next = self._next, self._next + 1
        self.rules[fault.id] = fault
        self._refresh()
        if fault.for_ms is not None:
            self.later(fault.for_ms / 1000, lambda: self._expire(fault.id))
        return fault

    def remove(self, number: int) -> bool:
        found = self.rules.pop(number, None)
        self._refresh()
        return found is not None

    def _expire(self, number: int) -> None:
        self.remove(number)

    def clear(self) -> int:
        """Remove all rules, send all held frames, and return the number of rules."""
        count = len(self.rules)
        self.rules.clear()
        self.release()
        self._refresh()
        return count

    def listed(self) -> list[dict[str, Any]]:
        return [asdict(fault) for fault in self.rules.values()]

    @property
    def held(self) -> int:
        """Frames held by delay and reorder."""
        return sum(len(queue) for _, queue in self._held.values()) + len(self._swapped)

    def release(self) -> None:
        """Send all held frames in the order of their arrival."""
        for number in list(self._swapped):
            self._unswap(number)
        for number in list(self._held):
            self._unhold(number)

    def _refresh(self) -> None:
        self.frames_active = any(fault.kind in FRAME_KINDS for fault in self.rules.values()) or bool(
            self._held or self._swapped
        )

    def _hits(self, fault: Fault) -> bool:
        """Count a match; return whether the rule acts."""
        fault.matched += 1
        if fault.matched <= fault.after:
            return False
        if fault.count is not None and fault.done >= fault.count:
            return False
        if fault.probability < 1.0 and self._draw.random() >= fault.probability:
            return False
        fault.done += 1
        self.counters[fault.kind] = self.counters.get(fault.kind, 0) + 1
        return True

    def _pick(
        self,
        kinds: tuple[str, ...],
        protocol: str,
        symbol: str | None = None,
        stream: str | None = None,
        connection: int | None = None,
        endpoints: tuple[str, ...] = (),
        account: str | None = None,
    ) -> Fault | None:
        for fault in self.rules.values():
            if (
                fault.kind in kinds
                and (fault.protocol is None or fault.protocol == protocol)
                and (fault.symbol is None or fault.symbol == symbol)
                and (fault.stream is None or fault.stream == stream)
                and (fault.connection is None or fault.connection == connection)
                and (fault.endpoint is None or fault.endpoint in endpoints)
                and (fault.account is None or fault.account == account)
                and (stream != USER or fault.stream == USER or fault.account is not None)
                and self._hits(fault)
            ):
                return fault
        return None

    def request(self, protocol: str, endpoint: str) -> Fault | None:
        """Return the rule that acts on a handshake, if any. `endpoint` is its path."""
        return self._pick(REQUEST_KINDS, protocol, endpoints=(endpoint,)) if self.rules else None

    def before(
        self, protocol: str, endpoints: tuple[str, ...], symbol: str | None, account: str | None
    ) -> Fault | None:
        """Return the rule that acts on a request before its execution. `endpoints` are all names of the endpoint."""
        if not self.rules:
            return None
        return self._pick(BEFORE_KINDS, protocol, symbol, endpoints=endpoints, account=account)

    def after(self, protocol: str, endpoints: tuple[str, ...], symbol: str | None, account: str | None) -> Fault | None:
        """Return the rule that acts on a request after its execution, before its answer."""
        if not self.rules:
            return None
        return self._pick(AFTER_KINDS, protocol, symbol, endpoints=endpoints, account=account)

    def placement(self, protocol: str, symbol: str, account: str) -> Fault | None:
        """Return the rule that acts on an order that is about to be accepted."""
        return self._pick(("reject_later",), protocol, symbol, account=account) if self.rules else None

    def lookup(self, protocol: str, account: str) -> Fault | None:
        """Return the rule that acts on the lookup of an order."""
        return self._pick(("unseen", "forget"), protocol, account=account) if self.rules else None

    def fee(self, protocol: str, symbol: str, account: str) -> Fault | None:
        """Return the rule that withholds the fee of a fill."""
        return self._pick(FEE_KINDS, protocol, symbol, account=account) if self.rules else None

    def misstated(self, protocol: str, account: str, where: tuple[str, ...]) -> dict[str, Decimal]:
        """Return by asset the amount to add to free balances shown to `account`. `where`: the endpoint, or `user`."""
        wrong: dict[str, Decimal] = {}
        for fault in list(self.rules.values()) if self.rules else ():
            if (
                fault.kind == "balance"
                and fault.asset is not None
                and fault.account == account
                and (fault.protocol is None or fault.protocol == protocol)
                and (fault.endpoint is None or fault.endpoint in where)
                and (fault.stream is None or fault.stream in where)
                and self._hits(fault)
            ):
                wrong[fault.asset] = wrong.get(fault.asset, Decimal(0)) + Decimal(fault.amount)
        return wrong

    def rewritten(
        self, protocol: str, endpoints: tuple[str, ...], symbol: str | None, account: str | None, body: bytes
    ) -> bytes:
        """Return the body of an answer as the first matching rule rewrites it."""
        fault = None
        if self.rules:
            fault = self._pick(("rewrite",), protocol, symbol, endpoints=endpoints, account=account)
        return body if fault is None else _rewritten(fault, body)

    def skip(self, protocol: str, symbol: str) -> int:
        """Return the number of update ids to skip before the next diff of `symbol`."""
        fault = self._pick(("skip",), protocol, symbol) if self.rules else None
        return fault.ids if fault is not None else 0

    def is_still(self, protocol: str, symbol: str, stream: str) -> bool:
        """Return whether to send a message without changes before the next message of a book's feed."""
        return self._pick(("no_change",), protocol, symbol, stream) is not None if self.rules else False

    def restarts(self, protocol: str, symbol: str, stream: str) -> str | None:
        """Return "snapshot" or "reset" if the next message of a book's feed must be a whole book or a reset."""
        fault = self._pick(ANEW_KINDS, protocol, symbol, stream) if self.rules else None
        return None if fault is None else fault.kind

    def withholds_ping(self, receiver: Receiver) -> bool:
        if not self.rules:
            return False
        return self._pick(("no_ping",), receiver.protocol, connection=receiver.number) is not None

    def frame(
        self, receiver: Receiver, stream: str, symbol: str | None, frame: bytes, account: str | None = None
    ) -> None:
        """Send one frame of a stream to one connection, as the rules change, hold or drop the frame."""
        fault = self._pick(FRAME_KINDS, receiver.protocol, symbol, stream, receiver.number, account=account)
        kind = fault.kind if fault is not None else None
        if fault is None:
            self._pass(receiver, frame)
        elif kind == "duplicate":
            self._pass(receiver, frame)
            self._pass(receiver, frame)
        elif kind == "corrupt":
            self._pass(receiver, self._spoil(frame, fault.mode))
        elif kind == "rewrite":
            self._pass(receiver, text_frame(_rewritten(fault, payload_of(frame))))
        elif kind == "cut":
            receiver.cut()
        elif kind == "silence":
            receiver.silent = True
        elif kind == "delay":
            if receiver.number not in self._held:
                self._held[receiver.number] = (receiver, deque())
                self.later(fault.ms / 1000, lambda: self._unhold(receiver.number))
            self._pass(receiver, frame)
        elif kind == "reorder":
            if receiver.number in self._swapped:
                self._pass(receiver, frame)
            else:
                self._swapped[receiver.number] = (receiver, frame)
                self.later(fault.ms / 1000, lambda: self._unswap(receiver.number))

    def _pass(self, receiver: Receiver, frame: bytes) -> None:
        held = self._held.get(receiver.number)
        if held is None:
            receiver.write(frame)
        elif len(held[1]) >= HELD:
            del self._held[receiver.number]
            receiver.cut()
        else:
            held[1].append(frame)
        if self._swapped:
            self._unswap(receiver.number)

    def _unhold(self, number: int) -> None:
        receiver, frames = self._held.pop(number, (None, ()))
        if receiver is not None:
            for frame in frames:
                receiver.write(frame)
        self._refresh()

    def _unswap(self, number: int) -> None:
        receiver, frame = self._swapped.pop(number, (None, b""))
        if receiver is not None:
            self._pass(receiver, frame)
        self._refresh()

    def forget(self, number: int) -> None:
        """Drop the frames held for a connection that has ended."""
        self._held.pop(number, None)
        self._swapped.pop(number, None)
        self._refresh()

    def _spoil(self, frame: bytes, mode: str) -> bytes:
        if mode == "protocol":
            return bytes([frame[0] | 0x70]) + frame[1:]
        payload = payload_of(frame)
        at = self._draw.randrange(len(payload)) if payload else 0
        if mode == "truncate":
            return text_frame(payload[:at])
        if mode == "garbage":
            return text_frame(bytes(self._draw.randrange(0x20, 0x7F) for _ in range(len(payload))))
        return text_frame(payload[:at] + b"#" + payload[at + 1 :])


def _rewritten(fault: Fault, body: bytes) -> bytes:
    return re.sub(fault.find, fault.replace, body.decode()).encode()
