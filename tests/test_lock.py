"""`requirements.lock` has what pyproject.toml requires, and `scripts/install` gives uv the settings of pip."""

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
LOCK = (ROOT / "requirements.lock").read_text()
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = ("linux", "darwin")


@pytest.fixture(scope="module")
def install():
    loader = SourceFileLoader("install_script", str(ROOT / "scripts" / "install"))
    module = module_from_spec(spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def locked(environment):
    """Return the locked version of each distribution for an environment, by canonical name."""
    pins = [Requirement(line.rstrip(" \\")) for line in LOCK.splitlines() if re.match(r"\w", line)]
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
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": platform, "extra": "dev"}
    environment = {**default_environment(), **named}
    texts = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["dev"],
        *project["build-system"]["requires"],
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
    assert "://" not in LOCK
    assert "--index" not in LOCK
    pins = [entry for entry in re.split(r"\n(?=\w)", LOCK) if not entry.startswith("#")]
    assert len(pins) > 80
    assert all("--hash=sha256:" in pin for pin in pins)


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
