"""Executes one request under fault rules, from its arrival to its answer, on any transport.

Theory of operation. A protocol wraps a request in an `Envelope`, which executes the request, judges its answer and
sends the answer. `execute` consults the fault rules once before the execution and once after, and applies them to the
envelope. An execution is one synchronous call. A request that a fault holds (`late`) is executed at its time even if
its client has disconnected, like a request that waits before an exchange's matching engine. The envelope decides
whether an answer is a success, because some exchanges send errors with HTTP 200.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Protocol, TypeVar

from ..engine.accounts import Account
from ..faults import Fault, Faults
from .receipts import Receipt, settle

A = TypeVar("A")


class Envelope(Protocol[A]):
    """One request in one protocol on one transport, with answers of type `A`."""

    @property
    def protocol(self) -> str:
        """The name of the protocol, for fault rules."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the endpoint for fault rules."""

    @property
    def symbol(self) -> str | None:
        """The engine's name of the request's symbol, if it has one."""

    @property
    def account(self) -> Account | None:
        """The account that the request claims."""

    @property
    def receipts(self) -> Sequence[Receipt]:
        """Return the receipts of the orders that the request would place."""

    @property
    def slow_executes_first(self) -> bool:
        """Whether a `slow` request is executed at once and answered later; False: also executed later."""

    def run(self) -> A:
        """Execute the request; refusals are answers, too."""

    def good(self, answer: A) -> bool:
        """Return whether the request succeeded; faults after the execution act only on successful requests."""

    def placed(self, answer: A) -> bool:
        """Return whether the answer states that orders were placed."""

    def misstate(self, answer: A, wrong: Callable[[], dict[str, Decimal]]) -> A:
        """Return the answer with `wrong()` added to its free balances; only for answers with balances."""

    def refusal(self, fault: Fault) -> A:
        """Return the answer of a `status` fault; nothing was executed."""

    def unknown(self, fault: Fault, answer: A) -> A:
        """Return the answer of `accept_then_status`: the outcome is unknown."""

    def send(self, answer: A) -> None:
        """Send the answer."""

    def send_half(self, answer: A) -> None:
        """Send half of the answer, then end the connection."""

    def cut(self) -> None:
        """Reset the connection."""


def execute(faults: Faults, envelope: Envelope[A]) -> None:
    """Execute one request and send its answer; the fault rules may change, hold or drop it."""
    account = None if envelope.account is None else envelope.account.name
    fault = faults.before(envelope.protocol, envelope.names, envelope.symbol, account)
    if fault is None:
        _finish(faults, envelope, _run(faults, envelope))
    elif fault.kind == "disconnect":
        envelope.cut()
    elif fault.kind == "status":
        envelope.send(envelope.refusal(fault))
    elif fault.kind == "slow" and envelope.slow_executes_first:
        answer = _run(faults, envelope)
        faults.later(fault.ms / 1000, lambda: _finish(faults, envelope, answer))
    elif fault.kind in ("late", "slow"):
        faults.later(fault.ms / 1000, lambda: _finish(faults, envelope, _run(faults, envelope)))
    # and `hang` does nothing and never answers


def _run(faults: Faults, envelope: Envelope[A]) -> A:
    answer = envelope.run()
    settle(envelope.receipts, envelope.placed(answer))
    account = envelope.account
    if account is not None and faults.rules and envelope.good(answer):
        answer = envelope.misstate(answer, lambda: faults.misstated(envelope.protocol, account.name, envelope.names))
    return answer


def _finish(faults: Faults, envelope: Envelope[A], answer: A) -> None:
    account = None if envelope.account is None else envelope.account.name
    fault = None
    if envelope.good(answer):
        fault = faults.after(envelope.protocol, envelope.names, envelope.symbol, account)
    if fault is None:
        envelope.send(answer)
    elif fault.kind == "accept_then_wait":
        faults.later(fault.ms / 1000, lambda: envelope.send(answer))
    elif fault.kind == "accept_then_cut":
        envelope.send_half(answer)
    elif fault.kind == "accept_then_status":
        envelope.send(envelope.unknown(fault, answer))
    # and `accept_then_hang` never answers
