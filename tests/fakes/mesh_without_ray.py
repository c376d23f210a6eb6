"""Run what a configuration says of one exchange, without Ray: its limits, its catalog and the books of its pairs.

Run as a process: `mesh_without_ray.py CONFIG PATIENCE_S`. Prints one JSON object, address of a book -> the state that
it reached, as soon as every book is LIVE, or when the patience is over.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from venuemesh.actors.cell.kinds import load
from venuemesh.actors.cell.local import Host
from venuemesh.config.mesh import load_config
from venuemesh.supervisor.tree.child import ChildSpec
from venuemesh.supervisor.tree.plan import Listed, base_specs, plan_books


def start(host: Host, spec: ChildSpec) -> None:
    host.start(spec.address, lambda context: load(spec.kind)(spec.config, context))


def states(host: Host, books: list[str], patience_s: float) -> dict[str, Any]:
    end = time.monotonic() + patience_s
    while True:
        found = {address: host.status(address)["state"] for address in books}
        if time.monotonic() > end or set(found.values()) == {"LIVE"}:
            return found
        time.sleep(0.02)


def main(config_file: str, patience_s: str) -> None:
    config = load_config(Path(config_file)).for_supervisor()
    ((exchange, settings),) = config["exchanges"].items()
    with tempfile.TemporaryDirectory() as folder, Host(Path(folder)) as host:
        limits, catalog = base_specs(exchange, settings)
        start(host, limits)
        start(host, catalog)
        rows = host.call(catalog.address, "instruments", None, 20.0)["instruments"]
        listed = [Listed.read(row) for row in rows]
        rules = [(True, pair) for pair in settings["pairs"]]
        books = plan_books(exchange, settings, rules, listed, {}, config["heartbeat_limit_s"]).specs
        for spec in books.values():
            start(host, spec)
        print(json.dumps(states(host, list(books), float(patience_s))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
