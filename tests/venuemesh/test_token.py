"""Ray's token is private before Ray starts; one that others could read or replace is refused with the remedy."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import threading

import pytest

from venuemesh.mesh.token import check_required, check_token, make_token
from venuemesh.model.errors import Misconfigured


@pytest.fixture
def token(tmp_path, monkeypatch):
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / ".ray" / "auth_token"


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_missing_token_is_made_private_under_any_umask(token):
    before = os.umask(0)
    try:
        make_token()
    finally:
        os.umask(before)
    assert (mode_of(token), mode_of(token.parent)) == (0o600, 0o700)
    assert len(token.read_text()) == 64
    assert list(token.parent.iterdir()) == [token]


def test_starts_at_once_agree_on_one_whole_token(token):
    seen = []

    def start():
        make_token()
        seen.append(token.read_text())

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len(set(seen)) == 1


@pytest.mark.parametrize("check", [make_token, check_token])
@pytest.mark.parametrize(
    ("folder", "file", "answer"),
    [
        (0o700, 0o644, r"has mode 0644: other users may have read it.*run: rm .*/\.ray/auth_token"),
        (0o700, 0o620, r"has mode 0620.*rm "),
        (0o755, 0o600, r"the folder of Ray's token .*has mode 0755, so other users can enter it; run: chmod 700 "),
    ],
)
def test_a_wider_token_is_refused(token, check, folder, file, answer):
    token.parent.mkdir()
    token.write_text("secret-of-the-cluster")
    token.chmod(file)
    token.parent.chmod(folder)
    with pytest.raises(Misconfigured, match=answer) as refused:
        check()
    assert "secret-of-the-cluster" not in str(refused.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_token_of_another_user_is_refused(token, monkeypatch):
    make_token()
    os.chown(token, 65534, -1)
    with pytest.raises(Misconfigured, match=r"belongs to user nobody, who can change it"):
        make_token()


def test_a_token_elsewhere_is_checked_and_never_made(token, tmp_path, monkeypatch):
    other = tmp_path / "other"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(other))
    with pytest.raises(Misconfigured, match=r"other: does not exist; write it, or unset RAY_AUTH_TOKEN_PATH"):
        make_token()
    other.write_text("word")
    other.chmod(0o644)
    with pytest.raises(Misconfigured, match="has mode 0644"):
        make_token()
    other.chmod(0o600)
    make_token()
    tmp_path.chmod(0o777)
    with pytest.raises(Misconfigured, match=r"has mode 0777, so other users can change it; run: chmod go-w "):
        make_token()
    assert not token.exists()


def test_a_cluster_without_token_authentication_is_not_started(token, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(Misconfigured, match=r"RAY_AUTH_MODE=disabled: any user .* unset RAY_AUTH_MODE"):
        make_token()


@pytest.mark.ray
@pytest.mark.parametrize("mode", ["token", "disabled"])
def test_a_cluster_that_lets_everyone_in_gets_no_keys(mode, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "t" * 64)
    program = (
        "import ray; ray.init(address='local', num_cpus=1, include_dashboard=False, _node_ip_address='127.0.0.1',"
        " object_store_memory=80_000_000, log_to_driver=False, logging_level='error');"
        " print(ray.get_runtime_context().gcs_address, flush=True); input()"
    )
    with tempfile.TemporaryDirectory(prefix="vmt", dir="/tmp") as folder:
        environment = os.environ | {"RAY_AUTH_MODE": mode, "RAY_TMPDIR": folder}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen([sys.executable, "-c", program], env=environment, text=True, **pipes) as cluster:
            address = cluster.stdout.readline().strip()
            if mode == "token":
                check_required(address, "binance")
            else:
                with pytest.raises(
                    Misconfigured, match="reads the keys of binance; start Ray with RAY_AUTH_MODE=token"
                ):
                    check_required(address, "binance")
            cluster.communicate("\n")


def test_a_cluster_that_does_not_answer_gets_no_keys(monkeypatch):
    monkeypatch.setattr("venuemesh.mesh.token.PROBE", "import sys; print('no route', file=sys.stderr); sys.exit(1)")
    with pytest.raises(Misconfigured, match=r"Ray at 192\.0\.2\.1:1: does not show whether it has a token: no route"):
        check_required("192.0.2.1:1", "binance")
