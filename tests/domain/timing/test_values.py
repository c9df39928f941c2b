"""Timings and durations as text: what is read, what is refused, and that all reads back as it was."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from horae.domain import timing as t
from horae.domain.timing import zones
from tests.domain.timing.cases import context, every, timing
from tests.domain.timing.strategies import series

ANY: TypeAdapter[t.Timing] = TypeAdapter(t.Timing)


@given(st.timedeltas(timedelta(0), timedelta(days=10**5)))
def test_durations_read_back_as_they_were_written(value: timedelta) -> None:
    """Any duration, to the microsecond, survives its ISO 8601 text."""
    assert t.parse_duration(t.format_duration(value)) == value


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 999), st.timedeltas(timedelta(0), timedelta(days=9)))
def test_spans_read_back_as_they_were_written(years: int, months: int, days: int, clock: timedelta) -> None:
    """Calendar and clock parts stay apart in the text."""
    span = t.Span(years, months, days, clock)
    assert t.parse_span(str(span)) == span


@pytest.mark.parametrize(
    "text",
    ["", "P", "PT", "P1DT", "1D", "P-1D", "-P1D", "P1H", "PT1D", "PT1.S", "P1.5D", "p1d", "PT1M30", "P١D", 5],
)
def test_what_is_no_duration_is_refused_with_examples(text: object) -> None:
    """Half-written, negative and foreign forms are refused; the message shows right ones."""
    with pytest.raises(ValueError, match="PT30M"):
        t.parse_span(text)


def test_months_have_no_length_on_the_clock() -> None:
    """Where elapsed time is meant, months and years are refused, weeks and days are not."""
    assert t.parse_duration("P2W") == timedelta(days=14)
    with pytest.raises(ValueError, match="no fixed length"):
        t.parse_duration("P1M")


@given(series())
def test_accepted_timings_survive_json(case: tuple[t.Every, t.Context]) -> None:
    """An event's copy of a timing, read again, is the same timing with the same slots."""
    settled, ctx = case
    again = ANY.validate_json(ANY.dump_json(settled))
    assert again == settled
    assert t.first(again, ctx) == t.first(settled, ctx)
    slot = t.first(settled, ctx)
    assert slot is not None
    assert t.Next.model_validate_json(slot.model_dump_json()) == slot


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "at", "at": "2026-12-01T09:00:00"},
        {"kind": "at", "at": 1_800_000_000},
        {"kind": "at", "local": "2026-12-01T09:00Z"},
        {"kind": "at", "local": "9 AM"},
        {"kind": "at", "at": "1850-01-01T00:00Z"},
        {"kind": "in", "delay": "30 minutes"},
        {"kind": "every", "cron": "0 9 * * *", "starts_at": "2026-13-01"},
        {"kind": "every", "cron": "0 9 * * *", "starts_at": "2026-12-01T09:00Z"},
        {"kind": "every", "cron": "0 9 * * *", "count": 0},
        {"kind": "every", "cron": "0 " * 60},
        {"kind": "every", "interval": {"unit": "fortnights"}},
        {"kind": "every", "cron": "0 9 * * *", "surprise": 1},
        {"kind": "phrase", "text": "tomorrow\x00"},
        {"kind": "sometimes"},
    ],
)
def test_malformed_timings_are_refused(fields: dict[str, Any]) -> None:
    """Wrong types, missing offsets and unknown fields do not get as far as being judged."""
    with pytest.raises(ValidationError):
        timing(**fields)


@pytest.mark.covers("TZ-01")
def test_every_zone_of_the_wheel_is_accepted() -> None:
    """Each name of the IANA database can be scheduled in, and walks across its changes of a year."""
    ctx = context("2026-01-01T00:00Z")
    names = sorted(zones.zone_names())
    assert len(names) > 500
    for name in names:
        shown = t.preview(every(cron="30 1 1 * *", zone=name), 2, ctx).slots
        assert shown[0].due_at < shown[1].due_at


def test_zone_data_comes_from_the_wheel() -> None:
    """The machine's copy plays no part, and the version that plans name is the wheel's."""
    import zoneinfo

    import tzdata

    assert zoneinfo.TZPATH == ()
    assert t.tzdata_version() == tzdata.IANA_VERSION


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"kind": "now"}, "at once"),
        ({"kind": "at", "at": "2026-12-01T09:00Z"}, "on 2026-12-01 at 09:00 UTC"),
        ({"kind": "at", "local": "2026-12-01T09:00"}, "on 2026-12-01 at 09:00 in the recipient's zone"),
        ({"kind": "in", "delay": "P1DT30M"}, "1 day 30 minutes after it was accepted"),
        ({"kind": "phrase", "text": "tomorrow"}, '"tomorrow"'),
        ({"cron": "0 9 * * MON-FRI", "zone": "Europe/Berlin"}, "every weekday at 09:00 in Europe/Berlin"),
        ({"cron": "5 18 * * 1,fri", "zone": "UTC"}, "every Monday and Friday at 18:05 in UTC"),
        ({"cron": "*/15 * * * *", "zone": "UTC"}, "every 15 minutes in UTC"),
        ({"cron": "0 9 1 * 5#2", "zone": "UTC"}, 'by the cron expression "0 9 1 * 5#2" in UTC'),
        ({"rrule": "FREQ=DAILY", "count": 3, "zone": "UTC"}, 'by the rule "FREQ=DAILY" in UTC, 3 times'),
        (
            {"interval": {"unit": "hours", "count": 6}, "zone": "UTC", "starts_at": "2026-12-01", "count": 1},
            "every 6 hours in UTC, from 2026-12-01, once",
        ),
        ({"interval": {"unit": "days"}, "zone": "UTC", "ends_at": "2027-01-01"}, "every day in UTC, until 2027-01-01"),
    ],
)
def test_a_timing_in_one_sentence(fields: dict[str, Any], sentence: str) -> None:
    """Common timings read like speech; anything else shows its expression rather than a guess."""
    assert t.describe(timing(**{"kind": "every"} | fields)) == sentence
