"""The functions that the rest of Horae asks of a timing: judge it, and walk its slots.

`normalise` is called once, when a command accepts a timing; all others take what it returned (only `preview` takes
either). They are pure: the same timing, context and zone data give the same slots everywhere and for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice

from horae.domain import errors
from horae.domain.timing import checks, moments, slots
from horae.domain.timing.best import Best, check_best
from horae.domain.timing.parts import check_parts, parts_of, place_of, present, rules_of, shifted
from horae.domain.timing.series import follows_clock, start_of
from horae.domain.timing.values import (
    FIRST_YEAR,
    LAST_YEAR,
    At,
    Context,
    Every,
    Next,
    Now,
    Preview,
    Resolved,
    Slot,
    Then,
    Timing,
    ZoneSource,
)
from horae.domain.timing.zones import RECIPIENT, resolve_zone, to_local, tzdata_version

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


def is_recurring(timing: Timing) -> bool:
    """True when the timing may have more than one slot."""
    return isinstance(timing, Every)


def zone_of(timing: Timing, ctx: Context) -> tuple[str, ZoneSource]:
    """The IANA zone that the timing is read in now, and who named it."""
    if not isinstance(timing, Every):
        return moments.zone_of_moment(timing, ctx)
    return resolve_zone(timing.zone if timing.then is None else present(timing, ctx).rule.zone, ctx)


def normalise(timing: Timing, ctx: Context) -> Timing:
    """Judge a client's timing against the present and fill in what it came to.

    Fills `resolved`, `understood` and `anchor` (whatever the client sent there, as in `shifted_by`), the zone of a
    wall-clock time, and the gap and overlap policies of a rule that has them. Past instants, horizons beyond five
    years, unknown zones, contradictory fields, rules that never match and series without a slot left raise
    `errors.Invalid`.
    """
    settled = _settle(shifted(timing, None), ctx)
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
    return slots.plan(now, moments.resolved(now, zone), None, ctx, zone, source)


def following(timing: Timing, current: Next, ctx: Context) -> Next | None:
    """The slot strictly after `current` in the series; None when it has ended. One-offs have none.

    Counts from the slot, not from its due instant: jitter, a moved recipient or new zone data neither skip nor repeat.
    """
    if not isinstance(timing, Every):
        return None
    return next(slots.behind(timing, current, ctx), None)


def after(timing: Timing, instant: datetime, ctx: Context) -> Next | None:
    """The first slot that is due after `instant` (aware), jitter included; None when there is none."""
    if not isinstance(timing, Every):
        once = _once(timing, ctx)
        return once if once is not None and once.due_at > instant else None
    return next(slots.coming(timing, instant, ctx), None)


def anew(timing: Timing, current: Next, ctx: Context) -> Next | None:
    """Where a series stands now that its zone or its calendar has changed; `current` is where it stood before.

    The first slot that is due after `ctx.now`, or that the series had not come to yet (its local time is not before
    `current`'s): so what the change has put into the past is not lost. Rules that follow the clock lose nothing by it.
    """
    if not isinstance(timing, Every):
        return after(timing, ctx.now, ctx)
    return next(slots.anew(timing, current, ctx), None)


def coming(timing: Timing, instant: datetime, ctx: Context) -> Iterator[Next]:
    """The slots of a normalised timing that are due after `instant` (aware), in order, as far as they are taken."""
    if isinstance(timing, Every):
        yield from slots.coming(timing, instant, ctx)
    elif (once := _once(timing, ctx)) is not None and once.due_at > instant:
        yield once


def find(timing: Timing, slot: Slot, ctx: Context) -> Next | None:
    """`slot` with its due instant if it belongs to the timing (exceptions ignored), else None."""
    if not isinstance(timing, Every):
        zone, source = zone_of(timing, ctx)
        found = moments.resolved(timing, zone, moments.choice_of(timing, ctx, zone))
        own = (found.local, found.fold) == (slot.local, slot.fold)
        return slots.plan(timing, found, None, ctx, zone, source) if own else None
    parts = parts_of(timing, ctx)
    part = parts[place_of(parts, slot)]
    series = slots.series_in(part, ctx)
    here = series.has(slot.local, slot.fold)
    if here is not None and part.after is not None and here.due <= part.after:
        return None
    numbered = series.numbered(here.due - _TICK) if here is not None else None
    return slots.plan(part.rule, *numbered, ctx, part.zone, part.zone_source) if numbered is not None else None


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
        for rule in rules_of(timing):
            checks.check_named_zone(rule.zone)
            checks.check_rule(rule)
            checks.check_matches(rule, ctx.calendar)
    if not isinstance(timing, Every):
        once = _once(timing, ctx)
        return Preview(slots=[once] if once is not None and (after is None or once.due_at > base) else [])
    found = list(islice(slots.coming(timing, base, ctx), count))
    passed = slots.passed_over(timing, base, found, count, ctx) if found or ctx.exceptions else []
    return Preview(slots=found, skipped=passed)


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
    check_parts(timing)
    settled = _settle_rule(timing, ctx)
    if timing.then is not None:
        settled = settled.model_copy(update={"then": _settle_then(timing.then, ctx)})
    return settled


def _settle_then(then: Then, ctx: Context) -> Then:
    """What a series goes on with, settled: it counts from where it takes over, unless it says from where."""
    given = then.timing
    checks.check_named_zone(given.zone, "timing.then.timing.zone")
    if given.starts_at is None and given.anchor is None:
        given = given.model_copy(update={"starts_at": then.since.local})
    settled = _settle_rule(given, ctx)
    if given.starts_at is None and given.anchor is not None:
        # Of a rule that was changed in something else, which goes on counting from where it did.
        checks.check_named_zone(given.anchor.zone, "timing.then.timing.anchor.zone")
        settled = settled.model_copy(update={"anchor": given.anchor})
    after_that = _settle_then(given.then, ctx) if given.then is not None else None
    return then.model_copy(update={"timing": settled.model_copy(update={"then": after_that})})


def _settle_rule(timing: Every, ctx: Context) -> Every:
    checks.check_rule(timing)
    zone, source = resolve_zone(timing.zone, ctx)
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


def _once(timing: moments.Once, ctx: Context) -> Next | None:
    zone, source = zone_of(timing, ctx)
    found = moments.resolved(timing, zone, moments.choice_of(timing, ctx, zone))
    return None if slots.is_exception(found, ctx) else slots.plan(timing, found, None, ctx, zone, source)
