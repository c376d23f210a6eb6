"""A clone under another name builds sdist and wheel; the wheel, installed elsewhere, runs the demo."""

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(1200)]


def run(*command, cwd, env=None, timeout=900):
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, (
        f"{command} ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    )
    return done.stdout


@pytest.fixture(scope="module")
def distribution(tmp_path_factory):
    """Build from what git has of this tree, in a folder whose name is not the project's."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: nothing to clone")
    folder = tmp_path_factory.mktemp("elsewhere")
    clone = folder / "some_other_name"
    run("git", "clone", "--quiet", str(ROOT), str(clone), cwd=folder)
    quick = {**os.environ, "CFLAGS": "-O0"}  # the packages are under test here, not the compiler
    run(sys.executable, "-m", "build", "--outdir", str(folder / "dist"), str(clone), cwd=folder, env=quick)
    return folder


def test_sdist_holds_real_files(distribution):
    (sdist,) = (distribution / "dist").glob("venuemesh-*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1]: archive.getmember(name) for name in archive.getnames() if "/" in name}
    assert names["venuemesh/orderbook/l2.pyx"].isfile()
    assert names["venuemesh/actors/cell/ray_cell.py"].isfile()


def test_wheel_holds_the_compiled_core_and_only_the_package(distribution):
    (wheel,) = (distribution / "dist").glob("venuemesh-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.startswith("venuemesh/orderbook/l2.") and name.endswith(".so") for name in names)
    assert "venuemesh/orderbook/l2.pxd" in names
    assert "venuemesh/conformance/market/suite.py" in names
    assert "venuemesh/cli/templates/connector/market.py.txt" in names
    tops = {name.split("/")[0] for name in names}
    assert all(top == "venuemesh" or top.startswith("venuemesh-") for top in tops)


def test_wheel_runs_the_demo_in_a_clean_environment(distribution, tmp_path):
    (wheel,) = (distribution / "dist").glob("venuemesh-*.whl")
    home = tmp_path / "environment"
    venv.create(home, with_pip=True)
    run(str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", str(wheel), cwd=tmp_path)
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    said = run(str(home / "bin" / "venuemesh"), "demo", "--seconds", "8", "--json", cwd=tmp_path, env=env)
    summary = json.loads(said.splitlines()[-1])
    assert summary["ok"] is True
    assert all(pair["state"] == "LIVE" and pair["equal"] for pair in summary["pairs"].values())
