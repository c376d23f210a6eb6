"""Ray's own loader accepts cluster.yaml, and the three ways to start a cluster have the settings that the mesh needs:
the units of docs/cluster.md, cluster.yaml and examples/kuberay.yaml."""

import shlex
from pathlib import Path

import pytest
import ray
import yaml

from tests.cluster import page
from venuemesh.config.mesh import load_config

ROOT = Path(__file__).resolve().parents[1]
CLUSTER = ROOT / "cluster.yaml"
KUBERAY = ROOT / "examples" / "kuberay.yaml"


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


def service(kind):
    """Return the properties, the environment and the arguments of the service that cluster.yaml starts."""
    (command,) = [
        one for one in yaml.safe_load(CLUSTER.read_text())[f"{kind}_start_ray_commands"] if "systemd-run" in one
    ]
    words = shlex.split(command.replace("$HOME", "%h"))
    at = next(n for n, word in enumerate(words) if word.endswith("/bin/ray"))
    options = [word.split("=", 1) for word in words[1:at] if "=" in word]
    properties = dict(value.split("=", 1) for name, value in options if name == "--property")
    return properties, dict(value.split("=", 1) for name, value in options if name == "--setenv"), words[at:]


@pytest.mark.parametrize("kind", ["head", "worker"])
def test_the_services_of_cluster_yaml_are_those_of_the_page(kind):
    lines = [line.partition("=")[::2] for line in page.block("ini", kind).splitlines() if "=" in line]
    wanted = {key: value for key, value in lines if key not in ("Environment", "ExecStart", "WantedBy")}
    environment = dict(word.split("=", 1) for key, value in lines if key == "Environment" for word in value.split())
    properties, variables, arguments = service(kind)
    assert (properties, variables) == (wanted, environment)
    assert wanted["Restart"] == "always"
    assert wanted["StartLimitIntervalSec"] == "0"  # else systemd gives up after five starts in 10 s
    assert wanted["KillMode"] == "mixed"  # without it Ray came back a minute after the kill of a GCS
    (start,) = [value for key, value in lines if key == "ExecStart"]
    of_host = {"--node-ip-address", "--labels", "--address", "--autoscaling-config"}
    assert _options(arguments) - of_host == _options(shlex.split(start)) - of_host
    assert ("--head" in arguments, "--block" in arguments) == (kind == "head", True)


def _options(words):
    return {word.split("=", 1)[0] for word in words if word.startswith("--")}


def test_the_head_keeps_the_state_of_the_gcs():
    _, variables, _ = service("head")
    assert variables["RAY_gcs_storage"] == "rocksdb"
    first = yaml.safe_load(CLUSTER.read_text())["head_start_ray_commands"][0]
    assert first.endswith(variables["RAY_gcs_storage_path"].replace("%h", "rm -rf ~")), "ray up begins anew"
    _, cluster = yaml.safe_load_all(KUBERAY.read_text())
    assert cluster["spec"]["gcsFaultToleranceOptions"]["backend"] == "rocksdb"


def test_the_pods_are_like_the_hosts(tmp_path):
    configuration, cluster = yaml.safe_load_all(KUBERAY.read_text())
    spec = cluster["spec"]
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["rayVersion"] == ray.__version__
    _, variables, _ = service("worker")
    (group,) = spec["workerGroupSpecs"]
    for pods in (spec["headGroupSpec"], group):
        pod = pods["template"]["spec"]
        (rule,) = pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert rule["topologyKey"] == "kubernetes.io/hostname", "both copies of a book could be on one host"
        assert rule["labelSelector"]["matchLabels"] == {"ray.io/cluster": cluster["metadata"]["name"]}
        assert pod["restartPolicy"] == "Always"
        (container,) = pod["containers"]
        given = {one["name"]: one["value"] for one in container["env"]}
        assert given == {key: value for key, value in variables.items() if key != "RAY_AUTH_MODE"}  # KubeRay sets it
    (tmp_path / "mesh.toml").write_text(configuration["data"]["mesh.toml"])
    (exchange,) = load_config(tmp_path / "mesh.toml").exchanges.values()
    assert exchange.nodes == group["labels"]
