"""Starts: of commands, of a service, of a cell, as a person waits for them.

Commands are whole processes, interleaved with `python -c "import ray"`, the least that a command over Ray takes. They
use a service that `venuemesh up` starts for four books and an account on the local exchange, from the first byte of
`up` until all books are LIVE and the account takes orders; the same with new processes in place of forks as workers
(`VENUEMESH_FORKED_WORKERS=0`) is the baseline.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from venuemesh.exchange.launch import serving
from venuemesh.mesh.forks import SWITCH

from .harness import EXCHANGE, Json, load, median, own_segments, ratio

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT")
RATE = 200  # level changes a second over all pairs
MESH = "bench-start"
LIMIT_S = 120.0
IMPORT_RAY = 'python -c "import ray"'
VENUEMESH = (sys.executable, "-m", "venuemesh")
COMMANDS = {
    IMPORT_RAY: (sys.executable, "-c", "import ray"),
    "venuemesh --help": (*VENUEMESH, "--help"),
    "venuemesh status": (*VENUEMESH, "status", "-m", MESH),
    "venuemesh orders": (*VENUEMESH, "orders", EXCHANGE, "-m", MESH),
    "venuemesh buy": (*VENUEMESH, "buy", EXCHANGE, "BTC-USDT", "0.001", "--price", "30000", "-m", MESH),
}


def _run(command: tuple[str, ...], environment: Mapping[str, str]) -> float:
    """Run a process; return how many seconds it took."""
    began = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    took_s = time.monotonic() - began
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return took_s


def _accounts(folder: Path) -> str:
    """Write the files of a key; return the account's lines of the configuration."""
    key, secret = secrets.token_hex(16), secrets.token_hex(32)
    texts = {
        "api-key": key,
        "secret": secret,
        "accounts.toml": '[accounts.main]\nbalances = {BTC = "10", USDT = "1000000"}\n'
        f'keys = [{{key = "{key}", secret_file = "secret"}}]\n',
    }
    for name, text in texts.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(text)
    return f'api_key_file = "{folder}/api-key"\nsecret_file = "{folder}/secret"\n'


def _configuration(folder: Path, urls: Json, account: str) -> Path:
    own = urls[EXCHANGE]
    pairs = [f"{symbol.removesuffix('USDT')}-USDT" for symbol in SYMBOLS]
    places = "".join(f'{name} = "{own[name]}"\n' for name in ("rest", "ws", "ws_api"))
    path = folder / "mesh.toml"
    path.write_text(
        f'[mesh]\nname = "{MESH}"\n[exchanges.{EXCHANGE}]\npairs = {json.dumps(pairs)}\n{places}'
        f"[exchanges.{EXCHANGE}.accounts.main]\n{account}"
    )
    return path


def run(quick: bool = False) -> Json:
    """Measure; see the module."""
    ups, rounds = (1, 2) if quick else (3, 15)
    took: dict[str, list[float]] = {name: [] for name in COMMANDS}
    started: dict[bool, list[float]] = {True: [], False: []}
    with tempfile.TemporaryDirectory(prefix="vmb-") as name, own_segments():
        folder = Path(name)
        account = _accounts(folder)
        options = ["--json", "--parent", str(os.getpid()), "--seed", "1", "--rate", str(RATE)]
        options += ["--symbols", ",".join(SYMBOLS), "--accounts", str(folder / "accounts.toml")]
        with serving("venuemesh.exchange", *options) as (_, urls):
            path = _configuration(folder, urls, account)
            for number in range(2 * ups):
                forked = number % 2 == 1  # the last service, which the commands use, has forks
                environment = {**os.environ, "XDG_STATE_HOME": name, SWITCH: "1" if forked else "0"}
                try:
                    started[forked].append(_run((*VENUEMESH, "up", str(path), "--wait", "100"), environment))
                    if number == 2 * ups - 1:
                        for _ in range(rounds):
                            for command, arguments in COMMANDS.items():
                                took[command].append(_run(arguments, environment))
                finally:
                    _run((*VENUEMESH, "down", "-m", MESH), environment)
    bare = median(took[IMPORT_RAY])
    rows: list[Json] = [
        {"what": what, "p50_s": round(median(times) or 0, 2), "import_ray_is": ratio(median(times), bare, 2)}
        for what, times in took.items()
    ]
    up, plain = median(started[True]), median(started[False])
    rows.append({"what": "up, all LIVE and trading", "p50_s": round(up or 0, 1)})
    rows.append({"what": "the same, workers not forked", "p50_s": round(plain or 0, 1), "forked_is": ratio(up, plain)})
    rows[0]["load_1m"] = load()
    return {"title": "starts: commands as whole processes, and `venuemesh up` of 4 books and an account", "rows": rows}


if __name__ == "__main__":
    print(*run(quick="--quick" in sys.argv)["rows"], sep="\n")
