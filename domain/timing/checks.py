"""What `normalise` refuses, each with the field, the value and a right example."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta

from horae.domain import errors
from horae.domain.timing import cron, rrule, ruleset
from horae.domain.timing.businessdays import BusinessDays
from horae.domain.timing.calendared import CalendarSeries, calendar_id, series_on
from horae.domain.timing.describe import describe
from horae.domain.timing.opendays import BUILT_IN, Calendar
from horae.domain.timing.series import follows_clock, rule_of, start_of
from horae.domain.timing.values import At, Every
from horae.domain.timing.walker import Rule
from horae.domain.timing.zones import RECIPIENT, check_zone

_MAX_JITTER = timedelta(days=1)
#: Rules with more times a day are not moved: each step gathers all that meet on a day.
_MOST_MOVED_A_DAY = 96
_EVERY_EXAMPLE = 'For example {"kind": "every", "cron": "0 9 * * MON-FRI", "zone": "Europe/Berlin"}.'


def check_named_zone(zone: str, field: str = "timing.zone") -> None:
    """Refuse a zone that does not exist. Raises `errors.Invalid`."""
    if zone != RECIPIENT:
        check_zone(zone, field)


def check_at(timing: At) -> None:
    """Exactly one of instant and wall-clock time. Raises `errors.Invalid`."""
    if timing.at is not None and timing.local is not None:
        raise errors.Invalid(
            "`at` and `local` exclude each other.",
            field="timing.local",
            value=timing.local.isoformat(),
            hint='Keep `at` for an instant ("2026-12-01T09:00:00Z"), or `local` with `zone` for a wall-clock time.',
        )
    if timing.at is None and timing.local is None:
        raise errors.Invalid(
            "Neither `at` nor `local` says when.", field="timing.at", hint='For example "at": "2026-12-01T09:00:00Z".'
        )
    if timing.at is not None and timing.zone is not None:
        raise errors.Invalid(
            "An instant needs no zone.",
            field="timing.zone",
            value=timing.zone,
            hint='Drop `zone`, or give a wall-clock time: {"local": "2026-12-01T09:00", "zone": "recipient"}.',
        )


def check_rule(every: Every) -> None:
    """One rule, readable, and nothing that contradicts it. Raises `errors.Invalid`."""
    given = [name for name in ("cron", "rrule", "interval", "business_day") if getattr(every, name) is not None]
    if len(given) != 1:
        field = given[1] if given else "cron"
        message = f"{' and '.join(f'`{name}`' for name in given)} exclude each other." if given else "No rule is given."
        value = getattr(every, field)
        shown = value if value is None or isinstance(value, str) else value.model_dump()
        raise errors.Invalid(message, field=f"timing.{field}", value=shown, hint=_EVERY_EXAMPLE)
    if every.cron is not None:
        cron.parse(every.cron)
    if every.rrule is not None:
        lines = ruleset.parse(every.rrule)
        ruleset.check(lines, every.rrule)
        single = lines.single
        if single is not None:
            _check_rrule_bounds(every, single)
    _check_calendar(every, follows_clock=follows_clock(every))
    if follows_clock(every):
        for name in ("gap", "overlap"):
            if getattr(every, name) is not None:
                raise errors.Invalid(
                    f"This rule follows the running clock, so `{name}` has nothing to decide.",
                    field=f"timing.{name}",
                    value=getattr(every, name),
                    hint=f"Drop `{name}`: through a gap nothing is moved, through an overlap both hours fire.",
                )
    if every.missed.limit is not None and every.missed.policy != "all":
        raise errors.Invalid(
            f"`limit` says how many are made up for by the policy `all`; `{every.missed.policy}` sends one at most.",
            field="timing.missed.limit",
            value=every.missed.limit,
            hint="Leave `limit` out, or choose the policy `all`.",
        )
    if every.jitter is not None and not timedelta(0) < every.jitter <= _MAX_JITTER:
        raise errors.Invalid(
            "Jitter is more than zero and at most a day.",
            field="timing.jitter",
            value=str(every.jitter),
            hint='For example "PT5M".',
        )
    if every.starts_at is not None and every.ends_at is not None and _end_of(every.ends_at) < _end_of(every.starts_at):
        raise errors.Invalid(
            f"The series ends before it starts ({every.starts_at.isoformat()}).",
            field="timing.ends_at",
            value=every.ends_at.isoformat(),
            hint="Give an end after `starts_at`, or none.",
        )


def check_matches(every: Every, calendar: Calendar | None = None) -> None:
    """Refuse a rule that names no date at all, such as 30 February, or none that its calendar leaves.

    Raises `errors.Invalid`.
    """
    wanted = calendar_id(every)
    if calendar is None and wanted not in (None, BUILT_IN.id):
        raise errors.Invalid(
            f"There is no calendar {wanted!r}.",
            field="timing.calendar.id",
            value=wanted,
            hint=f"Write it first: PUT /v1/calendars/{wanted}.",
        )
    _check_leaves(every, calendar or BUILT_IN)
    if every.interval is not None or every.business_day is not None:
        return
    if _without_ends(every).next(start_of(every) - timedelta(seconds=1)) is None:
        field, value = ("cron", every.cron) if every.cron is not None else ("rrule", every.rrule)
        raise errors.Invalid(
            f"{value!r} never matches: it names no date within fifty years.",
            field=f"timing.{field}",
            value=value,
            hint='The last day of every month is "0 9 L * *" in cron, "FREQ=MONTHLY;BYMONTHDAY=-1" as a rule.',
        )


def _without_ends(every: Every) -> Rule:
    """Its local times, each UNTIL left aside: what that leaves is judged later, in the timing's own zone."""
    if every.rrule is None:
        return rule_of(every, "UTC")
    return ruleset.walk(ruleset.endless(ruleset.parse(every.rrule)), start_of(every), "UTC")


def _check_leaves(every: Every, calendar: Calendar) -> None:
    """The bounds left aside: does the calendar leave anything of the rule?"""
    if every.business_day is not None:
        if BusinessDays(every.business_day, calendar).next(start_of(every) - timedelta(seconds=1)) is None:
            raise errors.Invalid(
                f"No month has a business day {every.business_day.nth} by the calendar {calendar.id}.",
                field="timing.business_day.nth",
                value=every.business_day.nth,
                hint="-1 is the last business day, whichever it is.",
            )
        return
    unbounded = every.model_copy(update={"ends_at": None, "count": None})
    series = series_on(unbounded, "UTC", calendar) if every.calendar is not None else None
    if isinstance(series, CalendarSeries) and series.begin is not None and series.later(series.begin) is None:
        raise errors.Invalid(
            f"The calendar {calendar.id} leaves nothing of this rule: every slot falls on what it closes.",
            field="timing.calendar",
            value=calendar.id,
            hint='Move slots instead of dropping them ("move": "forward"), or choose other days.',
        )


def nothing_left(every: Every, now: datetime) -> errors.Invalid:
    """The refusal of a series that has ended, or never begins within its bounds."""
    if every.ends_at is not None:
        field, value = "ends_at", every.ends_at.isoformat()
    elif every.count is not None:
        field, value = "count", str(every.count)
    elif every.rrule is not None:
        field, value = "rrule", every.rrule
    elif every.cron is not None:
        field, value = "cron", every.cron
    else:
        field, value = "interval", describe(every)
    return errors.Invalid(
        f"No slot of the series lies after {now:%Y-%m-%dT%H:%M}Z.",
        field=f"timing.{field}",
        value=value,
        hint="Move the end, raise the count or start later.",
    )


def _check_calendar(every: Every, *, follows_clock: bool) -> None:
    """Refuse a calendar that closes nothing, or that would move what follows the clock. Raises `errors.Invalid`."""
    if every.business_day is not None:
        if every.business_day.nth == 0:
            raise errors.Invalid("Months have no day 0.", field="timing.business_day.nth", value=0, hint="1 or -1.")
        if every.business_day.at == "24:00":
            raise errors.Invalid("A day's last minute is 23:59.", field="timing.business_day.at", value="24:00")
    kept = every.calendar
    if kept is None:
        return
    if not kept.restricts and every.business_day is None:
        raise errors.Invalid(
            "The calendar closes nothing.",
            field="timing.calendar",
            value=kept.id,
            hint="Set business_hours_only, skip_weekends or skip_holidays, or drop `calendar`.",
        )
    if not follows_clock and kept.move != "drop" and _times_a_day(every) > _MOST_MOVED_A_DAY:
        raise errors.Invalid(
            f"A rule with more than {_MOST_MOVED_A_DAY} times a day is not moved.",
            field="timing.calendar.move",
            value=kept.move or "forward",
            hint='Say "drop": what falls on a closed day or hour is not sent. Or send less often.',
        )
    if follows_clock and kept.move not in (None, "drop"):
        raise errors.Invalid(
            "This rule follows the running clock, so nothing of it is moved.",
            field="timing.calendar.move",
            value=kept.move,
            hint='Say "drop": what falls on a closed day or hour is not sent.',
        )


def _times_a_day(every: Every) -> int:
    """At most so many slots has a day by the rule."""
    if every.cron is not None:
        return cron.parse(every.cron).times.size
    if every.rrule is None:
        return 1
    given = ruleset.parse(every.rrule)
    times = sum(max(len(r.by_hour), 1) * max(len(r.by_minute), 1) * max(len(r.by_second), 1) for r in given.rules)
    days = Counter(one.value.date() if isinstance(one.value, datetime) else one.value for one in given.dates)
    return times + max(days.values(), default=0)


def _check_rrule_bounds(every: Every, rule: rrule.Recurrence) -> None:
    for part, value, field in (("COUNT", rule.count, "count"), ("UNTIL", rule.until, "ends_at")):
        given = getattr(every, field)
        if value is not None and given is not None:
            raise errors.Invalid(
                f"`{field}` and {part} in the rule say the same thing twice.",
                field=f"timing.{field}",
                value=given if isinstance(given, int) else given.isoformat(),
                hint=f"Keep either `{field}` or {part}.",
            )


def _end_of(bound: date | datetime) -> datetime:
    return bound if isinstance(bound, datetime) else datetime(bound.year, bound.month, bound.day, 23, 59, 59)  # noqa: DTZ001
