"""The console to which the commands print."""

from __future__ import annotations

import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


class Output:
    """Standard output. The console of rich is made when something is printed, because its import takes time."""

    @cached_property
    def console(self) -> Console:
        from rich.console import Console

        return Console(highlight=False, width=None if sys.stdout.isatty() else 160)  # do not wrap in pipes and files

    def print(self, *texts: Any) -> None:
        self.console.print(*texts)


out = Output()
