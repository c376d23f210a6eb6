"""A client and its server must not share a codec: the exchange imports nothing of the mesh but its vocabulary."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

EXCHANGE = Path(__file__).resolve().parents[2] / "exchange"


@pytest.mark.parametrize("file", sorted(EXCHANGE.rglob("*.py")), ids=lambda file: file.relative_to(EXCHANGE).as_posix())
def test_imports_point_down(file: Path) -> None:
    depth = len(file.relative_to(EXCHANGE).parts)  # dots that still lead inside the exchange
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level > depth:
            assert node.level == depth + 1
            assert (node.module or "").split(".")[0] in ("model", "orderbook")
        elif isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("venuemesh")
        elif isinstance(node, ast.Import):
            assert not any(name.name.startswith("venuemesh") for name in node.names)
