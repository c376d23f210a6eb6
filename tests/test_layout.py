"""The rules of the tree: who may import whom, and who may import Ray."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("model", "orderbook", "connectors", "journal", "keystore", "supervisor", "actors", "conformance", "exchange")
# What each folder may import of its sisters. The SHELLS in supervisor meet the actors; its other modules are pure.
MAY = {
    "model": set(),
    "orderbook": {"model"},
    "connectors": {"model", "orderbook"},
    "journal": {"model"},
    "keystore": {"model"},
    "supervisor": {"model", "orderbook", "connectors"},
    "actors": {"model", "orderbook", "connectors", "journal", "keystore", "supervisor"},
    # the suite hosts roles by itself and looks at accounts through the facade, as a strategy does
    "conformance": {"model", "orderbook", "connectors", "journal", "keystore", "supervisor", "actors", "market"},
    "exchange": {"model", "orderbook"},
}
SHELLS = {
    "supervisor/supervisor.py",
    "supervisor/ray_cells.py",
    "supervisor/shell.py",
    "supervisor/watchers.py",
}
IMPORT_RAY = {
    "actors/cell/ray_calls.py",
    "actors/cell/ray_cell.py",
    "actors/cell/ray_routes.py",
    "supervisor/ray_cells.py",
    "supervisor/ray_store.py",
    "supervisor/supervisor.py",
    "venuemesh/mesh/mesh.py",
    "venuemesh/mesh/cluster.py",
    "venuemesh/mesh/session.py",
    "venuemesh/cli/demo/demo.py",
}


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
        if folder == "venuemesh":
            continue
        inside = len(path.relative_to(ROOT / folder).parts)  # how many dots reach the package's top
        for level, module in imports(path):
            if level == 0 and module.split(".")[0] == "venuemesh":
                wrong.append(f"{path.relative_to(ROOT)}: absolute import of {module}")
            if level == inside + 1:
                sister = module.split(".")[0]
                allowed = MAY[folder] | {folder}
                if str(path.relative_to(ROOT)) in SHELLS:
                    allowed = allowed | {"actors"}
                if sister not in allowed:
                    wrong.append(f"{path.relative_to(ROOT)}: imports {sister}")
    assert not wrong, "\n".join(wrong)


def test_few_files_import_ray():
    importing = {
        str(path.relative_to(ROOT))
        for _, path in modules()
        if any(level == 0 and module.split(".")[0] == "ray" for level, module in imports(path))
    }
    assert importing <= IMPORT_RAY


def test_every_folder_is_linked():
    for folder in FOLDERS:
        link = ROOT / "venuemesh" / folder
        assert link.is_symlink()
        assert str(link.readlink()) == f"../{folder}"


def test_every_folder_of_code_is_a_package():
    for _, path in modules():
        assert (path.parent / "__init__.py").exists(), f"{path.parent.relative_to(ROOT)} has no __init__.py"
