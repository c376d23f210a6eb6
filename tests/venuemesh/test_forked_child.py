"""A process forked from one that uses a mesh learns that it cannot use the mesh, and how to start instead."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest

from venuemesh.market.state import MarketState
from venuemesh.mesh import session as sessions
from venuemesh.mesh.link import MeshLink
from venuemesh.mesh.mesh import connect

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")


def in_fork(work: Callable[[], Any]) -> str:
    """Return what `work` raised in a fork of this process."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        found = "nothing"
        try:
            work()
        except BaseException as error:
            found = f"{type(error).__name__}: {error}"
        finally:
            os.write(writes, json.dumps(found).encode())
            os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as stream:
        found = json.loads(stream.read())
    os.waitpid(child, 0)
    return str(found)


@pytest.fixture
def in_use(monkeypatch: pytest.MonkeyPatch) -> sessions.Session:
    """A session of this process, without a thread, as a fork has it."""
    session = sessions.Session.__new__(sessions.Session)
    session.mesh = "m"
    monkeypatch.setattr(sessions, "_sessions", {(os.getpid(), "m", "cluster"): session})
    return session


def test_every_use_in_a_fork_says_so(in_use: sessions.Session) -> None:
    link = MeshLink("m")
    market = MarketState(link, "acme", "main", "", "keep")

    async def nothing() -> None: ...

    for use in (
        link.exchanges,
        lambda: market.instruments,
        lambda: link.accounts("acme"),
        lambda: link.submit("orders/acme/main", "place", None, 1.0),
        lambda: link.own("orders/acme/main", "me", "keep"),
        lambda: link.network("acme", True, 1.0),
        lambda: in_use.run(nothing()),
        lambda: connect("m"),
        lambda: connect("m", address="192.0.2.1:6379"),
    ):
        error = in_fork(use)
        assert error.startswith("Misconfigured: mesh 'm' in process")
        assert f"fork of process {os.getpid()}" in error
        assert 'get_context("spawn")' in error


def test_a_fork_of_a_process_that_used_no_mesh_may_use_one() -> None:
    assert "ray" not in sys.modules or not sys.modules["ray"].is_initialized()
    assert in_fork(MeshLink("m").exchanges).startswith("MeshNotRunning")
