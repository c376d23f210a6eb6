"""Any single process of a mesh may be killed or stopped; the mesh heals. Real Ray, real signals."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
import ray
from harness import PATIENCE_S, Tree, echo, kill, leftovers, until, wait_still
from mesh_roles import EchoSettings

import venuemesh
from venuemesh.actors.cell.messages import Envelope, unpack_reply
from venuemesh.actors.cell.near_pass import PassedRoutes
from venuemesh.actors.cell.pulse import PERIOD_S, is_alive, process_start
from venuemesh.actors.cell.ray_routes import RayRoutes
from venuemesh.model.address import Route
from venuemesh.model.errors import Fenced, Misconfigured, OutcomeUnknown, Rejected, RetryLater

pytestmark = pytest.mark.ray
Grow = Callable[..., Tree]
CHILDREN = [echo("echo/a"), echo("echo/b")]
HANG_S, WATCHER_S = 0.5, 1.0
POLL_S = 60.0  # polls that outlast all requests in the meantime, on a slow machine, too


@pytest.fixture(scope="module")
def calm(grow_shared: Grow) -> Tree:
    """A mesh for tests that kill."""
    return grow_shared(children=CHILDREN)


@pytest.fixture(scope="module")
def tense(grow_shared: Grow) -> Tree:
    """A mesh for tests that stop processes: a process without a heartbeat for half a second counts as hung."""
    return grow_shared(children=CHILDREN, hang_limit_s=HANG_S, watcher_limit_s=WATCHER_S)


def test_a_killed_role_is_adopted_by_a_spare(calm: Tree) -> None:
    tree = calm
    before = tree.whole(children=3)
    a, b = tree.child("echo/a"), tree.child("echo/b")
    spares = {cell["cell"] for cell in before["cells"] if cell["state"] == "spare"}
    kill(a["pid"])
    after = tree.succeeded("echo/a", a)
    assert after["cell"] in spares
    assert after["restarts"] == a["restarts"] + 1
    assert tree.ask("echo/a", "who")["pid"] == after["pid"]
    assert tree.child("echo/b")["incarnation"] == b["incarnation"]
    tree.whole(children=3)


def test_a_killed_spare_is_replenished(calm: Tree) -> None:
    tree = calm
    spare = next(cell for cell in tree.whole(children=3)["cells"] if cell["state"] == "spare")
    kill(spare["pid"])
    until("another spare", lambda: spare["cell"] not in {cell["cell"] for cell in tree.status()["cells"]})
    tree.whole(children=3)


def test_a_killed_node_agent_is_replaced(calm: Tree) -> None:
    tree = calm
    tree.whole(children=3)
    agent = next(c for c in tree.status()["children"] if c["address"].startswith("agent/"))
    a = tree.child("echo/a")
    kill(agent["pid"])
    tree.succeeded(agent["address"], agent)
    assert tree.child("echo/a")["incarnation"] == a["incarnation"]


def test_a_killed_supervisor_returns_and_adopts_what_lives(calm: Tree) -> None:
    tree = calm
    before = tree.whole(children=3)
    kill(before["pid"])
    after = until("a new supervisor", lambda: (s := tree.status())["pid"] != before["pid"] and s)
    assert after["epoch"] > before["epoch"]
    after = tree.whole(children=3)
    assert {c["address"]: c["pid"] for c in after["children"]} == {c["address"]: c["pid"] for c in before["children"]}
    a = tree.child("echo/a")
    kill(a["pid"])
    assert tree.succeeded("echo/a", a)["incarnation"][0] == after["epoch"]


def test_an_upgrade_replaces_every_process_and_then_the_supervisor(calm: Tree) -> None:
    tree = calm
    before = tree.whole(children=3)
    assert {cell["version"] for cell in before["cells"]} == {venuemesh.__version__}
    replaced = ray.get(tree.supervisor.upgrade.remote("first"), timeout=PATIENCE_S)
    assert replaced == sorted(child["address"] for child in before["children"])
    between = tree.whole(children=3)
    old = {cell["pid"] for cell in before["cells"]}
    assert not old & {cell["pid"] for cell in between["cells"]}
    assert ray.get(tree.supervisor.upgrade.remote("first"), timeout=PATIENCE_S) == replaced  # it was sent again
    assert {cell["pid"] for cell in tree.whole(children=3)["cells"]} == {cell["pid"] for cell in between["cells"]}
    assert between["pid"] == before["pid"]
    ray.get(tree.supervisor.renew.remote(before["epoch"] - 1), timeout=PATIENCE_S)  # for an earlier one
    assert tree.status()["pid"] == before["pid"]
    ray.get(tree.supervisor.renew.remote(before["epoch"]), timeout=PATIENCE_S)
    until("another supervisor", lambda: tree.status()["pid"] != before["pid"])
    after = tree.whole(children=3)
    assert after["version"] == venuemesh.__version__
    assert {cell["pid"] for cell in after["cells"]} == {cell["pid"] for cell in between["cells"]}
    assert leftovers([(pid, 0) for pid in old]) == []


def test_what_dies_with_the_supervisor_is_replaced_too(calm: Tree) -> None:
    tree = calm
    before = tree.whole(children=3)
    a = tree.child("echo/a")
    kill(before["pid"])
    kill(a["pid"])
    until("a new supervisor", lambda: tree.status()["pid"] != before["pid"])
    assert tree.succeeded("echo/a", a)["pid"] != a["pid"]
    tree.whole(children=3)


def test_a_role_that_is_stopped_for_a_moment_lives_on(calm: Tree) -> None:
    """The role misses fewer beats than the limit: it is not replaced."""
    tree = calm
    tree.whole(children=3)
    a = tree.child("echo/a")
    kill(a["pid"], signal.SIGSTOP)
    wait_still(tree, a["pid"], 4 * PERIOD_S)
    kill(a["pid"], signal.SIGCONT)
    assert tree.ask("echo/a", "who")["pid"] == a["pid"]
    assert tree.child("echo/a")["incarnation"] == a["incarnation"]


def test_a_stopped_role_is_killed_before_its_successor_serves(tense: Tree) -> None:
    tree = tense
    tree.whole(children=3)
    a = tree.child("echo/a")
    process = (a["pid"], process_start(a["pid"]))
    kill(a["pid"], signal.SIGSTOP)
    after = tree.succeeded("echo/a", a)
    assert process[1] is not None
    assert not is_alive(process[0], process[1])
    assert after["pid"] != a["pid"]
    tree.whole(children=3)


def test_a_stopped_role_that_resumes_late_ends_by_its_lease(tense: Tree) -> None:
    """The supervisor and the agent are stopped, too, so no process kills the role: it must end itself."""
    tree = tense
    before = tree.whole(children=3)
    a = tree.child("echo/a")
    agent = next(c for c in before["children"] if c["address"].startswith("agent/"))
    start = process_start(a["pid"])
    assert start is not None
    for pid in (agent["pid"], before["pid"], a["pid"]):
        kill(pid, signal.SIGSTOP)
    wait_still(tree, a["pid"], WATCHER_S + 2 * PERIOD_S)  # its lease is over
    kill(a["pid"], signal.SIGCONT)
    assert not leftovers([(a["pid"], start)])
    for pid in (before["pid"], agent["pid"]):
        kill(pid, signal.SIGCONT)
    tree.succeeded("echo/a", a)
    tree.whole(children=3)


def test_a_stopped_node_agent_is_killed_by_its_successor(tense: Tree) -> None:
    tree = tense
    before = tree.whole(children=3)
    agent = next(c for c in before["children"] if c["address"].startswith("agent/"))
    process = (agent["pid"], process_start(agent["pid"]) or 0)
    kill(agent["pid"], signal.SIGSTOP)
    after = tree.succeeded(agent["address"], agent)
    assert after["pid"] != agent["pid"]
    assert not is_alive(*process)
    tree.whole(children=3)


def test_a_stopped_supervisor_is_killed_by_the_agent_of_its_node(grow: Grow) -> None:
    tree = grow(children=CHILDREN, watcher_limit_s=1.0)
    before = tree.whole(children=3)
    process = (before["pid"], process_start(before["pid"]) or 0)
    kill(before["pid"], signal.SIGSTOP)
    until("the supervisor is killed", lambda: not is_alive(*process))
    after = until("a new supervisor", lambda: (s := tree.status())["pid"] != before["pid"] and s)
    pids = {c["address"]: c["pid"] for c in before["children"]}
    assert {c["address"]: c["pid"] for c in after["children"]} == pids


def test_a_supervisor_that_was_stopped_takes_no_cell_for_hung(grow: Grow) -> None:
    tree = grow(children=CHILDREN, hang_limit_s=HANG_S, watcher_limit_s=30.0)
    before = tree.whole(children=3)
    kill(before["pid"], signal.SIGSTOP)
    wait_still(tree, before["pid"], 4 * HANG_S)
    kill(before["pid"], signal.SIGCONT)
    after = tree.whole(children=3)
    assert after["pid"] == before["pid"]
    assert {c["address"]: c["pid"] for c in after["children"]} == {c["address"]: c["pid"] for c in before["children"]}


def test_a_stopped_spare_is_replaced(tense: Tree) -> None:
    tree = tense
    spare = next(cell for cell in tree.whole(children=3)["cells"] if cell["state"] == "spare")
    process = (spare["pid"], process_start(spare["pid"]) or 0)
    kill(spare["pid"], signal.SIGSTOP)
    until("the stopped spare is killed", lambda: not is_alive(*process))
    tree.whole(children=3)


def test_a_child_that_cannot_start_is_degraded_and_disturbs_no_other(grow: Grow) -> None:
    bad = echo("echo/bad", EchoSettings(fail=True))
    tree = grow(children=[*CHILDREN, bad], intensity=2, period_s=60.0, backoff_s=30.0)
    until("echo/bad is degraded", lambda: tree.child("echo/bad")["state"] == "DEGRADED")
    status = tree.status()
    assert "told to fail" in tree.child("echo/bad")["last_error"]
    assert status["groups"]["echo"] == "DEGRADED"
    until("the others serve", lambda: tree.child("echo/a")["state"] == tree.child("echo/b")["state"] == "SERVING")
    restarts = tree.child("echo/bad")["restarts"]
    kill(status["pid"])  # the next supervisor continues with it
    until("a new supervisor", lambda: tree.status()["pid"] != status["pid"])
    bad = tree.child("echo/bad")
    assert bad["state"] == "DEGRADED"
    assert bad["restarts"] == restarts
    assert "told to fail" in bad["last_error"]


def test_an_adoption_that_is_never_confirmed_costs_the_cell(grow: Grow) -> None:
    slow = echo("echo/slow", EchoSettings(linger=True))
    tree = grow(children=[CHILDREN[0], slow], adopt_timeout_s=0.5, intensity=1, backoff_s=60.0)
    until("echo/slow is degraded", lambda: tree.child("echo/slow")["state"] == "DEGRADED")
    assert "not confirmed" in tree.child("echo/slow")["last_error"]
    until("echo/a serves", lambda: tree.child("echo/a")["state"] == "SERVING")


def test_restart_is_rolling_and_by_pattern(calm: Tree) -> None:
    tree = calm
    tree.whole(children=3)
    a, b = tree.child("echo/a"), tree.child("echo/b")
    assert ray.get(tree.supervisor.restart.remote("echo/*", "a request")) == ["echo/a", "echo/b"]
    assert tree.child("echo/a")["incarnation"] > a["incarnation"]
    assert tree.child("echo/b")["incarnation"] > b["incarnation"]
    assert tree.child("echo/a")["last_error"] == a["last_error"]  # a restart is no error
    tree.whole(children=3)


def test_messages_are_answered_once_refused_when_fenced_and_typed(calm: Tree) -> None:
    tree = calm
    tree.whole(children=3)
    for by_ray in (False, True):  # a socket and a Ray call give the same answers and errors
        assert tree.ask("echo/a", "echo", {"x": [1, b"y", None]}, by_ray=by_ray) == {"x": [1, b"y", None]}
        with pytest.raises(Rejected, match="as asked"):
            tree.ask("echo/a", "refuse", by_ray=by_ray)
        with pytest.raises(Rejected, match="as asked"):
            tree.ask("echo/a", "stumble", by_ray=by_ray)
    count = tree.ask("echo/a", "count")
    for by_ray in (False, True):
        tree.sequence -= 1  # the same message again
        assert tree.ask("echo/a", "count", by_ray=by_ray) == count
    a = tree.child("echo/a")
    relay = {"address": "echo/b", "kind": "who", "timeout_s": 10.0}
    assert tree.ask("echo/a", "relay", relay)["pid"] == tree.child("echo/b")["pid"]
    kill(tree.child("echo/b")["pid"])
    assert tree.ask("echo/a", "relay", relay, 20.0)["pid"] != a["pid"]
    with pytest.raises(RetryLater):
        tree.ask("echo/a", "relay", {"address": "echo/none", "kind": "who", "timeout_s": 0.3})
    with pytest.raises((OutcomeUnknown, RetryLater)):
        tree.ask("echo/a", "relay", {"address": "echo/b", "kind": "crash", "timeout_s": 0.3}, 20.0)
    tree.whole(children=3)
    for _ in range(5):  # a question that its role cannot answer does no harm
        with pytest.raises(Rejected, match="as asked"):
            tree.ask("echo/a", "stumble")
    assert tree.child("echo/a")["incarnation"] == a["incarnation"]
    # The crash may be news to the supervisor: echo/b is at rest when the process that answers is the one it knows.
    until("echo/b is at rest", lambda: tree.ask("echo/a", "relay", relay, 20.0)["pid"] == tree.child("echo/b")["pid"])
    before = tree.child("echo/b")["restarts"]
    with pytest.raises(OutcomeUnknown):  # one that ends its role is not sent to the successor
        tree.ask("echo/a", "relay", {"address": "echo/b", "kind": "crash", "timeout_s": 10.0}, 20.0)
    until("its restart is known", lambda: tree.child("echo/b")["restarts"] == before + 1)
    tree.whole(children=3)
    stale = tree.cell(a["cell"])
    envelope = Envelope("echo/a", "x", (1, 1), 1, "who", 1.0, None)
    with pytest.raises(Fenced):
        unpack_reply(ray.get(stale.ask.remote(envelope.pack())))


async def test_the_supervisor_gives_the_same_answers_and_errors_over_its_socket_and_over_ray(calm: Tree) -> None:
    tree = calm
    node = tree.whole(children=3)["nodes"][0]["node"]
    socket = PassedRoutes(node, tree.node_directory())
    over_ray = RayRoutes(tree.mesh, node, tree.node_directory())
    for method, arguments in (("resolve", ["echo/a"]), ("watch", [-1, ["echo/a"], 0.0]), ("cluster", [])):
        expected = await over_ray._supervisor_elsewhere(method, tuple(arguments), 10.0)
        assert await socket.supervisor(method, *arguments, timeout_s=10.0) == expected
        assert await socket._supervisor_elsewhere(method, tuple(arguments), 10.0) == expected  # an agent passes it on
    for routes in (socket.supervisor, over_ray.supervisor):
        with pytest.raises(Misconfigured, match="matches no actor"):
            await routes("restart", "echo/none", "of nothing", timeout_s=10.0)
    route = Route.from_dict("echo/a", await socket.supervisor("resolve", "echo/a", timeout_s=10.0))
    answers = [
        await send(route, "ask", Envelope("echo/a", "same", route.incarnation, 1, "count", 5.0, None).pack(), 5.0)
        for send in (socket.send, socket._send_elsewhere, over_ray.send, over_ray._send_elsewhere)
    ]
    assert len(set(answers)) == 1
    socket.close()
    over_ray.close()


def test_a_thousand_polls_starve_nothing(calm: Tree) -> None:
    tree = calm
    tree.whole(children=3)
    child = tree.child("echo/a")
    cell, incarnation = tree.cell(child["cell"]), tuple(child["incarnation"])
    polls = [
        cell.poll.remote(Envelope("echo/a", "x", incarnation, n, "poll:sleep", POLL_S, None).pack())
        for n in range(1000)
    ]
    assert tree.ask("echo/a", "who", timeout_s=POLL_S - 10.0)["pid"]
    assert tree.child("echo/a")["state"] == "SERVING"
    done, waiting = ray.wait(polls, num_returns=1000, timeout=0)
    assert len(waiting) > 900
    del done
