"""`venuemesh move`, `drain`, `rebalance` and `upgrade`: what they print, and their exit status."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import venuemesh
from venuemesh.cli import running
from venuemesh.cli.app import app

BOOK = "book/binance/BTC-USDT"
LEFT = {"mirror/0a1b2c3d4e5f": "processes on this host read books of other hosts", "supervisor": "it runs here"}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command on a mesh that gives this answer."""

    def run(answer: dict[str, Any], *arguments: str) -> Result:
        def answering(*given: Any, **named: Any) -> dict[str, Any]:
            return answer

        mesh = SimpleNamespace(move=answering, drain=answering, rebalance=answering, upgrade=answering)
        monkeypatch.setattr(running, "attach", lambda name, *, address=None: mesh)
        return CliRunner().invoke(app, list(arguments))

    return run


def test_a_move(run: Any) -> None:
    answer = {"address": BOOK, "from": "alpha", "to": "beta", "moved": True}
    assert run(answer, "move", BOOK, "beta").output.split("\n")[0] == f"{BOOK}: alpha -> beta"
    assert "runs on beta" in run(answer | {"moved": False}, "move", BOOK, "beta").output
    assert json.loads(run(answer, "move", BOOK, "beta", "--json").output) == answer


@pytest.mark.parametrize(("more", "status"), [({}, 0), ({"orders/binance/main": "its journal is here"}, 1)])
def test_a_drain_fails_only_if_something_remains_that_does_not_belong_to_the_host(
    run: Any, more: dict[str, str], status: int
) -> None:
    answer = {"host": "alpha", "drained": True, "moved": [BOOK], "left": LEFT | more}
    done = run(answer, "drain", "alpha")
    assert done.exit_code == status
    lines = done.output.split("\n")
    assert lines[0] == f"moved   {BOOK}"
    assert "alpha is drained" in lines
    assert all(any(line.startswith(f"remains {name}: ") for line in lines) for name in answer["left"])
    assert run(answer | {"drained": False, "left": {}}, "drain", "--undo", "alpha").exit_code == 0


def test_a_rebalance_shows_its_moves_and_the_loads(run: Any) -> None:
    move = {"address": BOOK, "from": "alpha", "to": "beta", "error": None}
    answer = {"moves": [move], "before": {"alpha": 4, "beta": 0}, "after": {"alpha": 2, "beta": 2}}
    assert run(answer, "rebalance", "--plan").output.split("\n")[1] == "1 planned; pairs: alpha 4, beta 0"
    assert run(answer, "rebalance").output.split("\n")[1] == "1 moved; pairs: alpha 2, beta 2"
    failed = run(answer | {"moves": [move | {"error": "its successor is not ready"}]}, "rebalance")
    assert (failed.exit_code, "its successor is not ready" in failed.output) == (1, True)


def test_an_upgrade_names_the_processes_of_another_version(run: Any) -> None:
    answer = {"replaced": [BOOK], "version": venuemesh.__version__, "others": {}}
    done = run(answer, "upgrade")
    text = f"1 actors and the supervisor were replaced; version {venuemesh.__version__}"
    assert done.output.split("\n")[:2] == [BOOK, text]
    assert done.exit_code == 0
    mixed = run(answer | {"others": {BOOK: "0.0.1"}}, "upgrade")
    assert (mixed.exit_code, f"{BOOK} runs 0.0.1" in mixed.output) == (1, True)
    old = run(answer | {"version": "0.0.1"}, "upgrade")
    assert (old.exit_code, f"this host has {venuemesh.__version__}" in old.output) == (1, True)
