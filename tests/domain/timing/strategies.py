"""Timings, zones and moments for property tests, drawn so that clock changes are met often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from horae.domain import timing as t

# (zone, an instant near one of its clock changes)
CHANGES = [
    ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("America/New_York", datetime(2027, 3, 14, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    ("Africa/Casablanca", datetime(2026, 2, 15, 2, tzinfo=UTC)),
    ("Africa/Casablanca", datetime(2026, 3, 22, 2, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),
    ("Asia/Beirut", datetime(2026, 3, 28, 22, tzinfo=UTC)),
    ("Asia/Kathmandu", datetime(1985, 12, 31, 18, 30, tzinfo=UTC)),
    ("America/Vancouver", datetime(2026, 11, 1, 9, tzinfo=UTC)),
    ("UTC", datetime(2028, 2, 28, 12, tzinfo=UTC)),
]

CRONS = [
    "30 2 * * *",
    "*/20 1-3 * * *",
    "0,15,30,45 0,1,2,3 * * *",
    "5 0,2,9 * * MON-FRI",
    "0 9 * * *",
    "15 * * * *",
    "*/30 */2 * * *",
    "0 0 1 * *",
    "45 23 L * *",
    "0 3 * * 0#1,0#2",
    "30 15 2 * * *",
    "0,30 */10 * * * ?",
    "0 2 15W,LW * *",
    "30 1 L-2 * 0L",
]
RRULES = [
    "FREQ=DAILY",
    "FREQ=DAILY;INTERVAL=2;BYHOUR=2,3;BYMINUTE=0,30",
    "FREQ=WEEKLY;BYDAY=SU,MO;BYHOUR=1,2;BYMINUTE=15,45",
    "FREQ=MONTHLY;BYDAY=-1SU;BYHOUR=2;BYMINUTE=30",
    "FREQ=HOURLY;INTERVAL=5",
    "FREQ=MINUTELY;INTERVAL=50",
    "FREQ=DAILY;BYHOUR=1,2,3;BYMINUTE=10,50;BYSETPOS=2,-1",
    "RRULE:FREQ=WEEKLY;BYHOUR=2;BYMINUTE=30\nRRULE:FREQ=MONTHLY;BYMONTHDAY=-1,1;BYHOUR=1\nEXDATE:20260329,20261101",
    "RRULE:FREQ=DAILY;INTERVAL=3\nRDATE:20260329T023000,20261025T023000,20261101T013000\nEXDATE:20260401T000000Z",
]


@st.composite
def series(draw: st.DrawFn, *, policies: bool = True, jitter: bool = True) -> tuple[t.Every, t.Context]:
    """An accepted recurring timing and a present shortly before one of its zone's clock changes."""
    zone, change = draw(st.sampled_from(CHANGES))
    now = change - timedelta(minutes=draw(st.integers(0, 4 * 24 * 60)))
    fields: dict[str, Any] = {"zone": zone}
    kind = draw(st.sampled_from(["cron", "rrule", "interval", "business day"]))
    clock = False
    if kind == "cron":
        fields["cron"] = draw(st.sampled_from(CRONS))
        clock = fields["cron"].split()[-4].startswith("*")
    elif kind == "rrule":
        fields["rrule"] = draw(st.sampled_from(RRULES))
        clock = "FREQ=HOURLY" in fields["rrule"] or "FREQ=MINUTELY" in fields["rrule"]
    elif kind == "business day":
        nth, time = (
            draw(st.sampled_from([1, 2, 5, -1, -3])),
            draw(st.sampled_from(["00:00", "02:30", "09:00", "23:45"])),
        )
        fields["business_day"] = {"nth": nth, "at": time}
    else:
        unit = draw(st.sampled_from(["minutes", "hours", "days", "weeks", "months", "years"]))
        fields["interval"] = {"unit": unit, "count": draw(st.integers(1, 5)) * (10 if unit == "minutes" else 1)}
        if unit in {"months", "years"}:
            fields["interval"]["month_end"] = draw(st.sampled_from([None, "clamp", "skip"]))
        clock = unit in {"minutes", "hours"}
    if policies and not clock:
        fields["gap"] = draw(st.sampled_from([None, "shift", "skip"]))
        fields["overlap"] = draw(st.sampled_from([None, "first", "second", "both"]))
    if draw(st.booleans()):
        start = (now + timedelta(minutes=draw(st.integers(-3000, 3000)))).replace(tzinfo=None, second=0)
        fields["starts_at"] = start.isoformat()
    if draw(st.booleans()):
        # More than a start 50 hours ago leaves behind, also of the densest rule, which has twelve an hour.
        fields["count"] = draw(st.integers(650, 1000))
    if jitter and draw(st.booleans()):
        fields["jitter"] = draw(st.sampled_from(["PT1M", "PT45M", "PT3H"]))
    ctx = t.Context(now, draw(st.uuids()))
    timing = t.normalise(t.Every.model_validate(fields), ctx)
    assert isinstance(timing, t.Every)
    return timing, ctx
