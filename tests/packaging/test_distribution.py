"""A clone under another name builds sdist and wheel; the wheel, installed elsewhere, runs the demo."""

import email
import json
import os
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

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
    """Build from the tree in git, in a folder with another name than the project's, with what the build requires.

    Only that is installed where it builds, as in the environment that `build` would make and fill from the index.
    """
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: nothing to clone")
    folder = tmp_path_factory.mktemp("elsewhere")
    clone = folder / "some_other_name"
    run("git", "clone", "--quiet", str(ROOT), str(clone), cwd=folder)
    required = tomllib.loads((clone / "pyproject.toml").read_text())["build-system"]["requires"]
    programs = environment(folder / "building", closure([*required, "build"]))
    quick = bare() | {"CFLAGS": "-O0"}  # the packages are under test here, not the compiler
    build = str(programs / "python"), "-m", "build", "--no-isolation"
    run(*build, "--outdir", str(folder / "dist"), str(clone), cwd=folder, env=quick)
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


def bare():
    """Return the environment without what leads to this one's packages."""
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}


def requirements(wheel):
    """Return the requirements that a wheel states."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name)).get_all("Requires-Dist")


def closure(required):
    """Return the names of all direct and indirect requirements, each in a suitable version."""
    wanted, found = [(Requirement(text), "") for text in required], {}
    while wanted:
        requirement, extra = wanted.pop()
        key = requirement.name, frozenset(requirement.extras)
        if key in found or (requirement.marker and not requirement.marker.evaluate({"extra": extra})):
            continue
        found[key] = metadata.distribution(requirement.name)
        assert requirement.specifier.contains(found[key].version, prereleases=True), (
            f"{requirement}: {found[key].version}"
        )
        for text in found[key].requires or ():
            wanted += [(Requirement(text), extra) for extra in ("", *requirement.extras)]
    return {name for name, _ in found}


def environment(home, names):
    """Make a virtual environment with only these distributions, linked from this environment."""
    venv.create(home)
    (packages,) = (home / "lib").glob("python*/site-packages")
    for name in names:
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files if file.parts[0] not in ("..", "__pycache__")}:
            link = packages / top
            if not link.exists():
                link.symlink_to(distribution.locate_file(top))
    return home / "bin"


def test_wheel_runs_the_demo_with_what_it_requires_alone(distribution, tmp_path):
    (wheel,) = (distribution / "dist").glob("venuemesh-*.whl")
    programs = environment(tmp_path / "environment", closure(requirements(wheel)))
    pip = sys.executable, "-m", "pip", "--python", str(programs / "python")
    run(*pip, "install", "--quiet", "--no-index", "--no-deps", str(wheel), cwd=tmp_path)
    run(*pip, "check", cwd=tmp_path)
    demo = str(programs / "venuemesh"), "demo", "--seconds", "5", "--pairs", "2", "--json"
    output = run(*demo, cwd=tmp_path, env=bare())
    summary = json.loads(output.splitlines()[-1])
    assert summary["ok"] is True
    assert all(pair["state"] == "LIVE" and pair["equal"] for pair in summary["pairs"].values())
