"""The locks have what pyproject.toml requires, with hashes; `scripts/install` installs nothing else, and gives uv the
settings of pip; `scripts/audit` calls nothing audited that no service answered for."""

import re
import tomllib
from importlib import metadata
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()
TOOLS = {path.stem: path.read_text() for path in sorted((ROOT / "requirements").glob("*.lock"))}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = ("linux", "darwin")


def script(name):
    loader = SourceFileLoader(f"{name}_script", str(ROOT / "scripts" / name))
    module = module_from_spec(spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def install():
    return script("install")


@pytest.fixture(scope="module")
def audit():
    return script("audit")


def locked(environment, lock=LOCK):
    """Return the locked version of each distribution for an environment, by canonical name."""
    pins = [Requirement(line.rstrip(" \\")) for line in lock.splitlines() if re.match(r"\w", line)]
    versions = {}
    for pin in pins:
        if pin.marker is None or pin.marker.evaluate(environment):
            (specifier,) = pin.specifier
            assert specifier.operator == "=="
            assert versions.setdefault(canonicalize_name(pin.name), specifier.version) == specifier.version
    return versions


def unsatisfied(texts, versions, environment):
    for requirement in map(Requirement, texts):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            version = versions.get(canonicalize_name(requirement.name))
            if version is None or not requirement.specifier.contains(version, prereleases=True):
                yield f"{requirement}: locked is {version}"


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_has_every_direct_requirement(python, platform):
    named = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": platform, "extra": "dev"}
    environment = {**default_environment(), **named}
    texts = [
        *PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"]["dev"],
        *PROJECT["build-system"]["requires"],
    ]
    assert not list(unsatisfied(texts, locked(environment), environment))


def test_the_lock_has_what_the_locked_distributions_require():
    """Of those that are installed here in the locked version; an environment made by pip may have newer ones."""
    environment = {**default_environment(), "extra": ""}
    versions = locked(environment)
    found = {canonicalize_name(item.metadata["Name"]): item for item in metadata.distributions()}
    here = [found[name] for name, version in versions.items() if name in found and found[name].version == version]
    missing = [
        f"{item.metadata['Name']} requires {text}"
        for item in here
        for text in unsatisfied(item.requires or (), versions, environment)
    ]
    assert not missing


def test_the_lock_names_no_index_and_hashes_everything():
    for lock, least in ((LOCK, 80), *((text, 1) for text in TOOLS.values())):
        assert "://" not in lock
        assert "--index" not in lock
        pins = [entry for entry in re.split(r"\n(?=\w)", lock) if not entry.startswith("#")]
        assert len(pins) >= least
        assert all("--hash=sha256:" in pin for pin in pins)


def test_every_group_of_tools_has_its_lock():
    groups = PROJECT["dependency-groups"]
    assert set(groups) == set(TOOLS)
    environment = {**default_environment(), "python_version": "3.11", "python_full_version": "3.11.0"}
    for group, texts in groups.items():
        assert not list(unsatisfied(texts, locked({**environment, "sys_platform": "linux"}, TOOLS[group]), environment))


@pytest.mark.parametrize("locks", [(), ("requirements/fuzz.lock",)])
def test_everything_is_installed_by_its_hash(install, monkeypatch, tmp_path, locks):
    """Only this tree has none; it brings no dependency and no build tool along."""
    commands = []
    monkeypatch.setattr(install, "run", lambda *command, environment=None: commands.append(command))
    install.venv.create(tmp_path / "venv", symlinks=True)
    listed = type("Done", (), {"stdout": ""})
    monkeypatch.setattr(install.subprocess, "run", lambda *_, **__: listed)
    install.install(tmp_path / "venv", locks)
    installing = [command for command in commands if "install" in command]
    of_this_tree = [command for command in installing if "--editable" in command]
    hashed = [command for command in installing if command not in of_this_tree]
    assert all("--require-hashes" in command for command in hashed)
    assert [command[-1] for command in hashed] == ["requirements/install.lock", *(locks or ("requirements.lock",))]
    assert all({"--no-deps", "--no-build-isolation"} <= set(command) for command in of_this_tree)
    assert len(of_this_tree) == (0 if locks else 1)


GOOD = {"name": "good", "version": "1.0", "vulns": []}
BAD = {"name": "bad", "version": "2.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}]}
UNKNOWN = {"name": "unknown", "skip_reason": "Dependency not found"}


@pytest.mark.parametrize(
    ("found", "status", "words"),
    [
        ([GOOD], 0, "1 of 1 versions audited, 0 advisories"),
        ([GOOD, BAD], 1, "VULNERABLE bad 2.0: PYSEC-1, mended in 2.1"),
        ([GOOD, UNKNOWN], 1, "NOT AUDITED unknown: Dependency not found"),
        ([UNKNOWN, UNKNOWN], 0, "skipped: the service answered for none of 2 versions"),
    ],
)
def test_what_no_service_answered_for_is_not_called_audited(audit, found, status, words):
    lines, ended = audit.verdict({"dependencies": found})
    assert ended == status
    assert any(line.startswith(words) for line in lines)
    assert any("audited" in line for line in lines)


def test_uv_gets_the_index_of_pip(install):
    listed = """\
:env:.index-url='https://environment.example/simple'
global.index-url='https://global.example/simple'
global.extra-index-url='https://one.example/simple\\nhttps://two.example/simple'
install.cert='/etc/install.pem'
global.cert='/etc/global.pem'
freeze.timeout='10'
global.constraint='/etc/constraints.txt'
"""
    assert install.variables_for_uv(listed, {}) == {
        "UV_DEFAULT_INDEX": "https://environment.example/simple",
        "UV_INDEX": "https://one.example/simple https://two.example/simple",
        "SSL_CERT_FILE": "/etc/install.pem",
    }


def test_a_variable_of_uv_itself_stays(install):
    listed = "global.index-url='https://global.example/simple'\nglobal.proxy='http://proxy.example:3128'\n"
    found = install.variables_for_uv(listed, {"UV_DEFAULT_INDEX": "https://other.example/simple"})
    assert found == {"ALL_PROXY": "http://proxy.example:3128"}
