"""Creates a new connector: a complete distribution of an invented format, and checks that say what to replace."""

from __future__ import annotations

import keyword
import re
import shutil
import tempfile
from importlib import resources
from pathlib import Path
from string import Template

from .. import __version__
from ..connectors import registry
from ..model.errors import Misconfigured

# template -> file in the distribution; each is text with placeholders such as $name
FILES = {
    "pyproject.toml.txt": "pyproject.toml",
    "README.md.txt": "README.md",
    "gitignore.txt": ".gitignore",
    "init.py.txt": "venuemesh_$name/__init__.py",
    "spec.py.txt": "venuemesh_$name/spec.py",
    "market.py.txt": "venuemesh_$name/market.py",
    "auth.py.txt": "venuemesh_$name/auth.py",
    "orders.py.txt": "venuemesh_$name/orders.py",
    "test_conformance.py.txt": "tests/test_conformance.py",
    "test_trading.py.txt": "tests/test_trading.py",
    "test_replaced.py.txt": "tests/test_replaced.py",
    "messages.py.txt": "tests/messages.py",
}
NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*", re.ASCII)
LONGEST = 32


def lay_out(name: str, into: Path) -> Path:
    """Write the distribution of a connector `name` as a new folder in `into` and return that folder.

    The whole folder appears at once, or nothing.

    Raises:
        Misconfigured: the name is not usable, a connector of that name is installed, `into` is not a writable folder,
            or the new folder exists already. Nothing was written.
    """
    _check(name)
    if not into.is_dir():
        raise Misconfigured(f"--into {into}", "there is no such folder")
    folder = into / f"venuemesh-{name.replace('_', '-')}"
    if folder.exists():
        raise Misconfigured(str(folder), "exists already; nothing was written")
    words = {
        "name": name,
        "Name": "".join(word.capitalize() for word in name.split("_")),
        "dashed": name.replace("_", "-"),
        "host": name.replace("_", "-"),
        "version": __version__.partition("+")[0],
    }
    templates = resources.files(__package__) / "templates" / "connector"
    try:
        with tempfile.TemporaryDirectory(prefix=".venuemesh-", dir=into) as scratch:
            made = Path(scratch) / folder.name
            for template, target in FILES.items():
                path = made / Template(target).substitute(words)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(Template((templates / template).read_text("utf-8")).substitute(words), "utf-8")
            (made / f"venuemesh_{name}" / "py.typed").touch()
            shutil.move(made, folder)
    except OSError as error:
        raise Misconfigured(str(folder), f"cannot be written: {error.strerror or error}") from error
    return folder


def _check(name: str) -> None:
    what = f"connector name {name!r}"
    if not NAME.fullmatch(name):
        raise Misconfigured(what, "must be lower-case letters, digits and single underscores, beginning with a letter")
    if len(name) > LONGEST:
        raise Misconfigured(what, f"is longer than {LONGEST} characters")
    if keyword.iskeyword(name):
        raise Misconfigured(what, "is a keyword of Python")
    if name in registry.known():
        raise Misconfigured(what, "a connector of that name is installed already")
