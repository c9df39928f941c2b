"""Reads the requirement rows out of docs/requirements.md: the left column of its tables."""

import re
from pathlib import Path

CATALOGUE = Path("docs/requirements.md")

_ROW = re.compile(r"^\|\s*(?P<id>[A-Z]+-\d+(?:\.\d+)?)\s*\|", re.MULTILINE)


def row_ids(root: Path) -> tuple[str, ...]:
    """The ids of all rows under ``root``, in the catalogue's order; ``FileNotFoundError`` if there is no catalogue."""
    text = (root / CATALOGUE).read_text(encoding="utf-8")
    return tuple(dict.fromkeys(match["id"] for match in _ROW.finditer(text)))


def group_of(row_id: str) -> str:
    """The group of a row: the letters before its number (``DAT-01.04`` is of ``DAT``)."""
    return row_id.partition("-")[0]
