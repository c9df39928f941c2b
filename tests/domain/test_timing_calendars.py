"""Timings that keep to a calendar: what it closes moves or falls away, and nothing else does."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horae.domain import errors
from horae.domain import timing as t
from horae.domain.timing.calendared import CalendarSeries
from horae.domain.timing.opendays import Calendar, CalendarDefinition
from horae.domain.timing.series import Found

BAVARIA = Calendar(
    "munich",
    3,
    CalendarDefinition.model_validate(
        {
            "country": "DE",
            "subdivision": "BY",
            "days": [{"date": "2026-12-24", "hours": [{"start": "09:00", "end": "12:00"}]}],
        }
    ),
)
BOTH = {"id": "munich", "skip_weekends": True, "skip_holidays": True}


def context(now: datetime = datetime(2026, 12, 17, tzinfo=UTC), calendar: Calendar | None = BAVARIA) -> t.Context:
    return t.Context(now=now, schedule_id=UUID(int=1), calendar=calendar)


def every(**fields: Any) -> t.Timing:
    return t.normalise(t.Every.model_validate({"zone": "Europe/Berlin", **fields}), context())


def sent(timing: t.Timing, count: int) -> list[tuple[str, str]]:
    """Slot and instant of what goes out, walked link by link; a preview shows the same."""
    ctx = context()
    chain: list[t.Next] = []
    at = t.first(timing, ctx)
    while at is not None and len(chain) < count:
        chain.append(at)
        at = t.following(timing, at, ctx)
    assert t.preview(timing, count, ctx).slots == chain
    return [(f"{one.slot.local:%m-%d %H:%M}", f"{one.due_at:%m-%dT%H:%M}") for one in chain]


@pytest.mark.covers("REC-10", "REC-11", "TZ-28")
def test_what_falls_on_a_day_off_goes_out_on_the_next_open_day() -> None:
    """Christmas 2026: Friday and Saturday are holidays in Bavaria; the 25th goes out on Monday, and says why."""
    timing = every(rrule="FREQ=MONTHLY;BYMONTHDAY=25;BYHOUR=9;BYMINUTE=0;BYSECOND=0", calendar=BOTH)
    assert sent(timing, 2) == [("12-25 09:00", "12-28T08:00"), ("01-25 09:00", "01-25T08:00")]
    plan = t.preview(timing, 1, context()).slots[0].plan
    assert plan.calendar is not None
    assert plan.calendar.startswith("munich@3 holidays ")
    assert [reason.code for reason in plan.reasons] == ["calendar_forward"]
    assert "Christmas Day" in plan.reasons[0].text


@pytest.mark.covers("REC-10", "REC-11")
def test_back_is_the_last_open_day_before() -> None:
    """And what would lie in the past by that is not made up for."""
    timing = every(rrule="FREQ=MONTHLY;BYMONTHDAY=25,20;BYHOUR=9;BYMINUTE=0", calendar=BOTH | {"move": "back"})
    assert sent(timing, 2) == [("12-20 09:00", "12-18T08:00"), ("12-25 09:00", "12-24T08:00")]
    late = context(datetime(2026, 12, 24, 12, tzinfo=UTC))
    first = t.first(timing, late)
    assert first is not None
    assert first.slot.local == datetime(2027, 1, 20, 9)  # noqa: DTZ001 - slots are naive


@pytest.mark.covers("REC-10", "REC-11")
def test_what_is_dropped_was_never_a_slot() -> None:
    """It is not counted, not found, and the preview lists it as passed over."""
    timing = every(cron="0 9 * * *", count=6, calendar=BOTH | {"move": "drop"})
    days = ["12-17", "12-18", "12-21", "12-22", "12-23", "12-24"]
    assert [slot[:5] for slot, _ in sent(timing, 9)] == days
    shown = t.preview(timing, 6, context())
    assert [one.number for one in shown.slots] == [1, 2, 3, 4, 5, 6]
    assert [one.slot.local.day for one in shown.skipped] == [19, 20]
    assert {one.reason.code for one in shown.skipped} == {"calendar_dropped"}
    gone = t.Slot(local=datetime(2026, 12, 19, 9))  # noqa: DTZ001
    assert t.find(timing, gone, context()) is None


def test_slots_that_meet_are_sent_once() -> None:
    """Saturday's and Sunday's go out with Monday's own; two that meet on a free instant under the first of them."""
    daily = every(cron="0 9 * * *", calendar=BOTH)
    assert [slot[:5] for slot, _ in sent(daily, 4)] == ["12-17", "12-18", "12-21", "12-22"]
    merged = t.preview(daily, 4, context()).skipped
    assert [(one.slot.local.day, one.reason.code) for one in merged] == [
        (19, "calendar_merged"),
        (20, "calendar_merged"),
    ]
    weekend = every(cron="0 9 * * SAT,SUN", calendar=BOTH)
    assert sent(weekend, 2) == [("12-19 09:00", "12-21T08:00"), ("12-26 09:00", "12-28T08:00")]
    crossed = every(rrule="FREQ=WEEKLY;BYDAY=SA,SU,MO;BYHOUR=10,9;BYMINUTE=0", calendar=BOTH)
    assert sent(crossed, 3)[:2] == [("12-21 09:00", "12-21T08:00"), ("12-21 10:00", "12-21T09:00")]


@pytest.mark.covers("REC-09", "TZ-05")
def test_business_hours_are_kept() -> None:
    """Before opening at opening, after closing the next day's; back is the last minute; short days are short."""
    early = every(cron="0 7 * * *", calendar={"id": "munich", "business_hours_only": True})
    assert sent(early, 3) == [
        ("12-17 07:00", "12-17T08:00"),
        ("12-18 07:00", "12-18T08:00"),
        ("12-19 07:00", "12-21T08:00"),
    ]
    noon = every(cron="0 14 24 12 *", calendar={"id": "munich", "business_hours_only": True, "move": "back"})
    assert sent(noon, 1) == [("12-24 14:00", "12-24T10:59")]
    hourly = every(cron="0 */3 * * *", calendar={"id": "munich", "business_hours_only": True})
    assert isinstance(hourly, t.Every)
    assert hourly.calendar is not None
    assert hourly.calendar.move == "drop"
    assert [slot for slot, _ in sent(hourly, 4)] == ["12-17 09:00", "12-17 12:00", "12-17 15:00", "12-18 09:00"]


@pytest.mark.covers("TZ-28")
def test_the_nth_business_day_of_the_month() -> None:
    """Counted without weekends and holidays, from either end; a month too short for it has none."""
    last = every(business_day={"nth": -1, "at": "09:00"}, calendar={"id": "munich"})
    assert [slot[:5] for slot, _ in sent(last, 3)] == ["12-31", "01-29", "02-26"]
    # 1 January is a holiday, 2 and 3 a weekend, 6 Epiphany.
    third = every(business_day={"nth": 3, "at": "09:00", "months": [1]}, calendar={"id": "munich"})
    assert [slot[:5] for slot, _ in sent(third, 1)] == ["01-07"]
    rare = every(business_day={"nth": 23, "at": "09:00"})
    assert all(slot[3:5] in ("29", "30", "31") for slot, _ in sent(rare, 5))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"cron": "0 9 * * *", "calendar": {"id": "munich"}}, "timing.calendar"),
        ({"cron": "0 * * * *", "calendar": BOTH | {"move": "back"}}, "timing.calendar.move"),
        ({"cron": "0 9 * * SUN", "calendar": BOTH | {"move": "drop"}}, "timing.calendar"),
        ({"cron": "* 0-23 * * *", "calendar": {"skip_weekends": True}}, "timing.calendar.move"),
        ({"cron": "*/10 * 9,10 * * *", "calendar": BOTH | {"move": "back"}}, "timing.calendar.move"),
        (
            {"rrule": "FREQ=DAILY;BYHOUR=0,1,2,3,4;BYMINUTE=" + ",".join(map(str, range(20))), "calendar": BOTH},
            "timing.calendar.move",
        ),
        ({"business_day": {"nth": 0, "at": "09:00"}}, "timing.business_day.nth"),
        ({"business_day": {"nth": 1, "at": "24:00"}}, "timing.business_day.at"),
        ({"cron": "0 9 * * *", "business_day": {"nth": 1, "at": "09:00"}}, "timing.business_day"),
    ],
)
def test_calendars_that_make_no_sense_are_refused(fields: dict[str, Any], field: str) -> None:
    """One that closes nothing, moves what follows the clock, or leaves nothing of the rule."""
    with pytest.raises(errors.Invalid) as refused:
        every(**fields)
    assert refused.value.field == field


def test_a_calendar_that_nobody_wrote_is_refused() -> None:
    """But for the built-in one: Saturday and Sunday, nine to five."""
    timing = t.Every.model_validate({"cron": "0 9 * * *", "zone": "UTC", "calendar": BOTH})
    with pytest.raises(errors.Invalid) as refused:
        t.normalise(timing, context(calendar=None))
    assert (refused.value.field, refused.value.value) == ("timing.calendar.id", "munich")
    plain = t.Every.model_validate({"cron": "0 9 * * *", "zone": "UTC", "calendar": {"skip_weekends": True}})
    bare = context(calendar=None)
    shown = t.preview(t.normalise(plain, bare), 3, bare).slots
    assert [one.slot.local.day for one in shown] == [17, 18, 21]
    assert shown[0].plan.calendar == "default@0"


_ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia")


@settings(max_examples=40, deadline=None)
@given(
    cron=st.sampled_from(["0 9 * * *", "30 2 * * *", "0 6,12,20 * * *", "45 23 * * SAT,SUN", "0 0 1,15 * *"]),
    move=st.sampled_from(["forward", "back", "drop"]),
    flags=st.sets(st.sampled_from(["skip_weekends", "skip_holidays", "business_hours_only"]), min_size=1),
    zone=st.sampled_from(_ZONES),
    start=st.datetimes(datetime(2026, 1, 1), datetime(2028, 12, 31)),  # noqa: DTZ001
)
def test_nothing_goes_out_on_what_is_closed(cron: str, move: str, flags: set[str], zone: str, start: datetime) -> None:
    """Instants strictly ascend, all of them open; each slot resumes the walk where it stood; open slots stay put."""
    kept = {"id": "munich", "move": move} | dict.fromkeys(flags, True)
    ctx = context(start.replace(tzinfo=UTC))
    asked = t.Every.model_validate({"cron": cron, "zone": zone, "calendar": kept})
    try:
        timing = t.normalise(asked, ctx)
    except errors.Invalid:
        assert (cron, move) == ("45 23 * * SAT,SUN", "drop") or (move == "drop" and "business_hours_only" in flags)
        return
    slots = t.preview(timing, 25, ctx).slots
    assert all(one.due_at < other.due_at for one, other in pairwise(slots))
    for one in slots:
        local = one.due_at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        assert not ("skip_weekends" in flags and BAVARIA.weekend(local.date()))
        assert not ("skip_holidays" in flags and BAVARIA.holiday(local.date()))
        assert "business_hours_only" not in flags or BAVARIA.open_at(local)
        assert t.find(timing, one.slot, ctx) == one
    for one, other in pairwise(slots):
        assert t.following(timing, one, ctx) == other
        between = one.due_at + (other.due_at - one.due_at) / 2
        assert t.after(timing, between, ctx) == other
    plain = t.normalise(t.Every(cron=cron, zone=zone), ctx)
    until = slots[-1].due_at if slots else ctx.now
    open_ones = [one for one in t.preview(plain, 60, ctx).slots if one.due_at <= until and _open(one, flags, zone)]
    assert {one.slot for one in open_ones} <= {one.slot for one in slots}


def _open(one: t.Next, flags: set[str], zone: str) -> bool:
    local = one.slot.local
    return not (
        ("skip_weekends" in flags and BAVARIA.weekend(local.date()))
        or ("skip_holidays" in flags and BAVARIA.holiday(local.date()))
        or ("business_hours_only" in flags and not BAVARIA.open_at(local))
    )


@pytest.mark.covers("TZ-20")
def test_hours_days_and_other_calendars_make_one() -> None:
    """Lunch breaks, days of one's own, a country's weekend, holidays of others added and taken away."""
    split = [{"start": "09:00", "end": "12:00"}, {"start": "13:00", "end": "17:00"}]
    office = CalendarDefinition.model_validate({"hours": {"mon": split}, "weekend": ["fri", "sat"]})
    calendar = Calendar("office", 1, office, plus=(BAVARIA,), minus=())
    monday = datetime(2027, 1, 4, 12, 30)  # noqa: DTZ001
    assert calendar.next_open(monday) == monday + timedelta(minutes=30)
    assert calendar.last_open(monday) == monday - timedelta(minutes=31)
    assert calendar.holiday(date(2027, 1, 6)) == "Epiphany"
    assert (calendar.weekend(date(2027, 1, 1)), calendar.weekend(date(2027, 1, 3))) == (True, False)
    federal = Calendar("de", 1, CalendarDefinition(country="DE"))
    only_ours = Calendar("extra", 1, CalendarDefinition(), plus=(BAVARIA,), minus=(federal,))
    assert (only_ours.holiday(date(2027, 1, 6)), only_ours.holiday(date(2026, 12, 25))) == ("Epiphany", None)
    saudi = Calendar("sa", 1, CalendarDefinition(country="SA"))
    assert [saudi.weekend(date(2027, 1, day)) for day in (1, 2, 3)] == [True, True, False]
    worked = CalendarDefinition.model_validate(
        {"days": [{"date": "2027-01-09", "open": True}, {"date": "2020-08-15", "yearly": True, "name": "ours"}]}
    )
    own = Calendar("own", 1, worked)
    assert own.open_at(datetime(2027, 1, 9, 10))  # noqa: DTZ001
    assert own.holiday(date(2031, 8, 15)) == "ours"


def test_a_yearly_run_over_the_end_of_february_has_its_29th() -> None:
    """In leap years, although the year in which it was written down has none; one that ends on the 28th has not."""
    run = {"date": "2026-02-25", "until": "2026-03-03", "yearly": True, "name": "carnival"}
    over = Calendar("own", 1, CalendarDefinition.model_validate({"days": [run]}))
    assert over.holiday(date(2028, 2, 29)) == "carnival"
    short = Calendar("own", 1, CalendarDefinition.model_validate({"days": [run | {"until": "2026-02-28"}]}))
    assert short.holiday(date(2028, 2, 29)) is None


@pytest.mark.parametrize("move", ["forward", "back", "drop"])
def test_a_calendar_that_is_never_open_is_told_by_looking_at_each_day_once(
    move: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not once more for each of 96 slots a day: so many looks stood still for a minute."""
    never = Calendar("munich", 1, CalendarDefinition(hours={}))
    looks: Counter[date] = Counter()
    hours = Calendar.hours

    def looked(self: Calendar, day: date) -> list[tuple[datetime, datetime]]:
        looks[day] += 1
        return hours(self, day)

    monkeypatch.setattr(Calendar, "hours", looked)
    asked = t.Every.model_validate(
        {
            "cron": "*/15 0-23 * * *",
            "zone": "UTC",
            "calendar": {"id": "munich", "business_hours_only": True, "move": move},
        }
    )
    with pytest.raises(errors.Invalid) as refused:
        t.normalise(asked, context(calendar=never))
    assert refused.value.field == "timing.calendar"
    assert sum(looks.values()) < 5_000


def test_what_meets_on_a_day_is_gathered_once_for_all_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Monday's 96 and the weekend's are walked when Monday is first asked for, not at each of its steps."""
    timing = every(cron="*/15 0-23 * * *", calendar={"id": "munich", "skip_weekends": True})
    gathered: Counter[date] = Counter()
    gather = CalendarSeries._gather

    def counted(self: CalendarSeries, day: date) -> list[Found]:
        gathered[day] += 1
        return gather(self, day)

    monkeypatch.setattr(CalendarSeries, "_gather", counted)
    assert len(sent(timing, 300)) == 300
    assert max(gathered.values()) == 1


@pytest.mark.parametrize("move", ["forward", "back"])
def test_a_calendar_that_is_open_once_a_year_is_walked_once(move: str) -> None:
    """A year of slots meets on one day; the first of them, or the one that is there, goes out."""
    day = {"date": "2026-07-01", "yearly": True, "open": True, "hours": [{"start": "09:00", "end": "10:00"}]}
    yearly = Calendar("munich", 1, CalendarDefinition.model_validate({"hours": {}, "days": [day]}))
    asked = t.Every.model_validate(
        {"cron": "0 3,21 * * *", "zone": "UTC", "calendar": {"id": "munich", "business_hours_only": True, "move": move}}
    )
    ctx = context(calendar=yearly)
    due = [one.due_at for one in t.preview(t.normalise(asked, ctx), 2, ctx).slots]
    minute = "09:00" if move == "forward" else "09:59"
    assert [f"{at:%Y-%m-%d %H:%M}" for at in due] == [f"2027-07-01 {minute}", f"2028-07-01 {minute}"]


@pytest.mark.parametrize("move", ["forward", "back", "drop"])
@pytest.mark.parametrize("flags", [{"skip_holidays": True}, {"business_hours_only": True}])
@pytest.mark.parametrize("years", [2, 6])
def test_a_series_goes_on_behind_a_closure_of_years(move: str, flags: dict[str, bool], years: int) -> None:
    """Closed for longer than any slot is moved: behind it goes out what it did not take."""
    runs = [{"date": f"{2027 + n}-01-01", "until": f"{2027 + n}-12-31"} for n in range(years)]
    closed = Calendar("munich", 1, CalendarDefinition.model_validate({"days": runs, "weekend": ["sun"]}))
    kept = {"id": "munich", "move": move, **flags}
    asked = t.Every.model_validate({"cron": "0 10 * * *", "zone": "UTC", "calendar": kept})
    ctx = context(datetime(2026, 12, 30, 12, tzinfo=UTC), calendar=closed)
    settled = t.normalise(asked, ctx)
    slots = t.preview(settled, 6, ctx).slots
    reopened = date(2027 + years, 1, 1)
    if reopened.weekday() == 6 and "business_hours_only" in flags:
        reopened += timedelta(days=1)
    days = sorted({slot.due_at.date() for slot in slots})
    assert days[:2] == [date(2026, 12, 31), reopened]
    assert [t.following(settled, slot, ctx) for slot in slots[:-1]] == slots[1:]
