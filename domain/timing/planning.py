"""The functions that the rest of Horae asks of a timing: judge it, and walk its slots.

`normalise` is called once, when a command accepts a timing; all others take what it returned (only `preview` takes
either). They are pure: the same timing, context and zone data give the same slots everywhere and for ever.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING

from horae.domain import errors
from horae.domain.ids import occurrence_id
from horae.domain.timing import checks, moments
from horae.domain.timing.best import Best, check_best
from horae.domain.timing.calendared import CalendarSeries, calendar_id, series_on
from horae.domain.timing.opendays import BUILT_IN
from horae.domain.timing.reasons import reasons_for, skip_reason
from horae.domain.timing.series import Found, Series, follows_clock, start_of
from horae.domain.timing.values import (
    FIRST_YEAR,
    LAST_YEAR,
    At,
    Context,
    Every,
    Next,
    Now,
    Plan,
    Preview,
    Resolved,
    SkippedSlot,
    Slot,
    Timing,
    ZoneSource,
)
from horae.domain.timing.zones import RECIPIENT, resolve_zone, to_local, tzdata_version

if TYPE_CHECKING:
    from collections.abc import Iterator
from dataclasses import replace

__all__ = [
    "after",
    "anew",
    "coming",
    "find",
    "first",
    "following",
    "is_recurring",
    "moment",
    "normalise",
    "preview",
    "tzdata_version",
    "zone_of",
]

_TICK = timedelta(microseconds=1)
_NO_TIME = timedelta(0)


def is_recurring(timing: Timing) -> bool:
    """True when the timing may have more than one slot."""
    return isinstance(timing, Every)


def zone_of(timing: Timing, ctx: Context) -> tuple[str, ZoneSource]:
    """The IANA zone that the timing is read in now, and who named it."""
    return resolve_zone(timing.zone, ctx) if isinstance(timing, Every) else moments.zone_of_moment(timing, ctx)


def normalise(timing: Timing, ctx: Context) -> Timing:
    """Judge a client's timing against the present and fill in what it came to.

    Fills `resolved`, `understood` and `anchor` (whatever the client sent there, as in `shifted_by`), the zone of a
    wall-clock time, and the gap and overlap policies of a rule that has them. Past instants, horizons beyond five
    years, unknown zones, contradictory fields, rules that never match and series without a slot left raise
    `errors.Invalid`.
    """
    settled = _settle(timing if timing.shifted_by is None else timing.model_copy(update={"shifted_by": None}), ctx)
    now = moments.utc(ctx.now)
    if isinstance(settled, Every):
        if settled.starts_at is not None:
            moments.check_horizon(start_of(settled), now, "timing.starts_at", settled.starts_at.isoformat())
        if after(settled, ctx.now, ctx) is None:
            raise checks.nothing_left(settled, now)
        return settled
    zone, _ = zone_of(settled, ctx)
    due = moments.resolved(settled, zone, moments.choice_of(settled, ctx, zone)).due
    field, value = _when(settled)
    if isinstance(settled, Best) and settled.to <= to_local(now, zone)[0]:
        raise errors.Invalid("The window has passed.", field=field, value=value, hint="Give a window to come.")
    if isinstance(settled, At) and due <= now:
        raise errors.Invalid(
            f"{value} has passed: it is {now:%Y-%m-%dT%H:%M:%S}Z.",
            field=field,
            value=value,
            hint='Give a time to come, or {"kind": "now"}.',
        )
    moments.check_horizon(due, now, field, value)
    return settled


def first(timing: Timing, ctx: Context) -> Next | None:
    """The first slot of a normalised timing: of a one-off its own, of a recurring one the first due after `ctx.now`.

    Series whose `starts_at` is later begin there; slots of the past are not made up for.
    """
    if isinstance(timing, Every):
        return after(timing, ctx.now, ctx)
    return _once(timing, ctx)


def moment(timing: Timing, ctx: Context) -> Next:
    """The present, as a slot beside those of a normalised timing: on the clock of its zone, so that they read alike."""
    zone, source = zone_of(timing, ctx)
    now = moments.settle(Now(), ctx, zone, source)
    return _plan(now, moments.resolved(now, zone), None, ctx, zone, source)


def following(timing: Timing, current: Next, ctx: Context) -> Next | None:
    """The slot strictly after `current` in the series; None when it has ended. One-offs have none.

    Counts from the slot, not from its due instant: jitter, a moved recipient or new zone data neither skip nor repeat.
    """
    if not isinstance(timing, Every):
        return None
    zone, source = zone_of(timing, ctx)
    series = series_on(timing, zone, ctx.calendar or BUILT_IN)
    at = series.source.nominal(current.slot.local, current.slot.fold)
    for found, number in _walk(series, at, current.number):
        if not _is_exception(found, ctx):
            return _plan(timing, found, number, ctx, zone, source)
    return None


def after(timing: Timing, instant: datetime, ctx: Context) -> Next | None:
    """The first slot that is due after `instant` (aware), jitter included; None when there is none."""
    if not isinstance(timing, Every):
        once = _once(timing, ctx)
        return once if once is not None and once.due_at > instant else None
    return next((slot for slot in _coming(timing, instant, ctx)), None)


def anew(timing: Timing, current: Next, ctx: Context) -> Next | None:
    """Where a series stands now that its zone or its calendar has changed; `current` is where it stood before.

    The first slot that is due after `ctx.now`, or that the series had not come to yet (its local time is not before
    `current`'s): so what the change has put into the past is not lost. Rules that follow the clock lose nothing by it.
    """
    if not isinstance(timing, Every) or follows_clock(timing):
        return after(timing, ctx.now, ctx)
    zone, source = zone_of(timing, ctx)
    series = series_on(timing, zone, ctx.calendar or BUILT_IN)
    own = series.source.nominal(current.slot.local, current.slot.fold)
    if own <= series.begin and not (isinstance(series, CalendarSeries) and series.closed(current.slot.local)):
        # The zone has put it before the moment of acceptance; what was promised stays a slot all the same.
        return _plan(timing, Found(current.slot.local, current.slot.fold, own), current.number, ctx, zone, source)
    # Calendars turn the order of slots round, but only within the day on which these go out.
    lifted = (timing.jitter or _NO_TIME) + (timing.shifted_by or _NO_TIME)
    behind = min(own - timedelta(days=2), moments.utc(ctx.now) - lifted)
    for found, number in _walk(series, behind):
        if _is_exception(found, ctx):
            continue
        planned = _plan(timing, found, number, ctx, zone, source)
        if planned.due_at > ctx.now or found.local >= current.slot.local:
            return planned
    return None


def coming(timing: Timing, instant: datetime, ctx: Context) -> Iterator[Next]:
    """The slots of a normalised timing that are due after `instant` (aware), in order, as far as they are taken."""
    if isinstance(timing, Every):
        yield from _coming(timing, instant, ctx)
    elif (once := _once(timing, ctx)) is not None and once.due_at > instant:
        yield once


def find(timing: Timing, slot: Slot, ctx: Context) -> Next | None:
    """`slot` with its due instant if it belongs to the timing (exceptions ignored), else None."""
    zone, source = zone_of(timing, ctx)
    if not isinstance(timing, Every):
        found = moments.resolved(timing, zone, moments.choice_of(timing, ctx, zone))
        own = (found.local, found.fold) == (slot.local, slot.fold)
        return _plan(timing, found, None, ctx, zone, source) if own else None
    series = series_on(timing, zone, ctx.calendar or BUILT_IN)
    here = series.has(slot.local, slot.fold)
    numbered = series.numbered(here.due - _TICK) if here is not None else None
    return _plan(timing, *numbered, ctx, zone, source) if numbered is not None else None


def preview(timing: Timing, count: int, ctx: Context, after: datetime | None = None) -> Preview:
    """The next `count` slots due after `after` (default: `ctx.now`), and what was passed over up to the last of them.

    Takes a client's timing as well as a normalised one; a relative one is then read as if accepted at `after`. Bound
    neither to the present nor to the horizon: a one-off in the past is shown unless `after` excludes it. Raises
    `errors.Invalid` for a timing that `normalise` would refuse for itself.
    """
    base = ctx.now if after is None else after.astimezone(UTC)
    if not FIRST_YEAR < base.year <= LAST_YEAR:
        raise errors.Invalid(
            f"The year is outside {FIRST_YEAR + 1} to {LAST_YEAR}.", field="after", value=base.isoformat()
        )
    if not _is_settled(timing):
        then = replace(ctx, now=base)
        timing = _settle(timing, then)
    elif isinstance(timing, Every):
        checks.check_named_zone(timing.zone)
        checks.check_rule(timing)
        checks.check_matches(timing, ctx.calendar)
    if not isinstance(timing, Every):
        once = _once(timing, ctx)
        return Preview(slots=[once] if once is not None and (after is None or once.due_at > base) else [])
    slots = list(islice(_coming(timing, base, ctx), count))
    return Preview(
        slots=slots, skipped=_passed_over(timing, base, slots, count, ctx) if slots or ctx.exceptions else []
    )


def _settle(timing: Timing, ctx: Context) -> Timing:
    """Check a timing for itself, without the present, and fill in what it comes to at `ctx.now`."""
    if isinstance(timing, Best):
        check_best(timing)
    if isinstance(timing, At):
        checks.check_at(timing)
        if timing.at is None:
            timing = timing.model_copy(update={"zone": timing.zone or RECIPIENT})
    named = getattr(timing, "zone", None)
    if named is not None:
        checks.check_named_zone(named)
    if not isinstance(timing, Every):
        unsettled = timing.model_copy(
            update={name: None for name in ("resolved", "understood") if hasattr(timing, name)}
        )
        _check_delay(unsettled)
        zone, source = zone_of(unsettled, ctx)
        return moments.settle(unsettled, ctx, zone, source)
    checks.check_rule(timing)
    zone, source = zone_of(timing, ctx)
    anchor = None
    if timing.starts_at is None:
        local, fold = to_local(moments.utc(ctx.now).replace(microsecond=0), zone)
        anchor = Resolved(local=local, fold=fold, zone=zone, zone_source=source)
    update: dict[str, object] = {"anchor": anchor}
    if not follows_clock(timing):
        update |= {"gap": timing.gap or "shift", "overlap": timing.overlap or "first"}
    if timing.calendar is not None and timing.calendar.move is None:
        move = "drop" if follows_clock(timing) else "forward"
        update["calendar"] = timing.calendar.model_copy(update={"move": move})
    settled = timing.model_copy(update=update)
    checks.check_matches(settled, ctx.calendar)
    return settled


def _check_delay(timing: Timing) -> None:
    if timing.kind != "in":
        return
    if not timing.delay:
        raise errors.Invalid(
            "A delay is more than zero.",
            field="timing.delay",
            value=str(timing.delay),
            hint='For example "PT30M"; {"kind": "now"} releases at once.',
        )


def _is_settled(timing: Timing) -> bool:
    match timing.kind:
        case "every":
            return timing.anchor is not None
        case "phrase":
            return timing.understood is not None
        case "at" | "best":
            return False
        case "now" | "in":
            return timing.resolved is not None


def _when(timing: Timing) -> tuple[str, str]:
    match timing.kind:
        case "at" if timing.at is not None:
            return "timing.at", timing.at.isoformat()
        case "at":
            return "timing.local", timing.local.isoformat() if timing.local else ""
        case "in":
            return "timing.delay", str(timing.delay)
        case "phrase":
            return "timing.text", timing.text
        case "best":
            return "timing.to", timing.to.isoformat()
        case "now" | "every":
            return "timing", timing.kind


def _walk(
    series: Series | CalendarSeries, at: datetime, number: int | None = None
) -> Iterator[tuple[Found, int | None]]:
    """Slots after an instant, numbered where the series counts; `number` is that of the slot at `at`, if known."""
    if series.count is not None and number is None:
        numbered = series.numbered(at)
        if numbered is None:
            return
        yield numbered
        at, number = numbered[0].due, numbered[1]
    while (found := series.later(at)) is not None:
        if series.count is not None and number is not None:
            number += 1
            if number > series.count:
                return
        yield found, number if series.count is not None else None
        at = found.due


def _coming(timing: Every, instant: datetime, ctx: Context) -> Iterator[Next]:
    """Planned slots due after an instant, in the series' order; jitter may lift earlier slots past the instant."""
    zone, source = zone_of(timing, ctx)
    series = series_on(timing, zone, ctx.calendar or BUILT_IN)
    begun = False
    lifted = (timing.jitter or _NO_TIME) + (timing.shifted_by or _NO_TIME)
    for found, number in _walk(series, moments.utc(instant) - lifted):
        if _is_exception(found, ctx):
            continue
        planned = _plan(timing, found, number, ctx, zone, source)
        begun = begun or planned.due_at > instant
        if begun:
            yield planned


def _once(timing: moments.Once, ctx: Context) -> Next | None:
    zone, source = zone_of(timing, ctx)
    found = moments.resolved(timing, zone, moments.choice_of(timing, ctx, zone))
    return None if _is_exception(found, ctx) else _plan(timing, found, None, ctx, zone, source)


def _is_exception(found: Found, ctx: Context) -> bool:
    return bool(ctx.exceptions) and Slot(local=found.local, fold=found.fold) in ctx.exceptions


def _plan(timing: Timing, found: Found, number: int | None, ctx: Context, zone: str, source: ZoneSource) -> Next:
    jitter = _NO_TIME
    if isinstance(timing, Every) and timing.jitter is not None:
        jitter = _jitter(timing.jitter, ctx, found)
    choice = None if isinstance(timing, Every) else moments.choice_of(timing, ctx, zone)
    plan = Plan(
        zone=zone,
        zone_source=source,
        tzdata=tzdata_version(),
        branch=found.branch,
        calendar=(ctx.calendar or BUILT_IN).label if calendar_id(timing) is not None else None,
        jitter_s=jitter.total_seconds(),
        reasons=reasons_for(timing, found, zone, source, jitter, choice),
        choice=choice,
    )
    due_at = found.due.replace(tzinfo=UTC) + jitter + (timing.shifted_by or _NO_TIME)
    return Next(slot=Slot(local=found.local, fold=found.fold), number=number, due_at=due_at, plan=plan)


def _jitter(widest: timedelta, ctx: Context, found: Found) -> timedelta:
    """From nothing up to `widest`, in whole milliseconds: a hash of the occurrence, the same whenever it is asked."""
    identity = occurrence_id(ctx.schedule_id, found.local, found.fold)
    drawn = int.from_bytes(blake2b(identity.bytes, digest_size=8, person=b"jitter").digest(), "big")
    return timedelta(milliseconds=drawn * (widest // timedelta(milliseconds=1)) >> 64)


def _passed_over(timing: Every, base: datetime, slots: list[Next], count: int, ctx: Context) -> list[SkippedSlot]:
    """What lies between `base` and the last slot shown but is not sent: client's exceptions, and gaps."""
    zone, _ = zone_of(timing, ctx)
    series = series_on(timing, zone, ctx.calendar or BUILT_IN)
    start = max(moments.utc(base) - (timing.shifted_by or _NO_TIME), series.begin)
    ended = len(slots) < count
    end = series.end if ended and series.end is not None else None
    if end is None and slots:
        last = slots[-1].slot
        end = series.source.nominal(last.local, last.fold)
    passed: list[tuple[datetime, SkippedSlot]] = []
    # Jitter may lift slots past `base`, so the first to come is asked for as if nothing were skipped.
    coming = next(_coming(timing, base, replace(ctx, exceptions=frozenset())), None) if ctx.exceptions else None
    for skipped in ctx.exceptions if coming is not None else ():
        at = series.source.nominal(skipped.local, skipped.fold)
        begun = coming is not None and at >= series.source.nominal(coming.slot.local, coming.slot.fold)
        if begun and (end is None or at <= end) and series.has(skipped.local, skipped.fold) is not None:
            passed.append((at, SkippedSlot(slot=skipped, reason=skip_reason("skipped", skipped.local, zone))))
    if end is not None:
        code = "gap_skipped" if timing.gap == "skip" else "merged"
        passed += [
            (at, SkippedSlot(slot=Slot(local=local), reason=skip_reason(code, local, zone)))
            for local, at in series.source.dropped(start, end)
        ]
        if isinstance(series, CalendarSeries):
            passed += [
                (at, SkippedSlot(slot=Slot(local=local, fold=fold), reason=why))
                for at, local, fold, why in series.removed(start, end)
            ]
    return [skipped for _, skipped in sorted(passed, key=lambda pair: (pair[0], pair[1].slot.local))]
