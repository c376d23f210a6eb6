"""Run the tests of book and scanner once more, against builds that check what the fast build trusts.

Books, scanner and connectors are copied into a temporary directory and built there: with Cython's bounds checks on
(`VENUEMESH_BOUNDSCHECK=1`), and with the compiler's address and undefined-behaviour sanitizers, which also see the C
arrays. The copy comes first on the path of a pytest of its own; `test_the_build_under_test` makes sure that the copy is
what runs. Checked code is slow, so random tests try less there (`VENUEMESH_TEST_EFFORT`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import venuemesh.connectors.binance.scanner as scanner_module
import venuemesh.orderbook.l2 as book_module

ROOT = Path(__file__).resolve().parents[3]
CORE = ("l2.pyx", "l2.pxd", "frame.pyx", "frame.pxd", "levels.h", "frame.h", "__init__.py")
INNER = (
    "orderbook/test_l2.py",
    "connectors/binance/test_scanner.py",
    "connectors/binance/test_scanner_snapshot.py",
    "connectors/binance/test_scanner_checked_build.py",
)


def test_the_build_under_test() -> None:
    wanted = os.environ.get("VENUEMESH_CORE_UNDER_TEST")
    if wanted is None:
        pytest.skip("the installed build is under test")
    assert Path(book_module.__file__).is_relative_to(wanted)
    assert Path(scanner_module.__file__).is_relative_to(wanted)


def copy_core(into: Path) -> None:
    package = into / "venuemesh"
    (package / "orderbook").mkdir(parents=True)
    (package / "__init__.py").touch()
    for folder in ("model", "connectors"):
        built = shutil.ignore_patterns("__pycache__", "*.so", "*.c")
        shutil.copytree(ROOT / folder, package / folder, ignore=built)
    for name in CORE:
        shutil.copy(ROOT / "orderbook" / name, package / "orderbook" / name)
    shutil.copy(ROOT / "setup.py", into / "setup.py")


def sanitizer() -> str | None:
    """Path of the address sanitizer's library, None where the compiler has none."""
    if not sys.platform.startswith("linux") or shutil.which("gcc") is None:
        return None
    said = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return said if Path(said).is_absolute() and Path(said).exists() else None


@pytest.mark.packaging
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["bounds", "sanitized"])
def test_core_passes_its_tests_with_checks_on(tmp_path: Path, kind: str) -> None:
    if "VENUEMESH_CORE_UNDER_TEST" in os.environ:
        pytest.skip("this is the inner run")
    if not (ROOT / "orderbook" / "l2.pyx").exists():
        pytest.skip("no sources here")
    copy_core(tmp_path)
    environment = dict(os.environ, VENUEMESH_CORE_UNDER_TEST=str(tmp_path), VENUEMESH_BOUNDSCHECK="1")
    environment["VENUEMESH_TEST_EFFORT"] = "0.05" if kind == "sanitized" else "0.2"
    environment.pop("PYTEST_ADDOPTS", None)
    running = dict(environment)
    if kind == "sanitized":
        library = sanitizer()
        if library is None:
            pytest.skip("no address sanitizer here")
        flags = "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-sanitize=alignment"
        environment |= {"CC": "gcc", "CFLAGS": flags, "LDFLAGS": "-fsanitize=address,undefined"}
        running |= {"LD_PRELOAD": library, "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc"}
    built = subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr[-3000:]
    tests = tmp_path / "tests"
    for name in INNER:
        (tests / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "tests" / name, tests / name)
    tests.joinpath("fakes").mkdir()
    shutil.copy(ROOT / "tests" / "fakes" / "depth_frames.py", tests / "fakes" / "depth_frames.py")
    captures = Path(os.environ.get("VENUEMESH_CAPTURES", ROOT.parent / "shared" / "captures"))
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = packaging\n")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", str(tests)],
        cwd=tmp_path,
        env=running | {"VENUEMESH_CAPTURES": str(captures)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, (ran.stdout + ran.stderr)[-5000:]
