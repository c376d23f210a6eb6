"""docs/cluster.md as the test follows it: its commands and its units.

A block of the page begins with its language and a name, such as ```sh up or ```ini head.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.init import HOME

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cluster.md"
BLOCK = re.compile(r"^```(\w+) ([\w-]+)\n(.*?)^```$", re.M | re.S)
HEAD, WORKER = "192.0.2.10", "192.0.2.11"  # the addresses in the page's units


@dataclass(frozen=True, slots=True)
class Unit:
    """A service as systemd would start it."""

    argv: tuple[str, ...]
    environment: dict[str, str]


def block(language: str, name: str) -> str:
    """Return the text of a block. Raises KeyError: the page has none of this name."""
    found = {(match[1], match[2]): match[3] for match in BLOCK.finditer(PAGE.read_text())}
    return found[language, name]


def command(name: str) -> str:
    """Return the lines of a block of commands."""
    return block("sh", name)


def unit(name: str, replaced: dict[str, str] | None = None) -> Unit:
    """Return a unit, with `%h` as the home of a host and other words replaced."""
    text = block("ini", name).replace("%h", str(HOME))
    for word, by in (replaced or {}).items():
        assert word in text, f"{PAGE}: the unit {name!r} has no {word!r}"
        text = text.replace(word, by)
    pairs = [line.partition("=")[::2] for line in text.splitlines() if "=" in line]
    environment = dict(
        word.split("=", 1) for key, value in pairs if key == "Environment" for word in shlex.split(value)
    )
    (start,) = [value for key, value in pairs if key == "ExecStart"]
    return Unit(tuple(shlex.split(start)), environment)
