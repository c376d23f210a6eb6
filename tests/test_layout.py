"""The rules of the tree: who may import whom, and who may import Ray."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("model", "orderbook", "connectors", "journal", "keystore", "actors", "supervisor", "conformance", "exchange")
VOCABULARY = {"model", "orderbook"}
PARTS = VOCABULARY | {"connectors", "journal", "keystore"}
HOSTED = PARTS | {"actors", "supervisor", "market", "config"}
# What each folder may import of its sisters; those of `venuemesh/` itself are named by their place there.
MAY = {
    "model": set(),
    "orderbook": {"model"},
    "connectors": VOCABULARY,
    "journal": {"model"},
    "keystore": {"model"},
    "actors": PARTS,
    "supervisor": PARTS | {"actors"},
    "exchange": VOCABULARY,
    "config": PARTS | {"actors", "supervisor"},  # the settings that it makes of a file
    "market": PARTS | {"actors"},
    "mesh": HOSTED,
    "testing.py": HOSTED | {"mesh", "exchange"},
    "conformance": HOSTED | {"testing"},  # it hosts roles without Ray and looks at accounts as a strategy does
    "web": HOSTED | {"mesh"},
    "cli": HOSTED | {"mesh", "web", "exchange", "conformance", "testing"},
    "__main__.py": {"cli"},
    "__init__.py": HOSTED | {"mesh"},
}
IMPORT_RAY = re.compile(r"actors/cell/ray_\w+\.py|supervisor/ray_\w+\.py|venuemesh/mesh/\w+\.py")


def modules():
    for folder in (*FOLDERS, "venuemesh"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if folder == "venuemesh" and path.relative_to(ROOT / folder).parts[0] in FOLDERS:
                continue  # the links to the folders themselves
            yield folder, path


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or node.names[0].name


def test_imports_are_relative_and_point_down():
    wrong = []
    for folder, path in modules():
        inside = path.relative_to(ROOT / folder).parts
        place, depth = (folder, len(inside)) if folder != "venuemesh" else (inside[0], len(inside) - 1)
        for level, module in imports(path):
            sister = module.split(".")[0]
            if level == 0 and sister == "venuemesh":
                wrong.append(f"{path.relative_to(ROOT)}: absolute import of {module}")
            if level == depth + 1 and sister not in MAY[place] | {place, "__version__"}:
                wrong.append(f"{path.relative_to(ROOT)}: imports {sister}")
    assert not wrong, "\n".join(wrong)


def test_few_files_import_ray():
    importing = {
        str(path.relative_to(ROOT))
        for _, path in modules()
        if any(level == 0 and module.split(".")[0] == "ray" for level, module in imports(path))
    }
    assert not [path for path in importing if IMPORT_RAY.fullmatch(path) is None]


def test_every_folder_is_linked():
    for folder in FOLDERS:
        link = ROOT / "venuemesh" / folder
        assert link.is_symlink()
        assert str(link.readlink()) == f"../{folder}"


def test_every_folder_of_code_is_a_package():
    for _, path in modules():
        assert (path.parent / "__init__.py").exists(), f"{path.parent.relative_to(ROOT)} has no __init__.py"
