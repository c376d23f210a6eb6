"""A console of rich that shows text as text: no markup, no control characters but its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from ..model.shown import shown_lines
from .output import PlainStream


class PlainConsole(Console):
    """See the module. Make it with `markup=False`."""

    @property
    def file(self) -> IO[str]:
        """The stream behind the guard, because the control characters that rich writes are meant."""
        found = super().file
        return found.stream if isinstance(found, PlainStream) else found

    @file.setter
    def file(self, new_file: IO[str]) -> None:
        self._file = new_file

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does, and escape control characters in the text of each segment."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(shown_lines(segment.text), segment.style)
