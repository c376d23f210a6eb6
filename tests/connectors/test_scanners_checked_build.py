"""Run the tests of books and byte scanners again, with builds that check what the fast build assumes.

Books, scanners and the tests' recordings are copied into a temporary directory and built there: with Cython's bounds
checks (`VENUEMESH_BOUNDSCHECK=1`), and, if the compiler has them, with its address and undefined-behaviour sanitizers,
which check the C arrays, too. A separate pytest has the copy first on its path; `test_the_build_under_test` makes sure
that the copy runs. Checked code is slow, so random tests try fewer examples (`VENUEMESH_TEST_EFFORT`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from venuemesh.connectors.binance import scanner as binance
from venuemesh.connectors.bybit import scanner as bybit
from venuemesh.connectors.coinbase import scanner as coinbase
from venuemesh.connectors.htx import scanner as htx
from venuemesh.connectors.kraken import scanner as kraken
from venuemesh.connectors.okx import scanner as okx
from venuemesh.orderbook import checksum, frame, l2

ROOT = Path(__file__).resolve().parents[2]
CORE = (
    "__init__.py", "checksum.pxd", "checksum.pyx", "crc32.h", "frame.h", "frame.pxd", "frame.pyx", "l2.pxd", "l2.pyx",
    "l3.pxd", "l3.pyx", "levels.h", "orders.h", "order_snapshot.py", "records.py", "snapshot.py",
)  # fmt: skip
LISTS = (  # scanners' tests use what these files list; their tests would be slow and show nothing new
    "connectors/coinbase/test_market.py",
    "connectors/htx/test_market.py",
    "connectors/okx/test_market.py",
)
INNER = (
    "orderbook/test_checksum.py",
    "orderbook/test_l2.py",
    "orderbook/test_l3.py",
    "orderbook/test_window.py",
    "connectors/binance/test_scanner.py",
    "connectors/binance/test_scanner_snapshot.py",
    "connectors/bybit/test_scanner.py",
    "connectors/coinbase/test_scanner.py",
    "connectors/htx/test_scanner.py",
    "connectors/kraken/test_scanner.py",
    "connectors/okx/test_scanner.py",
    "connectors/test_scanners_checked_build.py",
    *LISTS,
    "fakes/both_readers.py",
    "fakes/captures.py",
    "fakes/depth_frames.py",
    "fakes/effort.py",
)


def test_the_build_under_test() -> None:
    wanted = os.environ.get("VENUEMESH_CORE_UNDER_TEST")
    if wanted is None:
        pytest.skip("the installed build is under test")
    for module in (l2, frame, checksum, binance, bybit, coinbase, htx, kraken, okx):
        assert Path(module.__file__).is_relative_to(wanted)


def copy_core(into: Path) -> None:
    package = into / "venuemesh"
    (package / "orderbook").mkdir(parents=True)
    (package / "__init__.py").touch()
    for folder in ("model", "connectors", "actors"):
        built = shutil.ignore_patterns("__pycache__", "*.so", "*.c")
        shutil.copytree(ROOT / folder, package / folder, ignore=built)
    for name in CORE:
        shutil.copy(ROOT / "orderbook" / name, package / "orderbook" / name)
    shutil.copy(ROOT / "setup.py", into / "setup.py")


def sanitizer() -> str | None:
    """Return the path of the address sanitizer's library; None if the compiler has none."""
    if not sys.platform.startswith("linux") or shutil.which("gcc") is None:
        return None
    found = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return found if Path(found).is_absolute() and Path(found).exists() else None


@pytest.mark.checked
@pytest.mark.timeout(1200)
def test_core_passes_its_tests_with_checks_on(tmp_path: Path) -> None:
    if "VENUEMESH_CORE_UNDER_TEST" in os.environ:
        pytest.skip("this is the inner run")
    if not (ROOT / "orderbook" / "l2.pyx").exists():
        pytest.skip("no sources here")
    copy_core(tmp_path)
    environment = dict(os.environ, VENUEMESH_CORE_UNDER_TEST=str(tmp_path), VENUEMESH_BOUNDSCHECK="1")
    library = sanitizer()
    environment["VENUEMESH_TEST_EFFORT"] = "0.2" if library is None else "0.1"
    environment.pop("PYTEST_ADDOPTS", None)
    running = dict(environment)
    if library is not None:
        flags = "-O0 -g1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-sanitize=alignment"
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
    skipped = [f"--deselect=tests/{name}" for name in LISTS]
    captures = Path(os.environ.get("VENUEMESH_CAPTURES", ROOT.parent / "shared" / "captures"))
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = checked\n")
    plain = "-q", "-p", "no:cacheprovider", "--import-mode=importlib"
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *plain, *skipped, str(tests)],
        cwd=tmp_path,
        env=running | {"VENUEMESH_CAPTURES": str(captures)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, (ran.stdout + ran.stderr)[-5000:]
