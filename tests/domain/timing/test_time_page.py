"""The examples of docs/time.md are what they say."""

from __future__ import annotations

import json
import re
from datetime import date, datetime
from pathlib import Path

import pytest

from horae.commands.calendars import Assembler
from horae.domain import timing as t
from horae.domain.calendar import State
from horae.domain.timing.opendays import CalendarDefinition
from tests.domain.timing.cases import at, context, timing

PAGE = (Path(__file__).parents[3] / "docs" / "time.md").read_text(encoding="utf-8")
KINDS, _, ODD = PAGE.partition("## Kinds of timing")[2].partition("### Words")[0].partition("And what is odd")
EXAMPLE = re.compile(
    r"^\| (?P<what>.+?) \| `(?P<timing>\{.*\})` \|(?: (?P<after>\S+) \| (?P<due>.+) \|)?$", re.MULTILINE
)


HOURS = PAGE.partition("### Hours added up")[2].partition("### A timing's own")[0]
WRITTEN = dict(re.findall(r"^\| `(\w+)` \| `(\{.*\})` \|$", HOURS, re.MULTILINE))
OPEN = re.findall(r"^\| `(\w+)` \| ([\d-]+) \| (.+) \|$", HOURS, re.MULTILINE)


def examples(part: str) -> list[object]:
    """The rows of a table that have a timing."""
    return [pytest.param(found, id=found["what"]) for found in EXAMPLE.finditer(part)]


@pytest.mark.covers("SCH-04", "REC-02", "REC-22")
@pytest.mark.parametrize("row", examples(KINDS))
def test_each_kind_of_timing_is_accepted_as_it_is_shown(row: re.Match[str]) -> None:
    """With a slot to come."""
    ctx = context("2026-11-23T00:00Z", recipient_zone="Asia/Tokyo")
    assert t.first(t.normalise(timing(**json.loads(row["timing"])), ctx), ctx) is not None


@pytest.mark.covers("REC-29", "TZ-29", "REC-19")
@pytest.mark.parametrize("row", examples(ODD))
def test_what_is_odd_goes_out_as_it_is_shown(row: re.Match[str]) -> None:
    """Leap days, days that a zone left out, years without rules: the next two instants after the one named."""
    after = at(row["after"])
    found = t.preview(timing(**json.loads(row["timing"])), 2, context(after), after=after).slots
    assert ", ".join(f"{slot.due_at:%Y-%m-%d %H:%M:%S}".removesuffix(":00") + "Z" for slot in found) == row["due"]


@pytest.mark.covers("TZ-05", "TZ-14")
@pytest.mark.parametrize("row", OPEN, ids=lambda row: f"{row[0]} {row[1]}")
def test_hours_are_added_up_and_taken_off_as_it_is_shown(row: tuple[str, str, str]) -> None:
    """Every stretch of the day, and nothing else of it."""
    calendar, day, hours = row
    wanted = [("acme", named) for named in WRITTEN]
    states = {
        ("acme", named): State(named, 1, CalendarDefinition.model_validate_json(text))
        for named, text in WRITTEN.items()
    }
    made = Assembler().together(wanted, states)[("acme", calendar)]
    found = [f"{start:%H:%M}–{_end(start, end)}" for start, end in made.hours(date.fromisoformat(day))]
    assert (", ".join(found) or "not at all") == hours
    assert calendar != "reached" or f'"{made.label}"' in PAGE


def _end(start: datetime, end: datetime) -> str:
    return "24:00" if end.date() > start.date() else f"{end:%H:%M}"


def test_the_tables_are_read() -> None:
    """A page that is written otherwise must not leave the tests above without rows."""
    assert len(OPEN) >= 5
    assert len(examples(KINDS)) >= 13
    assert len(examples(ODD)) >= 14
