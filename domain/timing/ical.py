"""What of a recurring timing an iCalendar event (RFC 5545) can hold: a start, one rule, dates added and left out.

Held is only what every reader lays out to the same instants: one rule on a zone's clock whose gaps shift and whose
overlaps fire once, first; or anything at all in UTC. The rest (see `docs/time.md`) is told slot by slot.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from horae.domain.timing import cron, rrule, ruleset
from horae.domain.timing.cron import Cron
from horae.domain.timing.cronfields import MonthDays, Weekdays
from horae.domain.timing.interval import ELAPSED_UNITS
from horae.domain.timing.ruleset import Given, RuleSet
from horae.domain.timing.series import Found, Series, follows_clock, series_of, start_of
from horae.domain.timing.values import Every, Slot
from horae.domain.timing.zones import segment_at, to_utc

_CODES = ("SU", "MO", "TU", "WE", "TH", "FR", "SA")
_ALL_DAYS, _ALL_MONTHS, _ALL_WEEKDAYS = frozenset(range(1, 32)), frozenset(range(1, 13)), frozenset(range(7))
_FREQUENCIES = {"minutes": "MINUTELY", "hours": "HOURLY", "days": "DAILY", "weeks": "WEEKLY"}


@dataclass(frozen=True, slots=True)
class Held:
    """A series as iCalendar has it. `start`, `dates` and `excluded` are naive local times of `zone`.

    `rule`: the parts of the RRULE in order, as texts; `start` is its first time, so that COUNT and phases agree.
    """

    zone: str
    start: datetime
    rule: dict[str, str]
    dates: tuple[datetime, ...] = ()
    excluded: tuple[datetime, ...] = ()
    #: By what RECURRENCE-ID names the slots that were changed by themselves, in their order.
    changed: tuple[datetime, ...] = ()


def held(every: Every, zone: str, skipped: Iterable[Slot] = (), changed: Iterable[Slot] = ()) -> Held | None:
    """The series of a normalised timing in `zone`, without the slots that were taken out, and with those of its slots
    that were changed by themselves; None: it cannot be held.
    """
    skipped, changed = tuple(skipped), tuple(changed)
    lifted = every.jitter is not None or every.shifted_by is not None
    if every.then is not None or lifted or every.business_day is not None or _kept_by_calendar(every):
        return None
    series = series_of(every, zone)
    if every.interval is not None and every.interval.unit in ELAPSED_UNITS:
        return _elapsed(every, series, skipped, changed)
    if zone != "UTC" and (follows_clock(every) or every.gap == "skip" or every.overlap not in (None, "first")):
        return None
    lines = ruleset.parse(every.rrule) if every.rrule is not None else None
    if lines is not None and lines.single is None:
        found = _of_set(every, lines, series, zone)
    else:
        found = _of_rule(every, series, zone)
    if found is None or any(slot.fold or _after_gap(slot.local, zone) for slot in (*skipped, *changed)):
        return None
    excluded = tuple(sorted({*found.excluded, *(slot.local for slot in skipped)}))
    return replace(found, excluded=excluded, changed=tuple(slot.local for slot in changed))


def _after_gap(local: datetime, zone: str) -> bool:
    """Whether a gap shifts times to this one: a reader that leaves it out may still send one of those here."""
    at = to_utc(local, 0, zone)
    stretch = segment_at(at, zone)
    return at - stretch.start < stretch.offset - stretch.before


def _kept_by_calendar(every: Every) -> bool:
    return every.calendar is not None and every.calendar.restricts


def _elapsed(every: Every, series: Series, skipped: Iterable[Slot], changed: Iterable[Slot]) -> Held | None:
    """Elapsed time is the same everywhere: it is told in UTC."""
    assert every.interval is not None
    first = series.later(series.begin)
    if first is None or first.due.microsecond:
        return None
    rule = {"FREQ": _FREQUENCIES[every.interval.unit], "INTERVAL": str(every.interval.count)} | _bounds(series)
    out, own = ([series.source.nominal(at.local, at.fold) for at in slots] for slots in (skipped, changed))
    return Held("UTC", first.due, rule, (), tuple(sorted(out)), tuple(own))


def _of_rule(every: Every, series: Series, zone: str) -> Held | None:
    if every.cron is not None:
        parts = _of_cron(cron.parse(every.cron))
    elif every.rrule is not None:
        parts = _parts(every.rrule)
    else:
        parts = _of_interval(every)
    first = _first(series)
    if parts is None or first is None:
        return None
    return Held(zone, first.local, parts | _bounds(series))


def _first(series: Series) -> Found | None:
    """The first slot, if it is the first on the clock as well: what a gap has shifted may come behind a later time."""
    first = series.later(series.begin)
    if first is None or first.local.microsecond or first.fold:
        return None
    second = series.later(first.due)
    return None if second is not None and second.local < first.local else first


def _bounds(series: Series) -> dict[str, str]:
    """COUNT and UNTIL exclude each other: where both are given, the count is walked to its end."""
    end = series.end
    if series.count is not None and end is None:
        return {"COUNT": str(series.count)}
    if series.count is not None:
        at: datetime | None = series.begin
        for _ in range(series.count):
            found = series.later(at) if at is not None else None
            at = found.due if found is not None else None
        end = at or end
    # Seconds are the finest that there is; no slot lies between.
    return {} if end is None else {"UNTIL": f"{end.replace(microsecond=0):%Y%m%dT%H%M%SZ}"}


def _parts(text: str) -> dict[str, str]:
    """The parts of a rule as it was written, without its bounds."""
    _, _, rule = "".join(text.upper().split()).rpartition(":")
    parts = dict(part.split("=", 1) for part in rule.split(";") if part)
    return {name: value for name, value in parts.items() if name not in ("COUNT", "UNTIL")}


def _of_interval(every: Every) -> dict[str, str]:
    interval, origin = every.interval, start_of(every)
    assert interval is not None
    parts = {"INTERVAL": str(interval.count)}
    if interval.unit in _FREQUENCIES:
        return {"FREQ": _FREQUENCIES[interval.unit], **parts}
    yearly = interval.unit == "years"
    parts = {"FREQ": "YEARLY" if yearly else "MONTHLY", **parts}
    if origin.day <= 28:
        return parts
    if yearly:
        parts["BYMONTH"] = str(origin.month)
    if interval.month_end == "skip":
        return {**parts, "BYMONTHDAY": str(origin.day)}
    # The last one there is of 28 up to the wanted day.
    return {**parts, "BYMONTHDAY": ",".join(str(day) for day in range(28, origin.day + 1)), "BYSETPOS": "-1"}


def _of_cron(expression: Cron) -> dict[str, str] | None:
    parts = _days_of(expression.month_days, expression.weekdays, either=expression.either)
    if parts is None:
        return None
    if expression.months != _ALL_MONTHS:
        parts["BYMONTH"] = _listed(sorted(expression.months))
    times = expression.times
    if len(times.hours) * len(times.minutes) * len(times.seconds) > 1:  # a single one is that of the start
        parts |= {
            "BYHOUR": _listed(times.hours),
            "BYMINUTE": _listed(times.minutes),
            "BYSECOND": _listed(times.seconds),
        }
    return parts


def _days_of(days: MonthDays, weekdays: Weekdays, *, either: bool) -> dict[str, str] | None:
    """The day fields of a cron expression; None where one rule cannot say it."""
    every_date = days.days == _ALL_DAYS
    every_weekday = weekdays.days == _ALL_WEEKDAYS
    if (every_date and every_weekday) or (either and (every_date or every_weekday)):
        return {"FREQ": "DAILY"}
    if not (every_date or every_weekday) and (either or weekdays.nth):
        return None
    if not every_date and (days.nearest or days.nearest_from_last):
        return None
    if every_date and not weekdays.nth:
        return {"FREQ": "WEEKLY", "BYDAY": ",".join(_CODES[day] for day in sorted(weekdays.days))}
    parts = {"FREQ": "MONTHLY"}
    if not every_date:
        parts["BYMONTHDAY"] = _listed([*sorted(days.days), *sorted(-1 - before for before in days.from_last)])
    if not every_weekday:
        plain = [_CODES[day] for day in sorted(weekdays.days)]
        parts["BYDAY"] = ",".join(plain + [f"{n}{_CODES[day]}" for day, n in sorted(weekdays.nth)])
    return parts


def _listed(numbers: Iterable[int]) -> str:
    return ",".join(str(number) for number in numbers)


def _of_set(every: Every, lines: RuleSet, series: Series, zone: str) -> Held | None:
    """One rule with dates added and left out; bounds of the whole set are nothing that iCalendar knows."""
    if len(lines.rules) != 1 or every.count is not None or every.ends_at is not None or follows_clock(every):
        return None
    rule, start = lines.rules[0], start_of(every)
    walked = rrule.walk(rule, start)
    first = walked.next(start - timedelta(seconds=1))
    dates = _locals(lines.dates, start, zone)
    if first is None or first.microsecond or any(date < first for date in dates):
        return None
    own = next(line for line in (every.rrule or "").splitlines() if "FREQ=" in line.upper())
    parts = _parts(own)
    if rule.count is not None:
        parts["COUNT"] = str(rule.count)
    elif rule.until is not None:
        parts["UNTIL"] = _until(rule.until, zone)
    # Whatever began before the series' beginning was never a slot.
    begun = series.later(series.begin)
    if begun is None or (every.starts_at is None and first <= start):
        return None
    excluded = [one for one in lines.excluded if isinstance(one.value, datetime)]
    days = {one.value for one in lines.excluded if not isinstance(one.value, datetime)}
    if days and not _one_time_a_day(rule):
        return None
    times = {*_locals(excluded, start, zone)}
    for day in days:
        times |= {datetime.combine(day, first.time())} | {date for date in dates if date.date() == day}
    return Held(zone, first, parts, tuple(sorted(set(dates))), tuple(sorted(times)))


def _one_time_a_day(rule: rrule.Recurrence) -> bool:
    return max(len(rule.by_hour), len(rule.by_minute), len(rule.by_second)) <= 1


def _locals(given: Iterable[Given], start: datetime, zone: str) -> list[datetime]:
    return [ruleset.local_of(one, start, zone) for one in given if one.in_range]


def _until(until: object, zone: str) -> str:
    if isinstance(until, datetime):
        instant = until.astimezone(UTC).replace(tzinfo=None) if until.tzinfo else to_utc(until, 1, zone)
    else:
        assert until is not None
        instant = to_utc(datetime(until.year, until.month, until.day, 23, 59, 59), 1, zone)  # type: ignore[attr-defined]  # noqa: DTZ001
    return f"{instant:%Y%m%dT%H%M%SZ}"
