"""The committed example files: made anew they are the same, and each row gets the verdict it was made for."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest

from examples import generate
from horae.commands.importing import Reject
from horae.infra.importing.calendar import read_calendar
from horae.infra.importing.sending import check
from horae.infra.importing.table import read_table
from horae.infra.importing.text import decode

EXAMPLES = Path(generate.__file__).parent
PRESENT = datetime(2027, 3, 10, tzinfo=UTC)


def _expected(name: str) -> list[dict[str, str]]:
    with (EXAMPLES / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_generator_writes_what_is_committed(tmp_path: Path) -> None:
    """The example is a function of its seed, so nobody can adjust a verdict by hand."""
    generate.write_csv(tmp_path)
    for name in ("appointments.csv", "appointments.expected.csv"):
        assert (tmp_path / name).read_bytes() == (EXAMPLES / name).read_bytes()


@pytest.mark.covers("INT-05", "EXT-13", "TZ-29")
def test_each_row_of_the_example_gets_its_verdict_and_instant() -> None:
    """10,000 rows with the dirt of life: taken or refused, the field at fault, and the first due instant."""
    text = decode((EXAMPLES / "appointments.csv").read_bytes()).text
    verdicts = check(read_table(text, channel="log:"), now=PRESENT, default_zone="UTC")
    got = [
        ("rejected", verdict.place, "") if isinstance(verdict, Reject) else ("accepted", "", verdict.due_at)
        for verdict in verdicts
    ]
    wanted = [(row["verdict"], row["field"], row["due_at"]) for row in _expected("appointments.expected.csv")]
    assert len(got) == generate.ROWS
    assert got == wanted


@pytest.mark.covers("INT-05", "CMP-11")
def test_each_event_of_the_example_calendar_gets_its_verdict() -> None:
    """Rules, exceptions, Windows zone names, floating and all-day events are taken; what cannot be held is refused."""
    text = decode((EXAMPLES / "calendar.ics").read_bytes()).text
    verdicts = list(check(read_calendar(text, channel="log:"), now=PRESENT, default_zone="UTC"))
    got = [
        (verdict.label, "rejected", verdict.place)
        if isinstance(verdict, Reject)
        else (verdict.item.label, "accepted", "")
        for verdict in verdicts
    ]
    assert got == [(row["uid"], row["verdict"], row["property"]) for row in _expected("calendar.expected.csv")]
