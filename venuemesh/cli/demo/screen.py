"""The demonstration's screen: two tables and notes, fitted to the height of the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult

from ..grid import Grid

HEAD = 2  # lines of a grid that are not rows: its title or its count of hidden rows, and the names of its columns
FEWEST = 1  # rows of each grid that are drawn in any height


@dataclass(slots=True)
class Screen:
    """`notes` are always drawn; of the actors, then of the books, only the rows for which the terminal has room."""

    books: Grid
    actors: Grid
    notes: Sequence[RenderableType]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        notes = Group(*self.notes)
        room = console.height - len(console.render_lines(notes, options, pad=False)) - 2 * HEAD - 1
        self.books.at_most = max(FEWEST, min(len(self.books.rows), room - FEWEST))
        self.actors.at_most = max(FEWEST, room - self.books.at_most)
        yield from (self.books, self.actors, notes)
