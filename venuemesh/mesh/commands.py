"""Commands to a mesh. Each is called with the mesh's name, returns a future at once, and runs on the session's loop."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Concatenate, ParamSpec, TypeVar

from ..model.address import catalog_address, orders_address
from ..model.errors import MeshError, Misconfigured, RetryLater, UnknownExchange, UnknownInstrument
from ..model.shown import few
from ..model.spelling import BASE_QUOTE, is_misspelled, similar_pairs
from .progress import NAMED, STALL_S, Patience, missing_parts, paces, progress_text, refused_pairs
from .session import Session, session

P = ParamSpec("P")
T = TypeVar("T")
RUNNING = ("spare", "adopting", "serving")  # states of processes that an upgrade must have replaced
LOOK_S = 0.05  # between two checks of a starting mesh


def command(
    work: Callable[Concatenate[Session, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[str, P], Future[T]]:
    """Turn a coroutine function over a session into a command. A call of the command raises MeshNotRunning."""

    def start(mesh: str, /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        own_session = session(mesh)
        return own_session.run(work(own_session, *args, **kwargs))

    start.__doc__ = work.__doc__
    return start


@command
async def status(own_session: Session) -> dict[str, Any]:
    """Return the supervisor's tree."""
    tree: dict[str, Any] = await own_session.supervisor("status")
    return tree


@command
async def shutdown(own_session: Session, timeout_s: float) -> None:
    """End every actor in order, the supervisor last."""
    await own_session.supervisor("shutdown", timeout_s=timeout_s)


@command
async def restart(own_session: Session, pattern: str, timeout_s: float) -> list[str]:
    """Restart the actors whose address matches; return the addresses."""
    request = uuid.uuid4().hex
    restarted: list[str] = await own_session.supervisor("restart", pattern, request, timeout_s=timeout_s)
    if not restarted:
        raise Misconfigured(f"restart {pattern!r}", "no actor of the mesh has such an address")
    return restarted


@command
async def upgrade(own_session: Session, timeout_s: float) -> dict[str, Any]:
    """See `Mesh.upgrade`."""
    deadline = time.monotonic() + timeout_s
    replaced = await own_session.supervisor("upgrade", uuid.uuid4().hex, timeout_s=timeout_s)
    epoch = (await own_session.supervisor("status"))["epoch"]
    await own_session.supervisor("renew", epoch, timeout_s=max(1.0, deadline - time.monotonic()))
    while True:
        tree = await own_session.supervisor("status", timeout_s=max(1.0, deadline - time.monotonic()))
        if tree["epoch"] > epoch:
            break
        if time.monotonic() > deadline:
            raise RetryLater(1.0, f"the actors were replaced; the supervisor was not within {timeout_s:g} s")
        await asyncio.sleep(LOOK_S)
    others = {
        cell["address"] or f"spare {cell['pid']}": cell["version"]
        for cell in tree["cells"]
        if cell["state"] in RUNNING and cell["version"] != tree["version"]
    }
    return {"replaced": replaced, "version": tree["version"], "others": others}


@command
async def move(own_session: Session, address: str, where: str, timeout_s: float) -> dict[str, Any]:
    """See `Mesh.move`."""
    moved: dict[str, Any] = await own_session.supervisor("move", address, where, timeout_s=timeout_s)
    return moved


@command
async def drain(own_session: Session, where: str, undo: bool, timeout_s: float) -> dict[str, Any]:
    """See `Mesh.drain`."""
    share_s = max(0.0, timeout_s - 1.0)  # the supervisor answers a little before this gives up
    drained: dict[str, Any] = await own_session.supervisor("drain", where, undo, share_s, timeout_s=timeout_s)
    return drained


@command
async def rebalance(own_session: Session, plan: bool, timeout_s: float) -> dict[str, Any]:
    """See `Mesh.rebalance`."""
    done: dict[str, Any] = await own_session.supervisor("rebalance", plan, timeout_s=timeout_s)
    return done


@command
async def network(own_session: Session, exchange: str, running: bool, timeout_s: float) -> None:
    """Start or stop the feeds of an exchange; see `Market.stop_network`."""
    share_s = max(0.0, timeout_s - 1.0)  # the supervisor answers a little before this gives up
    if not await own_session.supervisor("network", exchange, running, share_s, timeout_s=timeout_s):
        raise RetryLater(1.0, f"books of {exchange} have not ended within {timeout_s:g} s")


@command
async def track(own_session: Session, exchange: str, pairs: tuple[str, ...], timeout_s: float) -> None:
    """See `Mesh.track`."""
    known = await own_session.routes.until(timeout_s, bool)
    if exchange not in known:
        raise UnknownExchange(exchange, sorted(known))
    named = [pair for pair in pairs if not _is_pattern(pair)]
    if named:
        listed = await own_session.ask(catalog_address(exchange), "instruments", None, timeout_s)
        names = {row["name"] for row in listed["instruments"]}
        for pair in named:
            if pair not in names:
                raise UnknownInstrument(exchange, pair, "the exchange does not list it", similar_pairs(pair, names))
    await own_session.supervisor("track", exchange, list(pairs), timeout_s=timeout_s)
    await own_session.routes.until(timeout_s, lambda known: all(pair in known.get(exchange, {}) for pair in named))


@command
async def untrack(own_session: Session, exchange: str, pairs: tuple[str, ...], timeout_s: float) -> None:
    """See `Mesh.untrack`."""
    known = await own_session.routes.until(timeout_s, bool)
    if exchange not in known:
        raise UnknownExchange(exchange, sorted(known))
    for pair in pairs:
        if pair not in known[exchange] and not _is_pattern(pair):
            similar = similar_pairs(pair, known[exchange])
            if is_misspelled(pair, similar):
                raise UnknownInstrument(exchange, pair, BASE_QUOTE, similar)
    await own_session.supervisor("untrack", exchange, list(pairs), timeout_s=timeout_s)
    named = [pair for pair in pairs if not _is_pattern(pair)]
    await own_session.routes.until(timeout_s, lambda known: not any(pair in known.get(exchange, {}) for pair in named))


@command
async def ask_accounts(
    own_session: Session, kind: str, body: Any, exchange: str | None, account: str | None, timeout_s: float
) -> list[str]:
    """Send a message to the order managers of one or all accounts of one or all exchanges; return their addresses."""
    known = await own_session.routes.until(timeout_s, bool)
    chosen = [
        orders_address(name, account_name)
        for name in sorted(known)
        for account_name in own_session.routes.accounts(name)
        if exchange in (None, name) and account in (None, account_name)
    ]
    if not chosen:
        raise Misconfigured(f"{kind} {exchange or '*'} {account or '*'}", "the mesh has no such account")
    asked = (own_session.ask(address, kind, body, timeout_s) for address in chosen)
    answers = dict(zip(chosen, await asyncio.gather(*asked, return_exceptions=True), strict=True))
    unlisted = {address: answer for address, answer in answers.items() if isinstance(answer, UnknownInstrument)}
    if len(unlisted) == len(chosen):
        raise unlisted[chosen[0]]
    failed = []
    for address, answer in answers.items():
        if isinstance(answer, MeshError) and address not in unlisted:  # the pair may be one of another exchange
            failed.append(f"{address}: {answer}")
        elif isinstance(answer, BaseException) and not isinstance(answer, MeshError):
            raise answer
    if failed:
        raise RetryLater(1.0, f"{kind}: " + "; ".join(failed))
    return [address for address in chosen if address not in unlisted]


@command
async def started(
    own_session: Session, timeout_s: float | None, progress: Callable[[str], None] | None = None
) -> dict[str, str]:
    """See `Mesh.wait_started`."""
    before = ""
    patience = Patience(timeout_s, time.monotonic())
    while True:
        tree = await own_session.supervisor("status", timeout_s=STALL_S if timeout_s is None else timeout_s)
        missing = missing_parts(tree)
        text = progress_text(tree)
        if progress is not None and text != before:
            progress(text)
            before = text
        if not missing:
            return refused_pairs(tree)
        if patience.is_over(tree, time.monotonic()):
            raise RetryLater(1.0, f"{patience.reason}: {few([*missing[:NAMED], *paces(tree)])}")
        await asyncio.sleep(LOOK_S)


def _is_pattern(pair: str) -> bool:
    return "*" in pair or "?" in pair
