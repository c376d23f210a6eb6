"""Run the benchmarks, print a table each, write one JSON file.

    python -m benchmarks [NAME ...] [--out FILE] [--quick]

Each benchmark is a module of this package with `run(quick: bool) -> dict`: `title`, `rows` (a list of flat dicts with
the units in the keys) and further results. Compared runs are interleaved within one benchmark and summarised by
medians; the output names the machine and its load. After an interrupt the benchmark ends the processes that it started,
and the file has the results so far.
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

from .harness import ended_in_order, load

NAMES = (
    "wire_to_book",
    "order_level",
    "segment_reads",
    "websocket_clients",
    "feed_to_strategy",
    "mirrors",
    "recovery",
    "density",
    "hosts",
    "start",
    "cold_start",
    "exchanges",
    "ccxt_books",
    "slow_reader",
    "journal",
    "orders",
    "orders_rate",
    "orders_events",
    "load",
    "manager_recovery",
    "supervisor",
)
INTERRUPTED = 130


def machine() -> dict[str, Any]:
    """Return the machine on which the figures were measured."""
    model = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        model = next((line.split(":", 1)[1].strip() for line in cpuinfo.open() if line.startswith("model name")), model)
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_1m": load(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="venuemesh benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(NAMES)}")
    parser.add_argument("--out", type=Path, default=Path("bench-results/latest.json"))
    parser.add_argument("--quick", action="store_true", help="fewer rounds: to test the benchmarks, not for figures")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in NAMES]:
        parser.error(f"no benchmark {unknown[0]!r}; choose from {', '.join(NAMES)}")
    console = Console(width=None if sys.stdout.isatty() else 180, highlight=False)
    results: dict[str, Any] = {
        "machine": machine(),
        "when": time.strftime("%Y-%m-%d %H:%M:%S"),
        "quick": options.quick,
        "benchmarks": {},
        "failed": {},
    }
    console.print(", ".join(f"{key} {value}" for key, value in results["machine"].items()))
    try:
        with ended_in_order():
            for name in options.names or NAMES:
                measure(console, name, options.quick, results)
                options.out.parent.mkdir(parents=True, exist_ok=True)
                options.out.write_text(json.dumps(results, indent=1, default=str))
    except KeyboardInterrupt:
        console.print("interrupted")
        return INTERRUPTED
    failed = f"; failed: {', '.join(results['failed'])}" if results["failed"] else ""
    console.print(f"written to {options.out}{failed}")
    return 1 if failed else 0


def measure(console: Console, name: str, quick: bool, results: dict[str, Any]) -> None:
    """Run one benchmark into `results` and show it. A failure does not stop the other benchmarks."""
    started, load_before = time.monotonic(), load()
    try:
        result = importlib.import_module(f"benchmarks.{name}").run(quick=quick)
    except Exception as error:
        traceback.print_exc()
        results["failed"][name] = repr(error)
        return
    seconds = round(time.monotonic() - started, 1)
    results["benchmarks"][name] = {**result, "took_s": seconds, "load_1m_before_and_after": [load_before, load()]}
    show(console, name, results["benchmarks"][name])


def show(console: Console, name: str, result: dict[str, Any]) -> None:
    """Print the rows as a table, and the expected figures below it."""
    rows = result["rows"]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = Table(title=f"{name}: {result['title']}", title_justify="left")
    for column in columns:
        numeric = any(isinstance(row.get(column), (int, float)) for row in rows)
        table.add_column(column.replace("_", " "), overflow="fold", justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*(format_cell(row.get(column)) for column in columns))
    console.print(table)
    before, after = result["load_1m_before_and_after"]
    summary = f"took {result['took_s']:.0f} s; load {before} before, {after} after"
    console.print(f"expected: {result['expected']}; {summary}" if "expected" in result else summary, end="\n\n")


def format_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    if isinstance(value, (list, tuple)):
        return " ".join(format_cell(one) for one in value)
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
