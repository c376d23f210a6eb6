"""Records of passed suites, which ship in `passed/`; `venuemesh conformance EXCHANGE --record DIR` writes them.

A record is about the connector on its date. The recorded names of checks show whether the record is still complete:
`Passed.missing` names the checks that were added later.
"""

from __future__ import annotations

import ast
import inspect
import io
import json
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..connectors.market_codec import Connector
from ..model.errors import Misconfigured
from .market.checks import MarketDataConformance
from .market.stopped import StoppedStreams
from .runner import Outcome, Result, checks
from .trading.checks import TradingConformance

FOLDER = Path(__file__).parent / "passed"
SUITES: Mapping[str, type] = {
    "market data": MarketDataConformance,
    "streams": StoppedStreams,
    "trading": TradingConformance,
}
SILENT = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)


@dataclass(frozen=True, slots=True)
class Passed:
    """One connector's record. `passed` and `skipped` are names of checks by suite; a suite that was not run is absent.

    `lines` counts lines of code by file, without blank lines, comments and docstrings; byte scanners are counted
    separately.
    """

    exchange: str
    connector: str  # the module of its class: a connector of the same name from another package has no record
    version: str
    date: str
    passed: Mapping[str, list[str]]
    skipped: Mapping[str, list[str]]
    options: list[str]
    lines: Mapping[str, int]
    scanner_lines: int

    def missing(self) -> dict[str, list[str]]:
        """Return the existing checks of each recorded suite that were not run."""
        known = {suite: {*names, *self.skipped.get(suite, ())} for suite, names in self.passed.items()}
        return {suite: [name for name in names_of(suite) if name not in known[suite]] for suite in known}


def names_of(suite: str) -> list[str]:
    return [name.removeprefix("test_") for name, _ in checks(SUITES[suite])]


def made(connector: Connector, version: str, results: Iterable[tuple[str, Result]]) -> Passed:
    """Make the record of a run from its results, each with the name of its suite.

    Raises:
        Misconfigured: a check failed.
    """
    passed: dict[str, list[str]] = {}
    skipped: dict[str, list[str]] = {}
    for suite, result in results:
        if result.outcome is Outcome.FAILED:
            raise Misconfigured("--record", f"{result.name} failed: only a run without failures is recorded")
        chosen = passed if result.outcome is Outcome.PASSED else skipped
        chosen.setdefault(suite, []).append(result.name.removeprefix("test_"))
    lines, scanner_lines = counted(Path(inspect.getfile(type(connector))).parent)
    return Passed(
        connector.name,
        type(connector).__module__,
        version,
        datetime.now(UTC).date().isoformat(),
        passed,
        skipped,
        [option.name for option in connector.spec.options],
        lines,
        scanner_lines,
    )


def write(record: Passed, folder: Path) -> Path:
    """Write a record into a folder and replace an earlier record. Raises Misconfigured: the file cannot be written."""
    path = folder / f"{record.exchange}.json"
    try:
        path.write_text(json.dumps(asdict(record), indent=1) + "\n")
    except OSError as error:
        raise Misconfigured(str(path), f"cannot be written: {error}") from error
    return path


def found(connector: Connector, folder: Path | None = None) -> Passed | None:
    """Return a connector's record from a folder, or the shipped record; None if exactly this connector has no
    record."""
    path = (folder or FOLDER) / f"{connector.name}.json"
    if not path.is_file():
        return None
    record = Passed(**json.loads(path.read_text()))
    return record if record.connector == type(connector).__module__ else None


def counted(folder: Path) -> tuple[dict[str, int], int]:
    """Count lines of code in a connector's folder: by Python file (without samples), and of its byte scanners."""
    lines = {
        path.name: code_lines(path.read_text()) for path in sorted(folder.glob("*.py")) if path.name != "samples.py"
    }
    scanners = (path.read_text().splitlines() for path in folder.glob("*.pyx"))
    return lines, sum(bool(line.strip()) and not line.strip().startswith("#") for text in scanners for line in text)


def code_lines(source: str) -> int:
    """Count the lines that hold code: neither blank, nor comment, nor docstring."""
    counted: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in SILENT:
            counted.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and _docstring(node):
            text = node.body[0]
            counted.difference_update(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    return len(counted)


def _docstring(node: Any) -> bool:
    return ast.get_docstring(node, clean=False) is not None
