"""`venuemesh keys` as a user runs it: prompts at a real terminal, files, and secrets that other processes see."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fakes.planted import find_in_files, find_in_text, passphrase, plant, under_passphrase, write_0600
from venuemesh.cli.app import main
from venuemesh.keystore.store import Keystore

PASSPHRASE, PEM_PASSPHRASE = passphrase(), passphrase()
HMAC, ED25519 = plant("hmac", (PASSPHRASE,)), plant("ed25519", (PASSPHRASE, PEM_PASSPHRASE))
PLANTED = (HMAC, ED25519)
COMMAND = [sys.executable, "-c", "from venuemesh.__main__ import main; main()", "keys"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("VENUEMESH_PASSPHRASE_FILE", raising=False)
    return tmp_path


@pytest.fixture
def run(home, monkeypatch, capsys):
    """Run a command in this process; return its output, or its error."""

    def command(*arguments, status=0):
        monkeypatch.setattr(sys, "argv", ["venuemesh", "keys", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        assert ended.value.code == status, printed
        assert find_in_text(PLANTED, printed.out + printed.err) == []
        return printed.out if status == 0 else printed.err

    return command


class Terminal:
    """A command at a separate terminal; `answer` waits for a prompt and types."""

    def __init__(self, *arguments: object) -> None:
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell ignores it for tests in the background
            os.execv(COMMAND[0], [*COMMAND, *map(str, arguments)])
        self.seen = ""

    def answer(self, prompt: str, text: str) -> None:
        before = len(self.seen)
        self._read_until(lambda: prompt in self.seen[before:])
        os.write(self._master, f"{text}\n".encode())

    def interrupt(self, prompt: str) -> None:
        """Wait for a prompt and type Ctrl-C until the process ends.

        The interpreter does not act on an interrupt that comes just before it begins to wait for input, and one that
        comes while it ends kills it. So the next is typed when a slow machine would have ended, too.
        """
        self._read_until(lambda: prompt in self.seen)
        handle = os.pidfd_open(self.pid)
        for _ in range(4):
            os.write(self._master, b"\x03")
            if select.select([handle], [], [], 20.0)[0]:
                break
        os.close(handle)

    def _read_until(self, reached, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not reached():
            assert self._read(deadline), f"the only output was {self.seen!r}"

    def _read(self, deadline: float) -> bool:
        """Read the output; return False at its end, or if nothing came in time."""
        if not select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        try:
            printed = os.read(self._master, 65536)
        except OSError:  # the other end is closed
            return False
        self.seen += printed.decode()
        return bool(printed)

    def memory_of_arguments(self) -> bytes:
        """Return what `ps` shows of the process, its arguments, and what it could show, its environment."""
        return b"".join((Path("/proc") / str(self.pid) / name).read_bytes() for name in ("cmdline", "environ"))

    def status(self) -> int:
        """Read all output and return the exit status."""
        deadline = time.monotonic() + 60
        while self._read(deadline):
            continue
        os.close(self._master)
        handle = os.pidfd_open(self.pid)
        if not select.select([handle], [], [], max(0.0, deadline - time.monotonic()))[0]:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_a_key_is_requested_at_the_terminal_and_nothing_of_it_is_shown(home):
    terminal = Terminal("add", "main", "--exchange", "binance")
    terminal.answer("passphrase of the keystore: ", PASSPHRASE)
    terminal.answer("passphrase of the keystore, again: ", PASSPHRASE)
    terminal.answer("API key: ", HMAC.api_key)
    terminal.answer("secret: ", HMAC.secret)
    assert find_in_text(PLANTED, terminal.memory_of_arguments()) == []
    assert terminal.status() == 0
    assert find_in_text(PLANTED, terminal.seen) == []
    assert f"main: hmac key {HMAC.api_key[:4]}... of binance" in terminal.seen
    store = Keystore()
    assert store.path == home / "config" / "venuemesh" / "keystore"
    got = store.get("main", PASSPHRASE)
    assert (got.api_key, got.secret) == (HMAC.api_key, HMAC.secret)
    assert find_in_files(PLANTED, home) == []

    wrong = Terminal("add", "second", "--exchange", "binance")
    wrong.answer("passphrase of the keystore: ", "something else")
    assert wrong.status() == 2
    assert "has a different passphrase" in wrong.seen
    assert "API key" not in wrong.seen

    pem = write_0600(home / "key.pem", under_passphrase(ED25519, PEM_PASSPHRASE))
    terminal = Terminal("add", "ed", "--exchange", "binance", "--secret-file", pem)
    terminal.answer("passphrase of the keystore: ", PASSPHRASE)
    terminal.answer("API key: ", ED25519.api_key)
    terminal.answer(f"passphrase of {pem}: ", PEM_PASSPHRASE)
    assert terminal.status() == 0
    assert find_in_text(PLANTED, terminal.seen) == []
    assert store.get("ed", PASSPHRASE).secret == ED25519.secret


def test_passphrases_that_differ_and_ctrl_c_make_nothing(home):
    terminal = Terminal("add", "main", "--exchange", "binance")
    terminal.answer("passphrase of the keystore: ", PASSPHRASE)
    terminal.answer("passphrase of the keystore, again: ", PASSPHRASE + "x")
    assert terminal.status() == 2
    assert "not the same" in terminal.seen
    terminal = Terminal("add", "main", "--exchange", "binance")
    terminal.interrupt("passphrase of the keystore: ")
    assert terminal.status() == 130, terminal.seen
    assert not Keystore().exists()


@pytest.fixture
def files(home):
    return {
        "passphrase": write_0600(home / "passphrase", PASSPHRASE + "\n"),
        "key": write_0600(home / "key", HMAC.api_key + "\n"),
        "secret": write_0600(home / "secret", HMAC.secret + "\n"),
    }


def options(files):
    return "--api-key-file", files["key"], "--secret-file", files["secret"], "--passphrase-file", files["passphrase"]


def test_files_instead_of_prompts_then_list_then_remove(home, files, run, monkeypatch):
    output = run("list")
    assert "there is no keystore at" in output
    assert "venuemesh keys add" in output
    run("add", "main", "--exchange", "binance", *options(files))
    store = Keystore()
    store.path.write_text(store.path.read_text().replace('"box"', '"box" '))  # list must not need the boxes
    rows = json.loads(run("list", "--json"))["keys"]
    assert [(row["name"], row["exchange"], row["kind"]) for row in rows] == [("main", "binance", "hmac")]
    assert rows[0]["key"] == HMAC.api_key[:4] + "..."
    assert "main" in run("list")
    assert "exists already" in run("add", "main", "--exchange", "binance", *options(files), status=2)
    monkeypatch.setenv("VENUEMESH_PASSPHRASE_FILE", str(files["passphrase"]))
    run("add", "main", "--exchange", "binance", *options(files)[:4], "--replace")
    assert store.get("main", PASSPHRASE).secret == HMAC.secret
    assert "has no entry 'none'" in run("remove", "none", status=2)
    assert "removed" in run("remove", "main")
    assert json.loads(run("list", "--json"))["keys"] == []
    elsewhere = home / "elsewhere" / "store"
    run("add", "x", "--exchange", "binance", *options(files), "--keystore", elsewhere)
    assert [entry.name for entry in Keystore(elsewhere).list()] == ["x"]


def test_named_fields_of_a_key_are_requested_or_read_from_files(home, files, run):
    terminal = Terminal("add", "typed", "--exchange", "okx", *map(str, options(files)))
    terminal.answer("passphrase (the one that was chosen when the API key was made): ", PEM_PASSPHRASE)
    assert terminal.status() == 0
    assert find_in_text(PLANTED, terminal.seen) == []
    field = write_0600(home / "field", PEM_PASSPHRASE + "\n")
    run("add", "filed", "--exchange", "okx", *options(files), "--field-file", f"passphrase={field}")
    for name in ("typed", "filed"):
        assert Keystore().get(name, PASSPHRASE).fields == {"passphrase": PEM_PASSPHRASE}
    wrong = ("x", "--exchange", "binance", *options(files), "--field-file")
    assert "keys of binance have no passphrase" in run("add", *wrong, f"passphrase={field}", status=2)
    assert "is not NAME=PATH" in run("add", *wrong, "passphrase", status=2)


def test_errors_are_one_line_and_status_2(home, files, run, monkeypatch):
    add = ("add", "main", "--exchange", "binance")
    for arguments, printed in (
        (("add", "main", "--exchange", "nowhere", *options(files)), "unknown exchange 'nowhere'"),
        ((*add, *options(files), "--kind", "dsa"), "'dsa' is not one of"),
        ((*add, *options(files), "--kind", "ed25519"), "does not contain a PEM private key"),
        ((*add, "--kind", "rsa"), "give --secret-file"),
        (("add", "../x", "--exchange", "binance", *options(files)), "name '../x'"),
        (("remove", "main"), "No such file"),
    ):
        error = run(*arguments, status=2)
        assert printed in error
        assert len(error.strip().splitlines()) == 1
    files["secret"].chmod(0o640)
    assert f"chmod 600 {files['secret']}" in run(*add, *options(files), status=2)
    monkeypatch.setenv("VENUEMESH_PASSPHRASE", "in the environment")
    assert "inherits a secret" in run(*add, *options(files), status=2)
    assert not Keystore().exists()


def test_without_a_terminal_it_does_not_wait_for_one(home):
    """In a separate session /dev/tty cannot be opened."""
    done = subprocess.run(
        [*COMMAND, "add", "main", "--exchange", "binance"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
        check=False,
    )
    assert done.returncode == 2
    assert "no terminal to ask at" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
