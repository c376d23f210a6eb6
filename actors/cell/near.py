"""Near calls: messages between the processes of one node over unix sockets, without Ray. Frames, names, credentials.

Every cell and the supervisor listen on a socket in the mesh's private directory of their node, `<segments>/near/<name>`
(`near_server`); callers keep one connection per socket, and another one for urgent calls (`near_client`). A cell's
socket is named by its address and incarnation, as a segment is. A frame is a head (length of the content, number of the
call, method) and the content; an answer has the number of its call. Only processes of the same user are answered.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import os
import socket
import struct
from collections.abc import Generator, Iterator
from pathlib import Path

from ...orderbook.segment.names import segment_name
from .messages import BadMessage
from .role import Incarnation

NEAR = "near"
HEAD = struct.Struct("<IQB")
CONTENT_MAX = 32 << 20  # bytes of one message or answer
_LONGEST_NAME = 80
_LONGEST_PATH = 100  # the kernel's limit is 107 bytes


class Method(enum.IntEnum):
    """The call in a frame, and its content. Long polls (POLL, WATCH, PASS) are counted apart from all others."""

    ASK = 0  # an envelope (`messages`); for cells
    POLL = 1  # an envelope of a long poll; for cells
    STATUS = 2  # nothing: the status of the role; for cells
    PASS = 3  # a call that a cell makes elsewhere for a process without Ray (`near_pass`)
    SUPERVISOR = 4  # (method, arguments) of the supervisor
    WATCH = 5  # (method, arguments) of the supervisor's long polls
    URGENT = 6  # an envelope of `messages.URGENT_KINDS`; for cells


LONG_POLLS = frozenset({Method.POLL, Method.PASS, Method.WATCH})


def near_directory(segments: Path) -> Path:
    return segments / NEAR


def socket_name(address: str, incarnation: Incarnation) -> str:
    """Return the file name of a cell's socket. A long name ends in a digest, because paths of sockets are short."""
    name = segment_name(address, incarnation)
    if len(name.encode()) <= _LONGEST_NAME:
        return name
    return f"{name[:40]}~{hashlib.sha256(name.encode()).hexdigest()[:32]}"


@contextlib.contextmanager
def short_path(directory: Path, name: str) -> Iterator[str]:
    """Yield a path of a socket that the kernel accepts, also when the directory's path is long. Raises OSError."""
    path = str(directory / name)
    if len(path.encode()) <= _LONGEST_PATH or not os.path.isdir("/proc/self/fd"):
        yield path
        return
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}/{name}"
    finally:
        os.close(handle)


def is_listening(path: Path) -> bool:
    """Return whether a process listens on a socket. Raises OSError: there is no such socket, or it is not ours."""
    with short_path(path.parent, path.name) as short, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(short)
        except ConnectionRefusedError:
            return False
        except BlockingIOError:  # its queue of connections is full
            pass
        return True


def peer(connection: socket.socket) -> tuple[int, int]:
    """Return (pid, user id) of the process at the other end of a connection.

    Where the system has no SO_PEERCRED, the private directory alone keeps other users out: the result is (0, our id).
    """
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return 0, os.geteuid()
    raw = connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", raw)
    return pid, uid


def frame(number: int, method: int, content: bytes) -> bytes:
    return HEAD.pack(len(content), number, method) + content


class FrameReader:
    """Cut the bytes of a connection into frames: contents up to `content_max` bytes, methods up to `last_method`."""

    def __init__(self, content_max: int = CONTENT_MAX, last_method: int = max(Method)) -> None:
        self.content_max = content_max
        self._last_method = last_method
        self._buffer = bytearray()

    def __len__(self) -> int:
        """The number of bytes that were not yielded yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Generator[tuple[int, int, bytes]]:
        """Yield (number, method, content) of each finished frame. Close it early to keep the rest for the next call.

        Raises:
            BadMessage: these are no frames: the content is longer than allowed, or there is no such method.
        """
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            while len(buffer) - at >= HEAD.size:
                length, number, method = HEAD.unpack_from(buffer, at)
                if length > self.content_max or method > self._last_method:
                    raise BadMessage(f"length {length}, method {method}")
                end = at + HEAD.size + length
                if len(buffer) < end:
                    break
                content = bytes(memoryview(buffer)[at + HEAD.size : end])
                at = end
                yield number, method, content
        finally:
            del buffer[:at]
