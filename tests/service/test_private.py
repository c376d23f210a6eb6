"""Everything that a running mesh owns, by Ray too, is private: folders, files, sockets and ports.

Ray gives its own folders mode 0777 and its files 0644, so the rule is: what others might open is below a folder of ours
that they cannot enter.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
from ipaddress import ip_address
from pathlib import Path

import pytest

from venuemesh.keystore.private import check_folder, check_private, check_way
from venuemesh.mesh.cluster import descendants
from venuemesh.mesh.token import own_file

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
NOBODY = 65534
LISTENS = "0A"  # include/net/tcp_states.h: TCP_LISTEN
HARMLESS = ("/dev/", "/proc/", "/sys/", "pipe:", "anon_inode:", "/memfd:", "socket:")


@pytest.fixture(scope="module")
def processes(service):
    found = [service.host, *(pid for pid, _ in descendants(service.host))]
    assert len(found) > 8
    return found


@pytest.fixture(scope="module")
def folders(service):
    """The folders of the mesh: Ray's session, run files and journal, segments and sockets, Ray's token."""
    logs = Path(json.loads(service.run_file.read_text())["logs"])
    segments = Path(os.environ.get("VENUEMESH_SEGMENTS") or f"/dev/shm/venuemesh-{os.getuid()}")
    return {"session": logs.parents[2], "state": service.run_file.parent, "segments": segments}


def handles(pid):
    """Yield the number, the target and the mode of every open file of a process."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            yield link.name, os.readlink(link), os.stat(link)
        except FileNotFoundError:
            continue  # closed meanwhile


def test_other_users_enter_no_folder_of_the_mesh(folders):
    for what, folder in {**folders, "token": own_file().parent}.items():
        check_folder(folder, what)
        check_way(folder.parent, what)
        inside = [path for path in folder.rglob("*") if path.lstat().st_uid != os.geteuid()]
        assert inside == [], what
    assert list(folders["session"].rglob("plasma_store")), "no session of Ray was searched"
    check_private(own_file().stat(), own_file(), "token")


def test_nothing_that_a_process_writes_is_elsewhere(processes, folders):
    outside, seen = [], 0
    for pid in processes:
        for number, path, mode in handles(pid):
            flags = int(Path(f"/proc/{pid}/fdinfo/{number}").read_text().split("flags:")[1].split()[0], 8)
            is_written = flags & os.O_ACCMODE and not path.startswith(HARMLESS)
            if not is_written or path.endswith(" (deleted)"):
                continue
            seen += 1
            is_private = mode.st_uid == os.geteuid() and not mode.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
            if not is_private and not any(Path(path).is_relative_to(folder) for folder in folders.values()):
                outside.append((pid, path, oct(mode.st_mode)))
    assert seen > 8
    assert outside == []


def test_every_socket_is_on_loopback_or_in_a_private_folder(processes, folders):
    ours = {path for pid in processes for _, path, _ in handles(pid) if path.startswith("socket:")}
    tables = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()[1:]]
    listening = [row[1] for row in tables if row[3] == LISTENS and f"socket:[{row[9]}]" in ours]
    unix = [line.split(maxsplit=7) for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    paths = {row[7] for row in unix if len(row) == 8 and f"socket:[{row[6]}]" in ours}
    assert len(listening) > 8
    assert [text for text in listening if not is_loopback(text)] == []
    assert len(paths) > 2
    assert [path for path in paths if not any(Path(path).is_relative_to(one) for one in folders.values())] == []


def is_loopback(text):
    """Read an address of /proc/net/tcp or tcp6: words of four bytes in the order of this machine."""
    raw = bytes.fromhex(text.partition(":")[0])
    address = ip_address(b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4)))
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try as another user")
def test_another_user_is_refused(folders):
    script = 'while read -r path; do if [ -r "$path" ] || [ -x "$path" ]; then echo "$path"; fi; done'
    inside = [path for folder in folders.values() for path in folder.rglob("*")]
    paths = "\n".join(map(str, ["/", *folders.values(), *inside, own_file()]))
    done = subprocess.run(
        ["sh", "-c", script],
        input=paths,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert len(inside) > 20
    assert (done.returncode, done.stdout.split()) == (0, ["/"])
