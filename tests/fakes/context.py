"""A role's context without a cell, made by the test."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from venuemesh.actors.cell.role import Context


async def ask_nobody(address: str, kind: str, body: Any = None, timeout_s: float = 5.0) -> Any:
    """The `ask` of a role that must not send requests."""
    raise AssertionError(f"{kind} was asked of {address}")


async def grant(address: str, kind: str, body: Any = None, timeout_s: float = 5.0) -> Any:
    """The `ask` of a role that only sends requests to its limits role, which grants everything."""
    return {"lease": 1, "expires_ns": 0, "ttl_s": 10.0}


def raise_failure(error: BaseException) -> None:
    """The `fail` of a role that must not fail."""
    raise error


def context_of(address: str, clock: Any = None, **changes: Any) -> Context:
    """Return a context of incarnation (1, 1) on node "n" of mesh "test", changed by `changes`.

    `clock` has `monotonic_ns` and `time_ns`; without a clock the time is the machine's.
    """
    if clock is not None:
        changes = {"monotonic_ns": clock.monotonic_ns, "time_ns": clock.time_ns, **changes}
    made = Context.alone("test", address, ask=ask_nobody, fail=raise_failure, node="n", incarnation=(1, 1))
    return replace(made, **changes)
