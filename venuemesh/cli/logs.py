"""Reads what the actors of a mesh have logged on this host (`venuemesh logs`). Needs neither the mesh nor Ray.

Each process of a mesh writes its lines (`actors.cell.logs`) to a file of its Ray session. A process runs one actor, and
an actor runs in one process after another, so the lines of an actor are in several files. Lines that are no events,
such as those of a traceback, belong to the event before them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ..mesh.run_file import read_run_file
from ..model.errors import Misconfigured
from .grid import Column, Grid
from .running import attach

FILES = "worker-*.err"
EVENT = re.compile(r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) (?P<level>[A-Z]+) +(?P<who>\S+) (?P<text>.*)")
ABOUT = re.compile(r"\baddress=(\S+)")  # the actor that an event of the supervisor is about
LOOK_S = 0.25  # between two looks for new lines


@dataclass(slots=True)
class Event:
    """One event of a process: UTC time, level, name of the process, and its lines."""

    time: str
    level: str
    who: str
    text: str

    @property
    def address(self) -> str:
        """The address of the actor, without its incarnation."""
        return self.who.partition("@")[0]

    def concerns(self, pattern: str) -> bool:
        """Return whether the actor, or the actor that the supervisor logs about, has an address like the pattern."""
        about = ABOUT.search(self.text)
        addresses = [self.address, *([about[1]] if about else [])]
        return any(address == pattern or fnmatchcase(address, pattern) for address in addresses)

    def __str__(self) -> str:
        return f"{self.time} {self.level:<7} {self.who} {self.text}"

    def to_dict(self) -> dict[str, Any]:
        return {"time": self.time, "level": self.level, "who": self.who, "text": self.text}


@dataclass(slots=True)
class _File:
    """How far one file has been read, and its last event."""

    offset: int = 0
    rest: str = ""
    last: Event | None = None


@dataclass(slots=True)
class LogFolder:
    """The log files of a Ray session."""

    path: Path
    _files: dict[Path, _File] = field(default_factory=dict)

    def new(self) -> list[Event]:
        """Return the events that were written since the last call, in the order of their times."""
        found: list[Event] = []
        for path in sorted(self.path.glob(FILES)):
            found += _read(path, self._files.setdefault(path, _File()))
        return sorted(found, key=lambda event: event.time)


def _read(path: Path, file: _File) -> list[Event]:
    with path.open("rb") as lines:
        lines.seek(file.offset)
        fresh = lines.read()
    file.offset += len(fresh)
    *whole, file.rest = (file.rest + fresh.decode(errors="replace")).split("\n")
    found: list[Event] = []
    for line in whole:
        if (match := EVENT.fullmatch(line)) is not None:
            file.last = Event(**match.groupdict())
            found.append(file.last)
        elif file.last is not None and found:
            file.last.text += f"\n{line}"
        elif file.last is not None:  # the event before this line was returned by an earlier call
            file.last = Event(file.last.time, file.last.level, file.last.who, line)
            found.append(file.last)
    return found


def log_folder(mesh: str, address: str | None) -> LogFolder:
    """Find the folder of this host's logs of a mesh, also if the mesh has ended.

    Raises:
        MeshNotRunning: no mesh of that name is known here.
        Misconfigured: no actor of it runs on this host, or the folder was removed.
    """
    known = read_run_file(mesh)
    if known is not None and known.logs is not None and address in (None, known.address):
        folder = Path(known.logs)
    else:
        folder = _folder_of(attach(mesh, address=address).status())
    if not folder.is_dir():
        raise Misconfigured(f"logs of mesh {mesh!r}", f"{folder} was removed when its Ray cluster ended")
    return LogFolder(folder)


def _folder_of(tree: dict[str, Any]) -> Path:
    """Return the folder to which an actor of this host writes: the processes themselves have their files open."""
    for pid in (tree["pid"], *(row["pid"] for row in tree["children"])):
        try:
            file = Path(f"/proc/{pid}/fd/2").readlink()
        except OSError:
            continue
        if file.match(FILES):
            return file.parent
    raise Misconfigured(f"logs of mesh {tree['mesh']!r}", "none of its actors runs on this host; ask on their nodes")


def choose(events: Sequence[Event], pattern: str) -> list[Event]:
    """Return the events of the actors with such an address. Raises Misconfigured: no actor has one."""
    found = [event for event in events if event.concerns(pattern)]
    if not found:
        known = ", ".join(sorted({event.address for event in events})) or "none"
        raise Misconfigured(f"logs {pattern!r}", f"no actor with such an address has logged here (known: {known})")
    return found


def logs_table(folder: LogFolder, events: Iterable[Event]) -> Grid:
    """Return a row per actor: how many events, and the last one."""
    by_address: dict[str, list[Event]] = {}
    for event in events:
        by_address.setdefault(event.address, []).append(event)
    columns = (
        Column("address"),
        Column("events", right=True, rank=1),
        Column("last (UTC)"),
        Column("event", folds=True),
    )
    grid = Grid(columns, title=str(folder.path))
    for address, own in sorted(by_address.items()):
        last = max(own, key=lambda event: event.time)
        grid.add(address, str(len(own)), last.time, last.text.partition("\n")[0])
    return grid
