"""Tables that fit the terminal and cut no value: a grid leaves columns out before it would cut an id, pair or price.

A grid knows the width when it is drawn. It shows every column that fits. Of the optional columns, the least important
is left out first; an optional column, or one of sentences, is also left out when it has no value. If even the necessary
columns do not fit, each row becomes a short block of `name value` pairs. `--json` prints every value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from ..model.shown import shown as shown_text

GAP = 2  # spaces between two columns, and before the lines of a block
TEXT_WIDTH = 32  # least width of a column of text that goes over several lines

Cell = str | Text


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `rank` 0: always shown; of the others the largest rank is left out first.

    `folds`: the column holds sentences, which may go over several lines; other cells are shown whole on one line.
    """

    name: str
    right: bool = False
    rank: int = 0
    folds: bool = False


@dataclass(slots=True)
class Grid:
    """Rows under columns, a title above. Print it to a console; see the module."""

    columns: Sequence[Column]
    rows: list[Sequence[Cell]] = field(default_factory=list)
    title: str = ""
    at_most: int | None = None  # rows to draw; a line counts the others

    def add(self, *cells: Cell) -> None:
        """Add a row. Control characters in its values are shown as escapes."""
        self.rows.append([_safe(cell) for cell in cells])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.title:
            yield Text(shown_text(self.title), style="italic")
        shown = self.fitting(options.max_width)
        if shown and self._needs(shown, folded=False) <= options.max_width:
            yield from self._lines(shown)
        elif shown:
            yield self._table(shown)
        else:
            yield from self._blocks(options.max_width)
        if hidden := len(self.rows) - len(self._drawn):
            yield Text(f"and {hidden} more", style="dim")

    @property
    def _drawn(self) -> Sequence[Sequence[Cell]]:
        return self.rows[: self.at_most]

    def fitting(self, width: int) -> list[int]:
        """Return the numbers of the columns that fit into `width`; empty if not even the necessary columns do."""
        shown = [
            number
            for number, column in enumerate(self.columns)
            if any(len(row[number]) for row in self.rows) or not (column.rank or column.folds)
        ]
        while self._needs(shown) > width:
            optional = [number for number in shown if self.columns[number].rank]
            if not optional:
                return []
            shown.remove(max(optional, key=lambda number: self.columns[number].rank))
        return shown

    def _needs(self, shown: Sequence[int], folded: bool = True) -> int:
        return sum(self._width(number, folded) for number in shown) + GAP * (len(shown) - 1)

    def _width(self, number: int, folded: bool = True) -> int:
        column = self.columns[number]
        widest = max((_width(row[number]) for row in self.rows), default=0)
        return max(cell_len(column.name), min(widest, TEXT_WIDTH) if column.folds and folded else widest)

    def _lines(self, shown: Sequence[int]) -> RenderResult:
        """Yield a line per row, without spaces at its end."""
        widths = {number: self._width(number, folded=False) for number in shown}
        names: Sequence[Cell] = [Text(column.name, "bold") for column in self.columns]
        for row in (names, *self._drawn):
            line = Text()
            for number in shown:
                cell, gap = _text(row[number]), widths[number] - _width(row[number])
                line.append(" " * gap if self.columns[number].right else "").append_text(cell)
                line.append(" " * (GAP if self.columns[number].right else gap + GAP))
            line.rstrip()
            yield line

    def _table(self, shown: Sequence[int]) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
        for number in shown:
            column = self.columns[number]
            least = None if column.folds else self._width(number)
            table.add_column(
                column.name,
                justify="right" if column.right else "left",
                no_wrap=not column.folds,
                min_width=least,
                overflow="fold",
            )
        for row in self._drawn:
            table.add_row(*(_text(row[number]) for number in shown))
        return table

    def _blocks(self, width: int) -> RenderResult:
        """Yield each row as its first value, and below it the other values with their names."""
        for row in self._drawn:
            yield _text(row[0])
            line = Text(" " * GAP)
            for column, cell in zip(self.columns[1:], row[1:], strict=True):
                if not len(cell):
                    continue
                part = Text.assemble((f"{column.name} ", "dim"), _text(cell))
                if line.cell_len > GAP and line.cell_len + part.cell_len > width:
                    yield line
                    line = Text(" " * GAP)
                line.append_text(part).append(" " * GAP)
            yield line


def _safe(cell: Cell) -> Cell:
    if isinstance(cell, str):
        return shown_text(cell)
    return cell if shown_text(cell.plain) == cell.plain else Text(shown_text(cell.plain), cell.style)


def _text(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(cell)


def _width(cell: Cell) -> int:
    return cell_len(cell.plain if isinstance(cell, Text) else cell)
