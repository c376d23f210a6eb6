"""Ray's own loader accepts cluster.yaml, and cluster.yaml has the settings that the mesh needs."""

from pathlib import Path

import yaml

CLUSTER = Path(__file__).resolve().parents[1] / "cluster.yaml"


def test_ray_accepts_it():
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(yaml.safe_load(CLUSTER.read_text())))


def test_every_start_has_token_authentication():
    config = yaml.safe_load(CLUSTER.read_text())
    starts = [
        command
        for part in ("head_start_ray_commands", "worker_start_ray_commands")
        for command in config[part]
        if "ray start" in command or "venuemesh up" in command
    ]
    assert len(starts) == 3
    assert all("RAY_AUTH_MODE=token" in command for command in starts)
    assert "~/.ray/auth_token" in config["file_mounts"]


def test_the_sessions_and_the_token_are_below_private_folders():
    config = yaml.safe_load(CLUSTER.read_text())
    starts = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    begun = [command for command in starts if "ray start" in command]
    assert len(begun) == 2
    assert all("--temp-dir=$HOME/.venuemesh-ray/r" in command for command in begun)
    assert any("chmod 700 ~/.ray;" in line and "-m 700 ~/.venuemesh-ray" in line for line in config["setup_commands"])
