"""`venuemesh up`, the commands that use a running mesh, the examples, and `down`, as a user runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))


def test_up_says_what_runs(service):
    assert service.answer["mesh"] == "service"
    assert service.answer["books"] == service.answer["live"] == 2


def test_up_again_is_refused(service, lone_shell):
    done = lone_shell("up", service.config, check=False)
    assert done.returncode == 2
    assert "runs already" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_status_shows_the_tree(service, cli, shell):
    tree = json.loads(cli("status", "--mesh", "service", "--json").stdout.splitlines()[-1])
    rows = {row["address"]: row for row in tree["children"]}
    for address in ("book/binance/BTC-USDT", "book/binance/ETH-USDT", "catalog/binance", "limits/binance/default"):
        assert rows[address]["state"] == "SERVING"
        assert rows[address]["pid"]
        assert rows[address]["rss"] > 0
    assert "book/binance/BTC-USDT" in shell("status", "--mesh", "service").stdout


def test_a_shell_completes_the_pairs_of_the_running_mesh_without_ray(service, state):
    code = "import sys; sys.argv = ['venuemesh']; sys.modules['ray'] = None; "
    code += "from venuemesh.__main__ import main; main()"
    words = "venuemesh book --mesh service binance BTC"
    shell = {"_VENUEMESH_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "5"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=state | shell, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["BTC-USDT"], "")


def test_book_prints_levels(service, shell):
    done = shell("book", "binance", "BTC-USDT", "--depth", 3, "--mesh", "service", "--json")
    book = json.loads(done.stdout.splitlines()[-1])
    assert book["state"] == "LIVE"
    assert len(book["bids"]) == len(book["asks"]) == 3
    assert float(book["bids"][0][0]) < float(book["asks"][0][0])
    assert "LIVE" in shell("book", "binance", "BTC-USDT", "--mesh", "service").stdout


def test_watch_ends_by_itself(service, shell):
    assert "BTC-USDT" in shell("watch", "binance", "BTC-USDT", "--seconds", 1, "--mesh", "service").stdout


@pytest.mark.parametrize(
    ("how", "arguments", "answer"),
    [
        ("cli", ("book", "binance", "NO-PAIR", "--mesh", "service"), "unknown trading pair 'NO-PAIR'"),
        ("shell", ("book", "kraken", "BTC-USDT", "--mesh", "service"), "unknown exchange 'kraken'"),
        ("shell", ("track", "binance", "NO-PAIR", "--mesh", "service"), "unknown trading pair 'NO-PAIR'"),
        ("shell", ("book", "binance", "BTC/USDT", "--mesh", "service"), "did you mean BTC-USDT?"),
        ("shell", ("track", "binance", "ETHBTC", "--mesh", "service"), "did you mean ETH-BTC?"),
        ("shell", ("untrack", "binance", "ethusdt", "--mesh", "service"), "did you mean ETH-USDT?"),
        ("shell", ("orders", "binance", "--pair", "BTCUSDT", "--mesh", "service"), "did you mean BTC-USDT?"),
        ("shell", ("orders", "binance", "--all", "--pair", "NO-PAIR", "--mesh", "service"), "does not list it"),
        ("shell", ("trades", "binance", "--pair", "btc-usdt", "--mesh", "service"), "did you mean BTC-USDT?"),
        ("shell", ("cancel-all", "binance", "--pair", "BTC-UDST", "--mesh", "service"), "did you mean BTC-USDT?"),
        ("shell", ("pause", "--pair", "BTC_USDT", "--mesh", "service"), "did you mean BTC-USDT?"),
        ("shell", ("restart", "book/nobody/*", "--mesh", "service"), "restart"),
        ("lone_shell", ("status", "--mesh", "nowhere"), "mesh 'nowhere' is not running"),
        ("lone_shell", ("down", "--mesh", "nowhere"), "mesh 'nowhere' is not running"),
        ("lone_shell", ("status", "--mesh", "nowhere", "--address", "127.0.0.1:1"), "mesh 'nowhere' is not running"),
        ("lone_shell", ("up", "/nonexistent/mesh.toml"), "/nonexistent/mesh.toml: cannot be read"),
        ("lone_shell", ("replay", "/nonexistent.jsonl.gz"), "/nonexistent.jsonl.gz"),
        ("lone_shell", ("replay", "x", "--exchange", "nowhere"), "unknown exchange 'nowhere'"),
        ("cli", ("frobnicate",), "No such command"),
    ],
)
def test_errors_are_one_line_and_status_2(service, request, how, arguments, answer):
    done = request.getfixturevalue(how)(*arguments, check=False)
    assert done.returncode == 2, done.stderr
    assert answer in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_unknown_pair_in_the_configuration_starts_nothing(exchange, cli, lone_shell, tmp_path, state):
    path = tmp_path / "mesh.toml"
    urls = exchange["binance"]
    path.write_text(
        '[mesh]\nname = "typo"\nspares_per_node = 1\n[exchanges.binance]\npairs = ["BTC-UDST"]\n'
        f'rest = "{urls["rest"]}"\nws = "{urls["ws"]}"\n'
    )
    done = cli("up", path, check=False)
    assert done.returncode == 2
    assert "unknown trading pair 'BTC-UDST' on binance: exchanges.binance.pairs names a pair" in done.stderr
    assert "did you mean BTC-USDT?" in done.stderr
    assert not (Path(state["XDG_STATE_HOME"]) / "venuemesh" / "typo.json").exists()
    assert lone_shell("status", "--mesh", "typo", check=False).returncode == 2


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(service, state, name):
    """Each example runs against this service: the environment names its mesh, as the documents describe."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name)],
        env={**state, "VENUEMESH_MESH": "service"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert len((ROOT / "examples" / name).read_text().splitlines()) <= 32


def test_readme_snippet_runs(service, state, tmp_path):
    """The README's example runs unchanged, with another line that ends it."""
    text = (ROOT / "README.md").read_text()
    snippet = text.split("```python\n", 1)[1].split("```", 1)[0]
    ending = "\n\nprint(next(book.changes()).best_bid)\n"
    path = tmp_path / "snippet.py"
    path.write_text(snippet + ending)
    env = {**state, "VENUEMESH_MESH": "service"}
    done = subprocess.run(
        [sys.executable, str(path)], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_down_leaves_nothing(service, cli):
    """The last test of this file ends the service and searches for leftovers."""
    before = _descendants(service.host)
    assert before, "the host has no children: nothing to see"
    cli("down", "--mesh", "service")
    assert not service.run_file.exists()
    left = [pid for pid in (service.host, *before) if Path("/proc", str(pid)).exists() and not _is_zombie(pid)]
    assert not left
    root = Path(os.environ.get("VENUEMESH_SEGMENTS") or f"/dev/shm/venuemesh-{os.getuid()}")
    assert not list(root.glob("service/*/*")), "segments are left"


def _descendants(pid):
    children = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, waiting = [], [pid]
    while waiting:
        for child in children.get(waiting.pop(), []):
            found.append(child)
            waiting.append(child)
    return found


def _is_zombie(pid):
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
