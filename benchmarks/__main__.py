"""Run the benchmarks, print one table, write one JSON file.

    python -m benchmarks [NAME ...] [--out FILE] [--quick]

Each benchmark is a module of this package with `run(quick: bool) -> dict`: `title`, `rows` (a list of flat dicts with
the units in the keys) and whatever else is worth keeping. Runs of things that are compared are interleaved within one
benchmark and summed up by medians; the machine is named in the output because figures belong to it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

NAMES = (
    "wire_to_book",
    "segment_reads",
    "websocket_clients",
    "feed_to_strategy",
    "recovery",
    "density",
    "slow_reader",
)


def machine() -> dict[str, Any]:
    """What the figures belong to."""
    model = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        model = next((line.split(":", 1)[1].strip() for line in cpuinfo.open() if line.startswith("model name")), model)
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_1m": round(os.getloadavg()[0], 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="venuemesh benchmarks")
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", help=f"some of: {', '.join(NAMES)}")
    parser.add_argument("--out", type=Path, default=Path("bench-results/latest.json"))
    parser.add_argument("--quick", action="store_true", help="fewer rounds: to see that it works, not to quote")
    options = parser.parse_args()
    console = Console(width=150, highlight=False)
    results: dict[str, Any] = {"machine": machine(), "when": time.strftime("%Y-%m-%d %H:%M:%S"), "benchmarks": {}}
    console.print(results["machine"])
    failed = []
    for name in options.names or NAMES:
        try:
            result = importlib.import_module(f"benchmarks.{name}").run(quick=options.quick)
        except Exception:
            traceback.print_exc()
            failed.append(name)
            continue
        results["benchmarks"][name] = result
        show(console, name, result)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(results, indent=1, default=str))
    console.print(f"written to {options.out}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def show(console: Console, name: str, result: dict[str, Any]) -> None:
    rows = result.get("rows", [])
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = Table(title=f"{name}: {result.get('title', '')}", title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(format_cell(row.get(column)) for column in columns))
    console.print(table)


def format_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
