"""The console to which the commands print. All that they print passes `shown_lines`: foreign text is never markup, and
never a command to the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, TextIO, cast

from ..model.shown import shown_lines

if TYPE_CHECKING:
    from rich.console import Console


PIPE_WIDTH = 4096  # a line in a pipe or a file has no end at which a table must stop


class PlainStream:
    """A text stream whose `write` escapes control characters; everything else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        return self.stream.write(shown_lines(text))

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def guard_streams() -> None:
    """Escape control characters in everything that this process prints; once. Rich writes its own past this."""
    for name in ("stdout", "stderr"):
        if not isinstance(getattr(sys, name), PlainStream):
            setattr(sys, name, cast(TextIO, PlainStream(getattr(sys, name))))


def make_console() -> Console:
    """Return a console that reads no markup in text and escapes control characters in everything it renders."""
    from .plain_console import PlainConsole

    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return PlainConsole(highlight=False, markup=False, emoji=False, width=width)


class Output:
    """Standard output. The console of rich is made when something is printed, because its import takes time."""

    @cached_property
    def console(self) -> Console:
        return make_console()

    def plain(self, text: str) -> None:
        """Print lines at once, without markup."""
        print(shown_lines(text), flush=True)

    def print(self, *texts: Any) -> None:
        self.console.print(*texts)


Say = Callable[[str], None]


def ignore(text: str) -> None:
    """Print nothing."""


def steps(are_shown: bool) -> Say:
    """Return a function that prints the steps of a start, each with the seconds since this call."""
    began_s = time.monotonic()
    return (lambda text: out.plain(f"[{time.monotonic() - began_s:5.1f} s] {text}")) if are_shown else ignore


out = Output()
