"""What the package exports: every name is there, editors see the same names, and so does what documents name."""

import ast
import inspect
import re
from functools import cache
from pathlib import Path

import venuemesh
from venuemesh import testing
from venuemesh.model import errors

ROOT = Path(__file__).resolve().parents[2]
# Documents for users. The others (architecture, adding an exchange, the local exchange) name parts of the inside.
FOR_USERS = ("README.md", *(f"docs/{name}.md" for name in ("configuration", "keys", "service", "testing", "trading")))
# Folders of what users meet; `examples` are run by tests/service.
MET = ("model", "orderbook", "venuemesh/market", "venuemesh/mesh", "venuemesh/config")
# In annotations only: of constructors that only the mesh calls, and the tables of a configuration file.
INSIDE = {"MarketState", "Link", "ExchangeTable", "JournalTable", "MeshTable", "RestartTable"}
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.S)
CLASS = re.compile(r"(?<![\w./-])[A-Z]+[a-z]\w*")


@cache
def classes():
    """The classes of the folders that users meet."""
    paths = [path for folder in MET for path in (ROOT / folder).rglob("*.py")]
    found = {node.name for path in paths for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)}
    return {name for name in found if not name.startswith("_")}


def public(exported):
    """Yield the functions of an exported name that users call, and the name itself."""
    yield exported
    for base in inspect.getmro(exported) if inspect.isclass(exported) else ():
        if base.__module__.startswith("venuemesh."):
            for name, member in vars(base).items():
                member = getattr(member, "fget", None) or getattr(member, "__func__", member)
                if not name.startswith("_") and inspect.isfunction(member):
                    yield member


def named_in_docstrings():
    """Yield (place, name) of each class that the docstrings of exported names name as code, or raise."""
    for name in venuemesh.__all__:
        for part in public(getattr(venuemesh, name)):
            text = inspect.getdoc(part) or ""
            raised = "\n".join(re.findall(r"Raises:?(.*?)(?:\n\n|\Z)", text, re.S))
            for found in (*re.findall(r"`([A-Za-z.]+)", text), *CLASS.findall(raised)):
                yield f"{part.__module__}.{part.__qualname__}", found.split(".")[0]


def named_in_annotations():
    """Yield (place, name) of each class in the annotations of what users call."""
    for name in venuemesh.__all__:
        for part in public(getattr(venuemesh, name)):
            for annotation in getattr(part, "__annotations__", {}).values():
                for found in set(CLASS.findall(str(annotation))) - INSIDE:
                    yield f"{part.__module__}.{part.__qualname__}", found


def named_in_documents():
    for name in FOR_USERS:
        for code in CODE.findall((ROOT / name).read_text()):
            for found in CLASS.findall(code):
                yield name, found


def test_every_exported_name_is_there():
    for name in venuemesh.__all__:
        assert getattr(venuemesh, name) is not None


def test_editors_see_what_the_interpreter_imports():
    tree = ast.parse(Path(venuemesh.__file__).read_text())
    (checked,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {(node.module, alias.name) for node in checked.body for alias in node.names}
    assert {name for _, name in seen} == set(venuemesh.__all__)
    for module, name in seen:
        assert getattr(venuemesh, name).__module__.startswith("venuemesh."), module


def test_what_documents_and_docstrings_name_can_be_imported():
    exported = {*venuemesh.__all__, *vars(testing)}
    named = [*named_in_documents(), *named_in_docstrings(), *named_in_annotations()]
    assert any(name == "JournalUnavailable" for _, name in named)
    missing = sorted({f"{place}: {name}" for place, name in named if name in classes() and name not in exported})
    assert not missing, "\n".join(missing)


def test_every_error_can_be_caught():
    found = {
        name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, errors.MeshError)
    }
    assert len(found) > 20
    assert found <= set(venuemesh.__all__)
