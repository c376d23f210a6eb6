"""The network of the hosts: one bridge in a separate network namespace, and a cable to each host.

Nothing of it is in the network of the machine, so it cannot be left behind: the kernel removes it with the process that
holds the namespace.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys

BRIDGE = "br0"
NOWHERE = "02:00:00:00:00:fe"  # an Ethernet address that no host has
_PR_SET_PDEATHSIG = 1


def refusal() -> str | None:
    """Return why this machine and user cannot have hosts as namespaces; None: they can."""
    for tool in ("unshare", "nsenter", "ip", "mount"):
        if shutil.which(tool) is None and not os.path.exists(f"/usr/sbin/{tool}"):
            return f"there is no {tool}"
    if os.geteuid() != 0:
        return "making namespaces of network, processes and mounts needs root"
    cable = "ip link add name veth0 type veth peer name veth1"
    make = f"ip link add {BRIDGE} type bridge && {cable} && mount -t tmpfs tmpfs /tmp"
    made = subprocess.run(
        ["unshare", "-n", "-p", "-m", "-u", "-i", "-f", "sh", "-c", make], capture_output=True, text=True
    )
    return None if made.returncode == 0 else f"the system refuses namespaces: {made.stderr.strip()[-200:]}"


def may_unshare() -> bool:
    """Return whether this user may make a namespace of the network."""
    return subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode == 0


def end_with_parent() -> None:
    """Let the kernel end this process when its parent ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Network:
    """A bridge to which hosts are attached."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(["unshare", "-n", "sleep", "infinity"], preexec_fn=end_with_parent)
        own = os.stat("/proc/self/ns/net").st_ino
        while os.stat(f"/proc/{self._holder.pid}/ns/net").st_ino == own:
            if self._holder.poll() is not None:
                raise RuntimeError("the namespace of the bridge was not made")
        self._ip("link", "add", BRIDGE, "type", "bridge")
        self._ip("link", "set", BRIDGE, "up")
        self._impaired: dict[str, subprocess.Popen[bytes]] = {}

    def attach(self, name: str, pid: int, address: str) -> None:
        """Lay a cable from the bridge to the host whose process 1 is `pid`, and give the host its address."""
        name = _port(name)
        subprocess.run(self._inside("ip", "link", "del", name), capture_output=True)  # of an earlier boot
        self._ip("link", "add", "name", name, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        self._ip("link", "set", name, "master", BRIDGE, "up")
        card = "02:00:00:00:00:{:02x}".format(int(address.rpartition(".")[2]))  # a host keeps its card when it boots
        run_in(pid, "ip", "link", "set", "eth0", "address", card)
        for command in (("addr", "add", f"{address}/24", "dev", "eth0"), ("link", "set", "eth0", "up")):
            run_in(pid, "ip", *command)

    def pull(self, name: str) -> None:
        """Pull the host's cable: both directions, to everyone."""
        self._ip("link", "set", _port(name), "down")

    def plug(self, name: str) -> None:
        self._ip("link", "set", _port(name), "up")

    def impair(self, name: str, delay_ms: float, loss: float, seed: int = 1) -> None:
        """Make the host's cable a bad one: each frame of either direction is late, and this part of them is lost."""
        near, far = f"near-{name}", f"far-{name}"
        self._ip("link", "add", "name", near, "type", "veth", "peer", "name", far)
        self._ip("link", "set", far, "up")
        self._ip("link", "set", near, "master", BRIDGE, "up")
        self._ip("link", "set", _port(name), "nomaster")
        program = [sys.executable, "-m", "tests.cluster.impair", _port(name), far, f"{delay_ms}", f"{loss}", f"{seed}"]
        process = subprocess.Popen(self._inside(*program), stdout=subprocess.PIPE, preexec_fn=end_with_parent)
        self._impaired[name] = process
        assert process.stdout is not None
        if process.stdout.readline() != b"passes\n":
            raise RuntimeError("the bad cable passes nothing")

    def repair(self, name: str) -> None:
        """End `impair`."""
        process = self._impaired.pop(name)
        process.kill()
        process.communicate()
        self._ip("link", "set", _port(name), "master", BRIDGE)
        self._ip("link", "del", f"near-{name}")

    def end(self) -> None:
        for name in list(self._impaired):
            self.repair(name)
        self._holder.kill()
        self._holder.wait()

    def _inside(self, *command: str) -> list[str]:
        return ["nsenter", "-t", str(self._holder.pid), "-n", *command]

    def _ip(self, *arguments: str) -> None:
        subprocess.run(self._inside("ip", *arguments), check=True)


def _port(host: str) -> str:
    return f"port-{host}"


def run_in(pid: int, *command: str) -> None:
    """Run a command in the network of a host."""
    subprocess.run(["nsenter", "-t", str(pid), "-n", *command], check=True)


def drop(pid: int, address: str) -> None:
    """Lose all that this host sends to an address, silently; what it receives from there arrives."""
    run_in(pid, "ip", "neigh", "replace", address, "lladdr", NOWHERE, "dev", "eth0", "nud", "permanent")


def deliver(pid: int, address: str) -> None:
    """End `drop`."""
    run_in(pid, "ip", "neigh", "del", address, "dev", "eth0")
