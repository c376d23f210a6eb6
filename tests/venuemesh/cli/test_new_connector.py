"""A connector as `new-connector` lays it out: complete, installable, passing; bad names write nothing."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from contextlib import contextmanager
from pathlib import Path

import pytest

from venuemesh.cli.new_connector import FILES, lay_out
from venuemesh.model.errors import Misconfigured

ROOT = Path(__file__).resolve().parents[3]


def run(*command, cwd, path=()):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*path, ROOT]))}
    env.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


REFUSED = """
import sys
from pathlib import Path
from venuemesh.config.mesh import load_config
from venuemesh.model.errors import ConfigError
try:
    load_config(Path(sys.argv[1]))
except ConfigError as error:
    print(error.file, error.key, error.reason)
"""
VENUEMESH = ("-c", "from venuemesh.__main__ import main; main()")


@pytest.fixture(scope="module")
def acme(tmp_path_factory):
    return lay_out("acme_spot", tmp_path_factory.mktemp("authored"))


def test_everything_is_there_and_nothing_is_left_to_fill_in(acme):
    files = {str(path.relative_to(acme)) for path in acme.rglob("*") if path.is_file()}
    assert acme.name == "venuemesh-acme-spot"
    assert files == {
        "pyproject.toml",
        "README.md",
        ".gitignore",
        "venuemesh_acme_spot/__init__.py",
        "venuemesh_acme_spot/spec.py",
        "venuemesh_acme_spot/market.py",
        "venuemesh_acme_spot/orders.py",
        "venuemesh_acme_spot/auth.py",
        "venuemesh_acme_spot/py.typed",
        "tests/test_conformance.py",
        "tests/test_trading.py",
        "tests/test_replaced.py",
        "tests/messages.py",
    }
    text = "".join((acme / name).read_text() for name in files)
    for word in ("TODO", "FIXME", "NotImplementedError", "$name", "$Name"):
        assert word not in text
    project = tomllib.loads((acme / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["venuemesh.connectors"] == {"acme_spot": "venuemesh_acme_spot:CONNECTOR"}


def test_it_is_in_the_one_format(acme):
    run("-m", "ruff", "check", "--no-cache", ".", cwd=acme)
    run("-m", "ruff", "format", "--no-cache", "--check", ".", cwd=acme)


def test_as_laid_out_only_the_checks_fail_that_name_an_invented_part(acme):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=acme,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    output = done.stdout
    failed = {line.split("::")[1].split()[0] for line in output.splitlines() if line.startswith("FAILED ")}
    named = (acme / "tests" / "test_replaced.py").read_text()
    assert failed == {line.split("(")[0][4:] for line in named.splitlines() if line.startswith("def test_")}, output[
        -3000:
    ]
    assert len(failed) == 9
    for instruction in ("spec.py: api.acme-spot.test", "VECTORS is empty", "market.py: CODES", "KEY is empty"):
        assert instruction in output


def test_what_was_replaced_is_no_longer_named(acme, tmp_path):
    """An author who follows the texts of the checks makes all checks pass."""
    copy = tmp_path / "copy"
    shutil.copytree(acme, copy)
    package, tests = copy / "venuemesh_acme_spot", copy / "tests"
    changes = {
        package / "spec.py": (
            ("api.acme-spot.test", "api.example.com"),
            ("ws.acme-spot.test", "ws.example.com"),
            ("invented", "documented"),
            ("MANUAL, cost", '"page, read today", cost'),
            ("MANUAL, order", '"page, read today", order'),
        ),
        package / "market.py": (("invented", "real"), ('    "too_old": Refusal.CLOCK,\n', "")),
        package / "orders.py": (("invented: replace it with the exchange's", "real, reports come by polling"),),
        tests / "messages.py": (("min_cost", "least_cost"),),
        tests / "test_trading.py": (("...] = ()", '...] = (("s", "t", "x"),)'), ("str] = {}", 'str] = {"a": "b"}')),
    }
    for path, pairs in changes.items():
        text = path.read_text()
        for old, new in pairs:
            assert old in text, (path, old)
            text = text.replace(old, new)
        path.write_text(text)
    output = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_replaced.py", cwd=copy)
    assert "9 passed" in output


@pytest.fixture(scope="module")
def site(acme, tmp_path_factory):
    """A folder in which the connector is installed, for PYTHONPATH."""
    folder = tmp_path_factory.mktemp("installed")
    run(
        *("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation"),
        *("--target", folder, acme),
        cwd=folder,
    )
    return folder


def test_installed_it_is_found_by_its_entry_point(acme, site, tmp_path):
    code = "from venuemesh.connectors import registry; print(registry.connector('acme_spot').name, *registry.known())"
    name, *known = run("-c", code, cwd=tmp_path, path=[site]).split()
    assert name == "acme_spot"
    assert {"acme_spot", "binance"} <= set(known)
    samples = acme / "tests" / "messages.py"
    output = run(*VENUEMESH, "conformance", "acme_spot", "--samples", samples, cwd=tmp_path, path=[site])
    assert " 0 failed" in output.splitlines()[-1]
    plan = run(
        *VENUEMESH, "conformance", "acme_spot", "--samples", samples, "--live", "--dry-run", cwd=tmp_path, path=[site]
    )
    assert "https://api.acme-spot.test" in plan
    assert "42 of 1200 weight" in plan  # twice the list, 10 each; 2 and 20 for the two snapshots


@contextmanager
def acme_exchange():
    """A process that speaks the format of the layout; gives its base URLs."""
    server = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "fakes" / "acme_exchange.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield json.loads(server.stdout.readline())
    finally:
        server.stdin.close()
        server.wait(20)
        server.stdout.close()
    assert server.returncode == 0


def test_installed_it_keeps_a_book_of_an_exchange_that_speaks_its_format(site, tmp_path):
    with acme_exchange() as urls:
        at = ("--rest", urls["rest"], "--ws", urls["ws"])
        output = run(*VENUEMESH, "connect", "acme_spot", *at, cwd=tmp_path, path=[site])
        assert "BTC-USDT (BTC_USDT) confirmed" in output
        output = run(*VENUEMESH, "conformance", "acme_spot", *at, "--seconds", "2", cwd=tmp_path, path=[site])
        assert output.splitlines()[-1] == "4 passed, 0 failed, 0 skipped"
        output = run(*VENUEMESH, "api", "acme_spot", "GET", "/v1/time", *at[:2], cwd=tmp_path, path=[site])
        assert "x-used-weight: 3" in output


def test_installed_its_book_goes_live_in_a_mesh(site, tmp_path):
    """A configuration that names no option hands the codec none: this connector declares none."""
    config = tmp_path / "mesh.toml"
    with acme_exchange() as urls:
        table = f'[exchanges.acme_spot]\npairs = ["BTC-USDT"]\nrest = "{urls["rest"]}"\nws = "{urls["ws"]}"\n'
        config.write_text(table)
        output = run(ROOT / "tests" / "fakes" / "mesh_without_ray.py", config, "30", cwd=tmp_path, path=[site])
        assert json.loads(output) == {"book/acme_spot/BTC-USDT": "LIVE"}
        config.write_text(table + '[exchanges.acme_spot.options]\ndepth_speed = "100ms"\n')
        refused = run("-c", REFUSED, config, cwd=tmp_path, path=[site])
    assert refused == f"{config} exchanges.acme_spot.options.depth_speed acme_spot has no options\n"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "lower-case"),
        ("Acme", "lower-case"),
        ("acme-spot", "lower-case"),
        ("9acme", "lower-case"),
        ("_acme", "lower-case"),
        ("acme_", "lower-case"),
        ("ac__me", "lower-case"),
        ("../acme", "lower-case"),
        ("acmé", "lower-case"),
        ("acme\n", "lower-case"),
        ("class", "a keyword of Python"),
        ("binance", "installed already"),
        ("a" * 33, "longer than 32"),
    ],
)
def test_a_name_that_cannot_be_is_refused_and_nothing_is_written(tmp_path, name, reason):
    with pytest.raises(Misconfigured, match=reason):
        lay_out(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_is_left_as_it_is(tmp_path):
    (tmp_path / "venuemesh-acme").mkdir()
    with pytest.raises(Misconfigured, match="exists already"):
        lay_out("acme", tmp_path)
    assert list((tmp_path / "venuemesh-acme").iterdir()) == []
    with pytest.raises(Misconfigured, match="no such folder"):
        lay_out("acme", tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_half_a_layout_is_never_left(tmp_path, monkeypatch):
    def full(self, *_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "touch", full)
    with pytest.raises(Misconfigured, match="No space left on device"):
        lay_out("acme", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_templates_are_package_data():
    """Every template is named by the layout and by pyproject's patterns, so it is in wheel and sdist."""
    found = {path.name for path in (ROOT / "venuemesh" / "cli" / "templates" / "connector").iterdir()}
    assert found == set(FILES)
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert data["venuemesh.cli"] == ["templates/connector/*.txt"]
    assert "recursive-include venuemesh/cli/templates *.txt" in (ROOT / "MANIFEST.in").read_text()
