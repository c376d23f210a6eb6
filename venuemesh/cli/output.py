"""The console to which the commands print."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


PIPE_WIDTH = 4096  # a line in a pipe or a file has no end at which a table must stop


class Output:
    """Standard output. The console of rich is made when something is printed, because its import takes time."""

    @cached_property
    def console(self) -> Console:
        from rich.console import Console

        return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)

    def plain(self, text: str) -> None:
        """Print a line at once, without markup."""
        print(text, flush=True)

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
