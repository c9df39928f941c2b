"""How commands speak: tables and words on a terminal, JSON for programs, errors on standard error.

Place in the flow: used by every command, which prints nothing by itself.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table
from rich.text import Text

#: Wide enough when nobody looks, so that lines of a pipe are never cut.
_PIPE_WIDTH = 200

console = Console(
    highlight=False, soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else _PIPE_WIDTH
)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def show_json(document: Any) -> None:
    """The document on standard output, as JSON and nothing else."""
    print(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None) -> None:
    """Rows under column heads; `None` shows as a dash."""
    drawn = Table(*columns, title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        drawn.add_row(*(cell if isinstance(cell, Text) else Text("–" if cell is None else str(cell)) for cell in row))
    console.print(drawn)


def say(text: str, style: str | None = None) -> None:
    """One line for people."""
    console.print(Text(text, style=style or ""))


def fail(text: str, hint: str | None = None) -> NoReturn:
    """Say what went wrong and what to do, then leave with 1."""
    errors.print(Text("Error: ", style="bold red") + Text(text, style=""))
    if hint:
        errors.print(Text(hint))
    sys.exit(1)
