"""Commands reach a running mesh through `attach`, which says on stderr why a command waits."""

from __future__ import annotations

import sys

from ..mesh import mesh as meshes


def attach(mesh: str, *, address: str | None = None) -> meshes.Mesh:
    """Use a running mesh; see `mesh.attach`. Raises as it does."""
    return meshes.attach(mesh, address=address, waits=lambda why: print(f"venuemesh: {why}", file=sys.stderr))
