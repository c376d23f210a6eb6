"""A mesh on hosts, as docs/cluster.md says: a head, workers, and a host with the exchange and PostgreSQL."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.cluster import page
from tests.cluster.hosts import Host, until
from tests.cluster.init import HOME
from tests.cluster.net import Network
from tests.fakes.postgres import FAST, required_binaries, unprivileged
from venuemesh.mesh.forks import are_used

ADDRESSES = {"a": page.HEAD, "b": page.WORKER, "c": "192.0.2.12", "d": "192.0.2.13"}
EXCHANGE, EXCHANGE_ADDRESS = "x", "192.0.2.20"
PEERS = ADDRESSES | {EXCHANGE: EXCHANGE_ADDRESS}
CLUSTER = f"{page.HEAD}:6379"
MESH = "mesh"
PORT, ADMIN_PORT = 9000, 9100
PYTHON = str(HOME / "venuemesh" / "venv" / "bin" / "python")
PAUSE = "pause"
QUERY = f"psql -q -h {HOME}/pg -U mesh -d postgres -c"
WEST, EAST = ("BTC-USDT", "ETH-USDT", "SOL-USDT"), ("BTC-USDT", "ETH-USDT")
ACCOUNTS = {"main": "USDT=1000000,BTC=20,ETH=300,SOL=5000,BNB=1500", "second": "USDT=1000000,BTC=20,ETH=300"}
START_S = 180.0
STARTED = "Ray runtime started."


def mesh_toml(west: Sequence[str], east: Sequence[str], sqlite: bool = False) -> str:
    """Return a configuration: one exchange on any host, whose books are redundant, and one, with its own egress, on
    hosts of the region east.

    With `sqlite` the journal is a file of the host where `up` runs.
    """
    urls = f'rest = "http://127.0.0.1:{PORT}"\nws = "ws://127.0.0.1:{PORT}"\n'
    urls += f'ws_api = "ws://127.0.0.1:{PORT}/ws-api/v3"\nconnector = "binance"\n'

    def account(exchange: str, name: str) -> str:
        files = f'api_key_file = "~/venuemesh/{name}.key"\nsecret_file = "~/venuemesh/{name}.secret"\n'
        return f"[exchanges.{exchange}.accounts.{name}]\n{files}"

    text = (
        f'[mesh]\nname = "{MESH}"\nspares_per_node = 1\nhang_limit_s = 5.0\nheartbeat_limit_s = 1.0\n\n'
        + ("[journal]\npinned = true\n\n" if sqlite else '[journal]\nurl_file = "~/venuemesh/journal-url"\n\n')
        + f"[exchanges.west]\n{urls}pairs = {json.dumps(list(west))}\nredundancy = 2\n"
        + f"{account('west', 'main')}\n"
    )
    if not east:
        return text
    return text + (
        f'[exchanges.east]\n{urls}pairs = {json.dumps(list(east))}\negress = "east"\n'
        f'nodes = {{ region = "east" }}\n{account("east", "second")}'
    )


def ray_argv(unit: page.Unit) -> Sequence[str]:
    """Return the unit's command, with forked workers unless $VENUEMESH_FORKED_WORKERS is 0."""
    ray, *arguments = unit.argv
    assert Path(ray).name == "ray", ray
    return [PYTHON, "-m", "tests.cluster.forked_ray", *arguments] if are_used() else unit.argv


def write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


class World:
    """All hosts. `folder` has the home of each."""

    def __init__(
        self,
        workers: Iterable[str] = ("b", "c"),
        west: Sequence[str] = WEST,
        east: Sequence[str] = EAST,
        quiet_start_s: float = 60.0,
        symbols: str = ",".join(sorted({pair.replace("-", "") for pair in (*WEST, *EAST)})),
        config: str | None = None,
        sqlite: bool = False,
    ) -> None:
        """`quiet_start_s`: how long its start takes on two cores with nothing else to do. Without `east` it has one
        exchange. With `config`, the text of the mesh's configuration, it has no strategies.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="vmc"))
        self.folder.chmod(0o711)
        self.config = config or mesh_toml(west, east, sqlite)
        self._symbols, self._has_strategies = symbols, config is None
        self._starter = "b" if sqlite else "a"  # where `up` runs, and an SQLite journal is
        self.books = [f"west/{pair}" for pair in west] + [f"east/{pair}" for pair in east]
        self.accounts = ("west/main", "east/second") if east else ("west/main",)
        self.quiet_start_s = quiet_start_s
        self.network = Network()
        self.secrets = {name: (secrets.token_hex(16), secrets.token_hex(32)) for name in ACCOUNTS}
        self.password, self.token = secrets.token_hex(16), secrets.token_hex(16)
        self.x = self._host(EXCHANGE)
        self.hosts = {name: self._host(name) for name in ("a", *workers)}

    def _host(self, name: str) -> Host:
        return Host(self.network, self.folder / name, name, PEERS[name], PEERS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()

    def end(self) -> None:
        """End all hosts at once, and remove what they wrote."""
        for host in (*self.hosts.values(), self.x):
            host.end()
        self.network.end()
        shutil.rmtree(self.folder)

    def add_worker(self, name: str) -> None:
        """Start a host that the mesh has not seen."""
        self.hosts[name] = self._host(name)
        self.start_worker(name)

    # ------------------------------------------------------------------ its start

    def start(self) -> None:
        """Start everything; return when `up` has, or without strategies, when every host is in the cluster."""
        self._start_exchange()
        self.start_head()
        for name in self.hosts:
            if name != "a":
                self.start_worker(name)
        until("every host is in the cluster", lambda: all(map(self.has_joined, self.hosts)), START_S)
        if self._has_strategies:
            wait = f"{page.command('up').strip()} --wait {START_S:g}"  # two cores for all hosts
            self.hosts[self._starter].run(wait, START_S + 30.0)

    def _start_exchange(self) -> None:
        binaries, data = required_binaries(), self.x.folder / "pg"
        data.mkdir()
        if user := unprivileged():
            os.chown(data, user["user"], user["group"])
        command = [binaries / "initdb", "-D", data / "data", "-U", "mesh", "-A", "trust", "-E", "UTF8", "--locale=C"]
        made = subprocess.run(
            [*command, "--no-sync", "--no-instructions"], capture_output=True, text=True, cwd=data, **user
        )
        assert made.returncode == 0, made.stdout + made.stderr
        with (data / "data" / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 192.0.2.0/24 scram-sha-256\n")
        settings = [setting for setting in FAST if not setting.startswith("listen_addresses")]
        settings.append(f"listen_addresses={EXCHANGE_ADDRESS}")
        options = [part for setting in settings for part in ("-c", setting)]
        self._as_postgres = (
            ["setpriv", f"--reuid={user['user']}", f"--regid={user['group']}", "--clear-groups"] if user else []
        )
        self._postgres = [*self._as_postgres, f"{binaries}/postgres", "-k", f"{HOME}/pg", *options]
        self.x.serve("postgres", [*self._postgres, "-D", f"{HOME}/pg/data"])
        write_private(self.x.folder / "admin-token", self.token)
        argv = [PYTHON, "-m", "venuemesh.exchange", "--json", "--host", EXCHANGE_ADDRESS, "--port", str(PORT)]
        argv += ["--admin-host", EXCHANGE_ADDRESS, "--admin-port", str(ADMIN_PORT)]
        argv += ["--admin-token", f"{HOME}/admin-token", "--symbols", self._symbols, "--rate", "20"]
        for name, holds in ACCOUNTS.items():
            argv += ["--account", ":".join((name, *self.secrets[name], holds))]
        self.x.serve("exchange", argv)
        self.x.boot()
        until("PostgreSQL serves", self.has_postgres, START_S)
        self.x.run(f"{QUERY} \"alter user mesh password '{self.password}'\"")
        self.x.run(f"{QUERY} 'create database venuemesh'")
        until("the exchange serves", lambda: '"admin"' in self.x.log("exchange"), START_S)

    def has_postgres(self) -> bool:
        try:
            self.x.run(f"{QUERY} 'select 1'")
        except AssertionError:
            return False
        return True

    def start_standby(self) -> None:
        """Start a second PostgreSQL that has every commit of the first before the commit returns."""
        copy = f"{required_binaries()}/pg_basebackup -h {HOME}/pg -U mesh -D {HOME}/pg/standby -R --checkpoint=fast"
        self.x.run(f"{shlex.join(self._as_postgres)} {copy}")
        argv = [*self._postgres, "-D", f"{HOME}/pg/standby", "-p", "5433"]
        self.x.run(f"setsid {shlex.join(argv)} < /dev/null > {HOME}/log/standby 2>&1 &")
        self.x.run(f"{QUERY} \"alter system set synchronous_standby_names = '*'\"")
        self.x.run(f"{QUERY} 'select pg_reload_conf()'")
        states = f"{QUERY} 'select sync_state from pg_stat_replication' --tuples-only"
        until("the standby has every commit", lambda: self.x.run(states).strip() == "sync", START_S)

    def fail_over(self) -> None:
        """Lose PostgreSQL and its data; the standby takes over its address."""
        self.x.run(f"mv {HOME}/pg/data {HOME}/pg/lost")  # so that the service cannot start it again
        for pid in self.servers("data"):
            os.kill(pid, signal.SIGKILL)
        (standby,) = self.servers("standby")
        os.kill(standby, signal.SIGINT)
        until("the standby has ended", lambda: not self.servers("standby"), START_S)
        self.x.run(f"rm {HOME}/pg/standby/standby.signal; mv {HOME}/pg/standby {HOME}/pg/data")
        until("PostgreSQL serves again", self.has_postgres, START_S)

    def servers(self, data: str) -> list[int]:
        """Return the process of the PostgreSQL with these data."""
        found = self.x.titled(f"-D {HOME}/pg/{data}")
        return [pid for pid in found if "setpriv" not in Path(f"/proc/{pid}/comm").read_text()]

    def start_head(self) -> None:
        host = self._prepared("a")
        unit = page.unit("head")
        host.serve("ray", ray_argv(unit), unit.environment)
        self._strategies(host)
        host.prepare(page.command("head"))
        host.boot()

    def start_worker(self, name: str) -> None:
        host = self._prepared(name)
        unit = page.unit("worker", {page.WORKER: host.address})
        host.serve("ray", ray_argv(unit), unit.environment)
        self._strategies(host)
        write_private(host.folder / ".ray" / "auth_token", (self.hosts["a"].folder / ".ray" / "auth_token").read_text())
        host.boot()

    def _prepared(self, name: str) -> Host:
        host = self.hosts[name]
        host.prepare(page.command("every-host"))
        for account, (key, secret) in self.secrets.items():
            write_private(host.folder / "venuemesh" / f"{account}.key", key)
            write_private(host.folder / "venuemesh" / f"{account}.secret", secret)
        (host.folder / "venuemesh" / "mesh.toml").write_text(self.config)
        url = f"postgresql+psycopg://mesh:{self.password}@{EXCHANGE_ADDRESS}/venuemesh"
        write_private(host.folder / "venuemesh" / "journal-url", url)
        ports = [str(PORT), str(ADMIN_PORT)]
        host.serve("forward", [PYTHON, "-m", "tests.cluster.forward", EXCHANGE_ADDRESS, *ports])
        write_private(host.folder / "admin-token", self.token)
        return host

    def _strategies(self, host: Host) -> None:
        if not self._has_strategies:
            return
        token = {"RAY_AUTH_MODE": "token"}
        reader = [PYTHON, "-m", "tests.cluster.reader", MESH, CLUSTER, f"{HOME}/reader.log"]
        host.serve("reader", reader, token, ("ray", STARTED))
        trader = [PYTHON, "-m", "tests.cluster.trader", MESH, CLUSTER, f"trader-{host.name}", f"{HOME}/notes.log"]
        host.serve("trader", [*trader, f"{HOME}/{PAUSE}"], token, ("ray", STARTED))

    def has_joined(self, name: str) -> bool:
        """Return whether a host is in the cluster, by the words of `ray start`."""
        return STARTED in self.hosts[name].log("ray")
