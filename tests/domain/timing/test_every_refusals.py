"""Which recurring timings are refused, and how the refusal helps."""

from __future__ import annotations

from typing import Any

import pytest

from horae.domain import errors
from horae.domain import timing as t
from tests.domain.timing.cases import context, every, locals_of, take

CTX = context("2026-03-27T12:00Z")
DAILY = {"cron": "0 9 * * *", "zone": "UTC"}


@pytest.mark.covers("REC-22", "REC-21", "REC-08")
@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({}, "cron", "No rule"),
        ({"cron": "0 9 * * *", "rrule": "FREQ=DAILY"}, "rrule", "exclude each other"),
        ({"cron": "0 9 * * *", "interval": {"unit": "days"}}, "interval", "exclude each other"),
        ({"cron": "0 9 30 2 *"}, "cron", "never matches"),
        ({"cron": "0 9 31 2,4,6,9,11 *"}, "cron", "never matches"),
        ({"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}, "rrule", "never matches"),
        ({"rrule": "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30"}, "rrule", "never matches"),
        ({"rrule": "FREQ=HOURLY;INTERVAL=24;BYHOUR=9", "starts_at": "2026-04-01T10:00"}, "rrule", "never matches"),
        ({"rrule": "FREQ=YEARLY;INTERVAL=4;BYMONTH=2;BYMONTHDAY=29", "starts_at": "2026-04-01"}, "rrule", "never"),
        ({"rrule": "FREQ=DAILY;BYHOUR=9;BYSETPOS=5"}, "rrule", "never matches"),
        ({**DAILY, "zone": "Berlin"}, "zone", "not a zone"),
        ({"cron": "0 * * * *", "gap": "skip"}, "gap", "follows the running clock"),
        ({"cron": "0 */2 * * *", "overlap": "both"}, "overlap", "follows the running clock"),
        ({"rrule": "FREQ=MINUTELY", "overlap": "first"}, "overlap", "follows the running clock"),
        ({"interval": {"unit": "hours", "count": 6}, "gap": "shift"}, "gap", "follows the running clock"),
        ({**DAILY, "starts_at": "2026-05-01", "ends_at": "2026-04-30"}, "ends_at", "before it starts"),
        ({**DAILY, "ends_at": "2026-03-26"}, "ends_at", "No slot"),
        ({**DAILY, "starts_at": "2026-01-01", "count": 3}, "count", "No slot"),
        ({"rrule": "FREQ=DAILY;UNTIL=20260301", "starts_at": "2026-01-01"}, "rrule", "No slot"),
        ({**DAILY, "starts_at": "2031-05-01"}, "starts_at", "more than 5 years"),
        ({"rrule": "FREQ=DAILY;COUNT=3", "count": 3}, "count", "twice"),
        ({"rrule": "FREQ=DAILY;UNTIL=20270101", "ends_at": "2027-01-01"}, "ends_at", "twice"),
        ({**DAILY, "jitter": "PT0S"}, "jitter", "more than zero"),
        ({**DAILY, "jitter": "P2D"}, "jitter", "at most a day"),
    ],
)
def test_refusals_name_field_value_and_a_way_out(fields: dict[str, Any], field: str, said: str) -> None:
    """Accepting and previewing refuse alike what is wrong in itself; each refusal carries a hint."""
    with pytest.raises(errors.Invalid, match=said) as refused:
        t.normalise(every(**fields), CTX)
    assert refused.value.field == f"timing.{field}"
    assert refused.value.hint


def test_unknown_zones_are_answered_with_the_closest() -> None:
    """A city, a wrong case or a slip of the pen is enough to be told the right name."""
    for wrong, right in (("Berlin", "Europe/Berlin"), ("europe/paris", "Europe/Paris"), ("Asia/Tokio", "Asia/Tokyo")):
        with pytest.raises(errors.Invalid) as refused:
            t.normalise(every(**DAILY | {"zone": wrong}), CTX)
        assert right in (refused.value.hint or "")


def test_policies_are_filled_in_where_they_decide_something() -> None:
    """The accepted timing shows `shift` and `first` for wall-clock rules, nothing for those that follow the clock."""
    wall, clock = t.normalise(every(**DAILY), CTX), t.normalise(every(cron="0 * * * *"), CTX)
    assert isinstance(wall, t.Every)
    assert isinstance(clock, t.Every)
    assert (wall.gap, wall.overlap, clock.gap, clock.overlap) == ("shift", "first", None, None)
    assert t.normalise(wall, CTX) == wall


@pytest.mark.covers("REC-03", "REC-02")
@pytest.mark.parametrize(
    ("unit", "second"),
    [
        ("minutes", "2026-05-01T08:03"),
        ("hours", "2026-05-01T11:00"),
        ("days", "2026-05-04T08:00"),
        ("weeks", "2026-05-22T08:00"),
        ("months", "2026-08-01T08:00"),
        ("years", "2029-05-01T08:00"),
    ],
)
def test_every_unit_counts(unit: str, second: str) -> None:
    """Three units after the start comes the second slot."""
    ctx = CTX
    timing = t.normalise(every(interval={"unit": unit, "count": 3}, starts_at="2026-05-01T08:00", zone="UTC"), ctx)
    assert locals_of(take(timing, ctx, 2)) == ["2026-05-01T08:00", second]


@pytest.mark.covers("REC-08")
def test_a_recipients_series_follows_the_recipient() -> None:
    """The slots stay nine o'clock; the instants are those of the zone in which the recipient is now."""
    timing = t.normalise(every(cron="0 9 * * *"), CTX)
    tokyo = context("2026-04-01T00:30Z", recipient_zone="Asia/Tokyo")
    slots = take(timing, tokyo, 2)
    assert locals_of(slots) == ["2026-04-02T09:00", "2026-04-03T09:00"]
    assert slots[0].due_at.hour == 0
    moved = t.following(timing, slots[0], context("2026-04-02T00:30Z", recipient_zone="America/New_York"))
    assert moved is not None
    assert (locals_of([moved]), moved.due_at.hour) == (["2026-04-03T09:00"], 13)
