"""The console to which the commands print."""

from __future__ import annotations

import sys

from rich.console import Console

out = Console(highlight=False, width=None if sys.stdout.isatty() else 160)  # do not wrap lines in pipes and files
