"""Run a configuration in one process, without Ray, until every book is LIVE.

Run as a process: `mesh_without_ray.py CONFIG PATIENCE_S`. Prints one JSON object, address of a book -> its state.
Ends with an error if a book is not LIVE within the patience.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from venuemesh.config.mesh import load_config
from venuemesh.testing import LocalMesh


def main(config_file: str, patience_s: str) -> None:
    with LocalMesh(load_config(Path(config_file))) as mesh:
        mesh.wait_ready(float(patience_s))
        books = [address for address in mesh.addresses() if address.startswith("book/")]
        print(json.dumps({address: mesh.role_status(address)["state"] for address in books}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
