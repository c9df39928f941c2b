"""Named SQL statements, read from `projections/sql/*.sql`.

Each statement begins with `-- name: x`, then a line on its purpose. Names are unqualified: the connection's search_path
says which copy of the read models is meant.
"""

import re
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "sql"
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def statements(file: str) -> dict[str, str]:
    """The statements of `sql/<file>.sql` by name."""
    text = (_FOLDER / f"{file}.sql").read_text(encoding="utf-8")
    parts = _NAME.split(text)
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}
