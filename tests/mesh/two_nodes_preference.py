"""A scenario of `two_nodes`: the supervisor runs on a node with the labels that it prefers; without one, elsewhere."""

from __future__ import annotations

from pathlib import Path

from harness import Tree, kill, leftovers, until

from tests.fakes.exchange_process import ExchangeProcess
from venuemesh.actors.cell.pulse import read_beats
from venuemesh.actors.cell.sweep import PULSES


def scenario(nodes: dict[str, str], roots: dict[str, Path], exchange: ExchangeProcess) -> None:
    """Run the scenario. Raises AssertionError: a check failed."""
    for zone in roots:
        tree = Tree(f"prefers-{zone}", roots["a"], supervisor_nodes={"zone": zone})
        for _ in range(2):
            status = tree.status()
            until(
                f"the supervisor beats in zone {zone}",
                lambda t=tree, z=zone, s=status: s["pid"] in beating(t, roots[z]),
            )
            kill(status["pid"])
            until("a later supervisor", lambda t=tree, s=status: t.status()["epoch"] > s["epoch"])
        tree.shutdown()
        assert not leftovers(tree.processes)
    tree = Tree("prefers-none", roots["a"], supervisor_nodes={"zone": "none"})
    assert tree.status()["pid"]
    tree.shutdown()


def beating(tree: Tree, root: Path) -> set[int]:
    """Return the processes of the mesh that have a pulse on the node with this segment directory."""
    return {beat.pid for path in (root / tree.mesh).glob(f"*/{PULSES}") for beat in read_beats(path).values()}
