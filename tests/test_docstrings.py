"""Every name of code in docstrings and comments exists.

Names stand between backticks. A dotted name whose beginning is a module of ours must be defined in that module, a file
must be there, and any other name must be an identifier or a word of a string somewhere in the package, its tests or its
dependencies' interface as the package uses it.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (
    "model",
    "orderbook",
    "connectors",
    "journal",
    "keystore",
    "actors",
    "supervisor",
    "conformance",
    "exchange",
    "venuemesh",
)
NAMED = re.compile(r"`([^`\n]+)`")
NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\(\))?")
FILE = re.compile(r"[\w/]+\.(py|pyx|pxd|h|md|toml|yaml)")
PYTHON = re.compile(  # a docstring stands at the beginning of a line, any other string within one
    r'''(?P<docstring>^[ \t]*r?"""(?:[^\\]|\\.)*?""")'''
    r'''|(?P<text>"""(?:[^\\]|\\.)*?"""|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')'''
    r"""|(?P<comment>\#[^\n]*)""",
    re.M | re.S,
)
BUILTIN = {*keyword.kwlist, *dir(builtins), *dir(object)}


def sources(*suffixes: str) -> Iterator[Path]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            inside = path.relative_to(ROOT / folder).parts
            if path.suffix in suffixes and not (folder == "venuemesh" and inside[0] in FOLDERS):
                yield path


@cache
def words() -> frozenset[str]:
    """Every identifier and every word of a string literal in the code, docstrings and comments left out."""
    found: set[str] = set(BUILTIN)
    for path in (*sources(".py", ".pyi"), *(ROOT / "tests").rglob("*.py"), *ROOT.glob("*.py")):
        if path == Path(__file__):
            continue  # it spells what does not exist
        code = PYTHON.sub(lambda part: part["text"] or " ", path.read_text())
        found.update(re.findall(r"[A-Za-z_]\w*", code))
    for path in sources(".pyx", ".pxd", ".h"):
        code = re.sub(r'""".*?"""|#[^\n]*|/\*.*?\*/|//[^\n]*', " ", path.read_text(), flags=re.S)
        found.update(re.findall(r"[A-Za-z_]\w*", code))
    return frozenset(found)


@cache
def modules() -> dict[str, Path]:
    """Dotted names of our modules and folders, with and without `venuemesh`, to their files."""
    found: dict[str, Path] = {}
    for path in sources(".py", ".pyx"):
        parts = [*path.relative_to(ROOT).with_suffix("").parts]
        if parts[-1] == "__init__":
            parts.pop()
        for dotted in {".".join(parts), ".".join(["venuemesh", *parts])}:
            found[dotted] = path
    return found


@cache
def defined(path: Path) -> frozenset[str]:
    """Return the words of a module: everything that it defines, imports or writes."""
    return frozenset(re.findall(r"[A-Za-z_]\w*", path.read_text()))


def missing(named: str, path: Path) -> str | None:
    """Return why a text between backticks names nothing, or None."""
    if FILE.fullmatch(named):
        places = (ROOT / named, ROOT / "venuemesh" / named, path.parent / named, ROOT / "docs" / named)
        if not any(place.exists() for place in places) and not list(ROOT.glob(f"*/**/{named}")):
            return "there is no such file"
        return None
    if not NAME.fullmatch(named):
        return None  # a path, an expression, a literal: not a name
    parts = named.removesuffix("()").split(".")
    for length in range(len(parts), 0, -1):
        module = modules().get(".".join(parts[:length]))
        if module is not None and length < len(parts):
            return None if parts[length] in defined(module) else f"{'.'.join(parts[:length])} has no {parts[length]}"
        if module is not None:
            return None
    unknown = [part for part in parts if part not in words()]
    leaves = {dotted.rpartition(".")[2] for dotted in modules()}
    unknown = [part for part in unknown if part not in leaves]
    return f"nothing is called {unknown[0]}" if unknown else None


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the docstrings and comments of a module, each with its first line's number."""
    text = path.read_text()
    if path.suffix in (".py", ".pyi"):
        for part in PYTHON.finditer(text):
            if part["text"] is None:
                yield text.count("\n", 0, part.start()) + 1, part[0]
        return
    for found in re.finditer(r'""".*?"""|#[^\n]*|/\*.*?\*/|//[^\n]*', text, flags=re.S):
        yield text.count("\n", 0, found.start()) + 1, found[0]


def test_what_docstrings_name_exists() -> None:
    wrong = []
    for path in sources(".py", ".pyi", ".pyx", ".pxd", ".h"):
        for line, text in texts(path):
            for found in NAMED.finditer(text):
                if (why := missing(found[1], path)) is not None:
                    at = line + text.count("\n", 0, found.start())
                    wrong.append(f"{path.relative_to(ROOT)}:{at}: `{found[1]}`: {why}")
    assert not wrong, "\n".join(wrong)


def test_a_name_that_does_not_exist_is_found() -> None:
    here = ROOT / "model" / "order.py"
    assert missing("model.order.Order", here) is None
    assert missing("model.order.Ordre", here) == "model.order has no Ordre"
    assert missing("no_such_thing_at_all", here) == "nothing is called no_such_thing_at_all"
    assert missing("model/ordre.py", here) == "there is no such file"
