"""docs/adding-an-exchange.md is executed unchanged: its commands, its code, its table of files, its links."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer.main

from venuemesh.cli.app import app
from venuemesh.connectors import market_codec, order_codec, spec

ROOT = Path(__file__).resolve().parents[3]
GUIDE = ROOT / "docs" / "adding-an-exchange.md"
TEXT = GUIDE.read_text()
# What `pip install` needs of the network is there already, in the environment of these tests
OFFLINE = {"PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_DEPS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", TEXT, re.DOTALL | re.MULTILINE)
    return ["\n".join(line.removeprefix(indent) for line in body.splitlines()) for indent, body in found]


def run(script: str, cwd: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], str]:
    """A folder in which the first commands were run, the environment of a shell there, and what they printed."""
    folder = tmp_path_factory.mktemp("guide")
    site, programs = folder / "site", folder / "bin"
    programs.mkdir()
    modules = {"pip": "-m pip", "pytest": "-m pytest -q -p no:cacheprovider", "venuemesh": "-m venuemesh"}
    for name, module in modules.items():
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {module} "$@"\n')
        program.chmod(0o755)
    environment = dict(os.environ, **OFFLINE, PATH=f"{programs}:{os.environ['PATH']}", PIP_TARGET=str(site))
    environment["PYTHONPATH"] = os.pathsep.join([str(site), str(ROOT)])
    environment.pop("PYTEST_ADDOPTS", None)
    return folder, environment, run(blocks("sh")[0].replace("install -e", "install"), folder, environment)


def test_the_first_commands_make_a_connector_that_passes(place: tuple[Path, dict[str, str], str]) -> None:
    folder, _, printed = place
    assert (folder / "venuemesh-acme" / "venuemesh_acme" / "market.py").exists()
    assert " passed" in printed
    assert printed.splitlines()[-1].endswith(" 0 failed") or " 0 failed" in printed.splitlines()[-1]


def test_nothing_outside_the_folder_is_written(place: tuple[Path, dict[str, str], str]) -> None:
    """The folder, and what the fixture itself made: the site that `pip` installs to, and the programs."""
    assert {path.name for path in place[0].iterdir() if not path.name.startswith("block_")} == {
        "venuemesh-acme",
        "site",
        "bin",
    }


def test_the_entry_point_is_the_one_that_is_laid_out(place: tuple[Path, dict[str, str], str]) -> None:
    (block,) = blocks("toml")
    laid_out = tomllib.loads((place[0] / "venuemesh-acme" / "pyproject.toml").read_text())
    stated = tomllib.loads(block)["project"]["entry-points"]
    assert stated == laid_out["project"]["entry-points"]


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_the_code_runs(place: tuple[Path, dict[str, str], str], number: int) -> None:
    folder, environment, _ = place
    path = folder / f"block_{number}.py"
    path.write_text(blocks("python")[number])
    samples = folder / "venuemesh-acme" / "tests"
    run(f"{sys.executable} {path}", folder, environment | {"PYTHONPATH": f"{samples}:{environment['PYTHONPATH']}"})


@pytest.mark.parametrize(
    "line",
    [line for block in blocks("sh") for line in block.splitlines() if line.startswith("venuemesh ")],
)
def test_the_command_line_takes_each_command(line: str) -> None:
    _, name, *arguments = shlex.split(line, comments=True)
    command = typer.main.get_command(app).commands[name]
    command.make_context(name, arguments)  # parses them, and exits with an error otherwise


def test_the_files_and_modules_that_it_names_exist(place: tuple[Path, dict[str, str], str]) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (GUIDE.parent / target).resolve().exists(), target
    for name in re.findall(r"^\| `(\w+\.py)` \|", TEXT.split("### Shared pieces")[1].split("###")[0], re.MULTILINE):
        assert (ROOT / "connectors" / name).exists(), name
    for name in re.findall(r"^  ?\| `(\w+/\w+\.py)` \|", TEXT, re.MULTILINE):
        assert (ROOT / "conformance" / name).exists(), name


def test_the_names_of_the_contract_exist() -> None:
    homes = [market_codec, order_codec, spec, importlib.import_module("venuemesh.connectors.samples")]
    known = {name for home in homes for name in vars(home)}
    known |= {name for home in homes for kind in vars(home).values() if isinstance(kind, type) for name in dir(kind)}
    known |= {name for home in homes for kind in vars(home).values() for name in getattr(kind, "__annotations__", ())}
    for name in re.findall(r"`(?:spec|Signed|Offer|samples)\.(?!py`)(\w+)`", TEXT):
        assert name in known, name
