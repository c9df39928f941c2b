"""`python -m benchmarks.timings`: what the next slot costs, by kind of timing; also the first part of `make bench`.

One core, CPU time and not the clock on the wall, so that a busy machine does not show. *Slot*: the next slot after an
instant, from the timing as it is stored. *Planned*: the slot after another with its plan and reasons, ready for an
event, which is what an evaluation is: the target is 50,000 a second. *First*: a timing that nothing is remembered of
yet, checks included.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table

from horae.domain import timing as t
from horae.domain.timing.calendared import series_on
from horae.domain.timing.opendays import BUILT_IN

_NOW = datetime(2026, 11, 23, tzinfo=UTC)
_CONTEXT = t.Context(_NOW, UUID(int=17))
_ZONE = "Europe/Berlin"
_ROUNDS = 5
#: Evaluations a second that one core is to do of what is common.
_WANTED = 50_000

#: What happens once: its instant is found, and planned, when it is accepted.
ONCE: list[tuple[str, dict[str, object]]] = [
    ("at once", {"kind": "now"}),
    ("at an instant", {"kind": "at", "at": "2026-12-01T09:00:00+01:00"}),
    ("at a local time", {"kind": "at", "local": "2026-12-01T09:00", "zone": _ZONE}),
    ("after a delay", {"kind": "in", "delay": "PT30M", "zone": _ZONE}),
    ("in words, once they are understood", {"kind": "phrase", "text": "tomorrow at 9 AM", "zone": _ZONE}),
    (
        "best, where nothing is known of anybody",
        {"kind": "best", "from": "2026-12-01", "to": "2026-12-08", "zone": _ZONE},
    ),
]

#: (what it is, fields, microseconds that a slot may cost)
KINDS: list[tuple[str, dict[str, object], float]] = [
    ("cron, daily at a local time", {"cron": "0 9 * * *"}, 15),
    ("cron, weekdays", {"cron": "0 9 * * MON-FRI"}, 15),
    ("cron, every 5 minutes", {"cron": "*/5 * * * *"}, 15),
    ("cron, seconds", {"cron": "*/10 * 9-17 * * MON-FRI"}, 15),
    ("cron, last weekday of the month", {"cron": "0 9 LW * *"}, 1000),
    ("cron, leap day", {"cron": "0 9 29 2 *"}, 1000),
    ("interval, 6 hours", {"interval": {"unit": "hours", "count": 6}}, 15),
    ("interval, months", {"interval": {"unit": "months"}, "starts_at": "2026-01-31T08:00"}, 1000),
    ("rrule, daily", {"rrule": "FREQ=DAILY;BYHOUR=9;BYMINUTE=0;BYSECOND=0"}, 15),
    ("rrule, last Friday", {"rrule": "FREQ=MONTHLY;BYDAY=-1FR"}, 1000),
    ("rrule, last weekday by BYSETPOS", {"rrule": "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1"}, 1000),
    ("rrule, last weekday of the year", {"rrule": "FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1"}, 1000),
    ("rrule, week 53", {"rrule": "FREQ=YEARLY;BYWEEKNO=53;BYDAY=SU"}, 1000),
    ("rrule, a leap day on a Monday", {"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO"}, 1000),
    ("rrule, every 45 seconds", {"rrule": "FREQ=SECONDLY;INTERVAL=45"}, 1000),
    ("cron, the 16,800th of 20,000", {"cron": "0 9 * * *", "starts_at": "1980-11-23", "count": 20_000}, 1000),
    ("a business day of every month", {"business_day": {"nth": -1, "at": "09:00"}}, 1000),
    (
        "cron, daily but weekends and holidays",
        {"cron": "0 9 * * *", "calendar": {"skip_weekends": True, "skip_holidays": True, "move": "drop"}},
        1000,
    ),
    ("cron, within business hours", {"cron": "0 */6 * * *", "calendar": {"business_hours_only": True}}, 1000),
    ("set of two rules and a date", {"rrule": "RRULE:FREQ=WEEKLY\nRRULE:FREQ=MONTHLY\nEXDATE:20261224"}, 1000),
]


def _once(fields: dict[str, object]) -> t.Timing:
    read: TypeAdapter[t.Timing] = TypeAdapter(t.Timing)
    return t.normalise(read.validate_python(fields), _CONTEXT)


def _every(fields: dict[str, object]) -> t.Every:
    settled = t.normalise(t.Every.model_validate({"zone": _ZONE, **fields}), _CONTEXT)
    assert isinstance(settled, t.Every)
    return settled


def _microseconds(run: Callable[[], int]) -> float:
    """CPU time of one of the `run`'s steps, the best of a few rounds."""
    best = float("inf")
    for _ in range(_ROUNDS):
        start = time.process_time()
        steps = run()
        best = min(best, (time.process_time() - start) / steps)
    return best * 1e6


def slot_us(timing: t.Every, steps: int = 300) -> float:
    """The next slot after an instant, from the stored timing; one after the other for five years at most."""

    def run() -> int:
        at, last = _NOW.replace(tzinfo=None), datetime(2031, 11, 23)  # noqa: DTZ001 - naive UTC
        for _ in range(steps):
            numbered = series_on(timing, _ZONE, BUILT_IN).numbered(at)
            at = numbered[0].due if numbered is not None and numbered[0].due < last else _NOW.replace(tzinfo=None)
        return steps

    return _microseconds(run)


def planned_us(timing: t.Every, steps: int = 300) -> float:
    """The slot after another, with plan and reasons."""
    first = t.first(timing, _CONTEXT)
    assert first is not None

    def run() -> int:
        slot: t.Next = first
        for _ in range(steps):
            slot = t.following(timing, slot, _CONTEXT) or first
        return steps

    return _microseconds(run)


def once_us(timing: t.Timing, steps: int = 300) -> float:
    """A one-off with its plan."""

    def run() -> int:
        for _ in range(steps):
            t.first(timing, _CONTEXT)
        return steps

    return _microseconds(run)


def five_years_ms() -> tuple[float, int]:
    """Expanding a daily rule over five years, plans included: milliseconds, and how many slots."""
    timing = _every({"cron": "0 9 * * *", "ends_at": (_NOW + timedelta(days=5 * 365 + 1)).date().isoformat()})
    start = time.process_time()
    slots = t.preview(timing, 2000, _CONTEXT).slots
    return (time.process_time() - start) * 1e3, len(slots)


def _per_second(cost_us: float) -> str:
    return f"{1e6 / cost_us:,.0f}{'*' if 1e6 / cost_us >= _WANTED else ' '}"


def report(console: Console) -> None:
    """Print the table."""
    table = Table(title=f"cost of the next slot, µs of one core; *: {_WANTED:,} a second", show_lines=False)
    for column in ("timing", "slot", "target", "planned", "first", "slots/s", "planned/s"):
        table.add_column(column, justify="left" if column == "timing" else "right")
    for name, fields in ONCE:
        start = time.process_time()
        once = _once(fields)
        first = (time.process_time() - start) * 1e6
        planned = once_us(once)
        table.add_row(name, "", "", f"{planned:,.1f}", f"{first:,.0f}", "", _per_second(planned))
    for name, fields, target in KINDS:
        start = time.process_time()
        timing = _every(fields)
        first = (time.process_time() - start) * 1e6
        slot, planned = slot_us(timing), planned_us(timing)
        met = "≤" if slot <= target else "missed:"
        row = (f"{slot:,.1f}", f"{met} {target:,.0f}", f"{planned:,.1f}", f"{first:,.0f}")
        table.add_row(name, *row, _per_second(slot), _per_second(planned))
    console.print(table)
    spent, slots = five_years_ms()
    console.print(f"five years of a daily rule: {slots:,} slots with their plans in {spent:,.0f} ms")


if __name__ == "__main__":
    report(Console(width=110))
