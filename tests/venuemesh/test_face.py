"""What the package exports: every name is there, and editors see the same names as the interpreter."""

import ast
from pathlib import Path

import venuemesh


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
