"""The decision records: one form, one index, and nothing named that is not there."""

import re
from itertools import count
from pathlib import Path
from typing import Final

import pytest

from tests.plugins.catalogue import row_ids

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "docs" / "adr"
RECORDS: Final = sorted(FOLDER.glob("[0-9]*.md"))
SECTIONS: Final = ["Context", "Decision", "Consequences", "Alternatives", "Enforced by"]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_record_has_the_form(record: Path) -> None:
    """Status, date, the five sections in order, on about one page."""
    text = record.read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    assert re.search(r"^- \*\*Status:\*\* (proposed|accepted|superseded by \d{4})$", text, re.MULTILINE)
    assert re.search(r"^- \*\*Date:\*\* \d{4}-\d{2}-\d{2}$", text, re.MULTILINE)
    assert len(text.splitlines()) <= 60


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_record_names_what_exists(record: Path) -> None:
    """The rows are in the catalogue, and the tests and files that enforce it are in the tree."""
    text = record.read_text(encoding="utf-8")
    rows = re.search(r"^- \*\*Rows:\*\* (.+)$", text, re.MULTILINE)
    assert set(rows[1].split(", ") if rows else ()) <= set(row_ids(ROOT))
    paths = re.findall(r"`((?:tests|docs|pyproject|requirements|CONTRIBUTING)[\w./-]*)`", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_index_lists_every_record() -> None:
    """Numbers run without a gap, and the index links each record by its title."""
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    for number, record in zip(count(1), RECORDS, strict=False):
        heading = record.read_text(encoding="utf-8").splitlines()[0]
        assert heading.startswith(f"# {number:04d}. "), record.name
        assert f"| [{number:04d}]({record.name}) | {heading.partition('. ')[2]} |" in index
