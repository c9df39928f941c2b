"""Recurrence sets: several rules, dates and exclusions, held against python-dateutil's sets on naive time."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given
from hypothesis import strategies as st

from horae.domain import errors
from horae.domain import timing as t
from horae.domain.timing import ruleset
from tests.domain.timing.cases import at, context, every, locals_of, take

START = datetime.fromisoformat("2026-01-05T09:00")
RULES = [
    "FREQ=WEEKLY;BYDAY=MO",
    "FREQ=DAILY;INTERVAL=3",
    "FREQ=DAILY;COUNT=12",
    "FREQ=MONTHLY;BYDAY=-1FR;UNTIL=20260630T235959",
    "FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=9,18;COUNT=7",
    "FREQ=YEARLY;BYYEARDAY=20,40,-1",
]
MINUTES = st.integers(0, 400 * 24).map(lambda hours: START + timedelta(hours=hours))


def _lines(rules: list[str], dates: set[datetime], excluded: set[datetime]) -> str:
    lines = [f"RRULE:{rule}" for rule in rules]
    if dates:
        lines.append("RDATE:" + ",".join(f"{d:%Y%m%dT%H%M%S}" for d in sorted(dates)))
    lines += [f"EXDATE:{d:%Y%m%dT%H%M%S}" for d in sorted(excluded)]
    return "\n".join(lines)


def _ours(text: str, n: int) -> list[datetime]:
    rule = ruleset.walk(ruleset.parse(text), START, "UTC")
    found: list[datetime] = []
    at = rule.next(START - timedelta(seconds=1))
    while at is not None and len(found) < n:
        found.append(at)
        at = rule.next(at)
    return found


@given(st.lists(st.sampled_from(RULES), min_size=1, max_size=3), st.sets(MINUTES, max_size=3), st.data())
def test_sets_come_to_what_dateutil_says(rules: list[str], dates: set[datetime], data: st.DataObject) -> None:
    """The union of rules and dates less the exclusions, whichever are hit."""
    whole = list(islice(rrulestr(_lines(rules, dates, set()), dtstart=START, forceset=True), 40))
    hit = data.draw(st.sets(st.sampled_from(whole), max_size=5))
    text = _lines(rules, dates, hit | data.draw(st.sets(MINUTES, max_size=2)))
    if text.count("\n") == 0:
        text += f"\nEXDATE:{START - timedelta(days=9):%Y%m%dT%H%M%S}"  # a rule alone is the series' to end
    assert _ours(text, 25) == list(islice(rrulestr(text, dtstart=START, forceset=True), 25))


@pytest.mark.covers("REC-05")
def test_a_count_in_a_set_counts_before_exclusions() -> None:
    """Of five Mondays one is left out: four are sent, and a date beside them is not counted."""
    text = "FREQ=WEEKLY;COUNT=5;BYDAY=MO\nEXDATE:20260112T090000\nRDATE:20260301T120000"
    assert [f"{d:%m-%d %H}" for d in _ours(text, 9)] == ["01-05 09", "01-19 09", "01-26 09", "02-02 09", "03-01 12"]


@pytest.mark.parametrize(
    ("lines", "slots"),
    [
        (["EXDATE:20260106"], ["2026-01-05T09:00", "2026-01-07T09:00"]),  # a date leaves out its whole day
        (["EXDATE:20260106T080000Z"], ["2026-01-05T09:00", "2026-01-07T09:00"]),
        (["EXDATE;TZID=America/New_York:20260106T030000"], ["2026-01-05T09:00", "2026-01-07T09:00"]),
        (["EXDATE;TZID=Europe/Berlin:20260106T090000"], ["2026-01-05T09:00", "2026-01-07T09:00"]),
        (["EXDATE:20260106T090000,20260107T090000"], ["2026-01-05T09:00", "2026-01-08T09:00"]),
        (["EXDATE:20260106T100000"], ["2026-01-05T09:00", "2026-01-06T09:00"]),
        (["RDATE;VALUE=DATE-TIME:20260105T120000"], ["2026-01-05T09:00", "2026-01-05T12:00"]),
        (["RDATE;VALUE=PERIOD:20260105T120000/PT1H"], ["2026-01-05T09:00", "2026-01-05T12:00"]),
        (["RDATE;VALUE=DATE:20260106", "EXDATE:20260107T090000"], ["2026-01-05T09:00", "2026-01-06T09:00"]),
        (["RRULE:FREQ=DAILY;BYHOUR=17;UNTIL=20260105T160000Z"], ["2026-01-05T09:00", "2026-01-05T17:00"]),
        (["RRULE:FREQ=DAILY;BYHOUR=17;UNTIL=20260105T155959Z"], ["2026-01-05T09:00", "2026-01-06T09:00"]),
    ],
)
def test_dates_and_instants_are_read_in_the_timings_zone(lines: list[str], slots: list[str]) -> None:
    """Nine o'clock in Berlin is 08:00Z and three in the morning in New York."""
    text = "\n".join(["RRULE:FREQ=DAILY", *lines])
    ctx = context("2026-01-01T00:00Z")
    timing = t.normalise(every(rrule=text, starts_at="2026-01-05T09:00", zone="Europe/Berlin"), ctx)
    assert locals_of(take(timing, ctx, 2)) == slots


def test_an_end_by_instant_lets_a_whole_first_passing_through() -> None:
    """02:10 of the second passing ends the rule; 02:40 of the first lies before it."""
    text = "RRULE:FREQ=DAILY;UNTIL=20261025T011000Z\nRDATE:20261101T000000"
    ctx = context("2026-10-24T12:00Z")
    timing = t.normalise(every(rrule=text, starts_at="2026-10-24T02:40", zone="Europe/Berlin"), ctx)
    found = take(timing, ctx, 3)
    assert locals_of(found) == ["2026-10-25T02:40", "2026-11-01T00:00"]
    assert found[0].due_at == at("2026-10-25T00:40Z")


@pytest.mark.parametrize("overlap", ["first", "second", "both"])
@pytest.mark.parametrize("day", ["2026-10-25", "2026-03-29"])
def test_an_end_by_instant_ends_a_rule_of_a_set_as_it_ends_one_alone(overlap: str, day: str) -> None:
    """Wherever it lies in the hours around a clock change: between the two passings, or in what a gap moves."""
    ctx, midnight = context("2026-01-01T00:00Z"), at(f"{day}T00:00Z")
    begin = f"{midnight - timedelta(hours=23):%Y-%m-%dT%H:%M}"
    for minutes in range(0, 180, 10):
        until = midnight + timedelta(minutes=minutes)
        rule = f"RRULE:FREQ=DAILY;BYHOUR=1,2,3;BYMINUTE=0,30;UNTIL={until:%Y%m%dT%H%M%SZ}"
        alone, beside = (
            t.normalise(every(rrule=text, starts_at=begin, zone="Europe/Berlin", overlap=overlap), ctx)
            for text in (rule, f"{rule}\nRDATE:20261231T120000")
        )
        expected = [(slot.slot, slot.due_at) for slot in take(alone, ctx, 19)]
        found = [(slot.slot, slot.due_at) for slot in take(beside, ctx, 19)]
        assert found[:-1] == expected, until
        assert found[-1][1] == at("2026-12-31T11:00Z")


def test_an_end_by_instant_is_read_on_the_timings_clock() -> None:
    """Midnight of UTC is nine o'clock in Tokyo: one slot, not a rule that never matches."""
    ctx = context("2026-01-01T00:00Z")
    text = "RRULE:FREQ=DAILY;UNTIL=20260105T000000Z\nEXDATE:20260110"
    timing = t.normalise(every(rrule=text, starts_at="2026-01-05T09:00", zone="Asia/Tokyo"), ctx)
    assert locals_of(take(timing, ctx, 3)) == ["2026-01-05T09:00"]


def test_a_count_that_leads_past_all_years_ends_with_them() -> None:
    """Twenty thousand years, of which the calendar has two hundred."""
    ctx = context("2026-01-01T00:00Z")
    text = "RRULE:FREQ=YEARLY;COUNT=20000\nRDATE:20260106T090000"
    timing = t.normalise(every(rrule=text, starts_at="2026-01-05T09:00", zone="UTC"), ctx)
    assert locals_of(take(timing, ctx, 500))[-1] == "2199-01-05T09:00"


def test_dates_alone_are_a_series_that_ends() -> None:
    """RDATE without a rule names its times and no others."""
    ctx = context("2026-01-01T00:00Z")
    text = "RDATE:20260301T120000,20260105T070000\nRDATE:20260401T000000\nEXDATE:20260301"
    timing = t.normalise(every(rrule=text, starts_at="2026-01-01", zone="UTC"), ctx)
    assert locals_of(take(timing, ctx, 9)) == ["2026-01-05T07:00", "2026-04-01T00:00"]


@pytest.mark.covers("REC-22")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("DTSTART:20260101T090000\nRRULE:FREQ=DAILY", "starts_at"),
        ("RRULE:FREQ=DAILY\nEXRULE:FREQ=DAILY;BYDAY=MO", "EXDATE"),
        ("EXDATE:20260101T090000", "RRULE or RDATE is missing"),
        ("RRULE:FREQ=DAILY\nFOO:1", "neither RRULE, RDATE nor EXDATE"),
        ("RRULE:FREQ=DAILY\nRRULE:FREQ=HOURLY", "follow the running clock"),
        ("RRULE:FREQ=DAILY\nRDATE:tomorrow", "neither a date"),
        ("RRULE:FREQ=DAILY\nEXDATE:20261301", "month must be in 1..12"),
        ("RRULE:FREQ=DAILY\nEXDATE;TZID=Europe/Berln:20260101T090000", "'Europe/Berln' is not a zone"),
        ("RRULE:FREQ=DAILY\nEXDATE:" + ",".join(["20260101T090000"] * 1001), "more than 1000 dates"),
        ("RRULE:FREQ=DAILY\nRRULE:FREQ=SOMETIMES", "FREQ is one of"),
    ],
)
def test_what_is_no_set_is_refused_with_a_right_one(text: str, said: str) -> None:
    """The refusal names the field, the text, what is wrong in it, and lines that would do."""
    with pytest.raises(errors.Invalid, match=said) as refused:
        ruleset.parse(text)
    assert refused.value.field == "timing.rrule"
    assert refused.value.hint


def test_folded_lines_are_read_as_one() -> None:
    """As calendar files break them, after 75 octets."""
    assert ruleset.parse("RRULE:FREQ=WEEK\r\n LY;BYDAY=MO\nEXDATE:20260\n\t112T090000") == ruleset.parse(
        "RRULE:FREQ=WEEKLY;BYDAY=MO\nEXDATE:20260112T090000"
    )
    assert ruleset.parse("FREQ=WEEKLY;\n BYDAY=MO").single == ruleset.parse("FREQ=WEEKLY;BYDAY=MO").single


def test_a_set_that_leaves_everything_out_is_refused() -> None:
    """Three days, all of them left out: nothing would ever be sent."""
    text = "RRULE:FREQ=DAILY;COUNT=3\nEXDATE:20260105,20260106,20260107"
    with pytest.raises(errors.Invalid, match="never matches"):
        t.normalise(every(rrule=text, starts_at="2026-01-05T09:00", zone="UTC"), context("2026-01-01T00:00Z"))


@pytest.mark.covers("REC-03")
def test_months_without_the_day_are_clamped_or_left_out() -> None:
    """From 31 January: the last of February, or straight to March; from a leap day: 28 February, or four years."""
    ctx = context("2024-01-01T00:00Z")

    def slots(start: str, unit: str, month_end: str) -> list[str]:
        interval = {"unit": unit, "month_end": month_end}
        return locals_of(take(t.normalise(every(interval=interval, starts_at=start, zone="UTC"), ctx), ctx, 3))

    assert slots("2026-01-31T08:00", "months", "clamp")[1:] == ["2026-02-28T08:00", "2026-03-31T08:00"]
    assert slots("2026-01-31T08:00", "months", "skip")[1:] == ["2026-03-31T08:00", "2026-05-31T08:00"]
    assert slots("2024-02-29T08:00", "years", "skip")[1:] == ["2028-02-29T08:00", "2032-02-29T08:00"]
