"""Timings that happen once: the wall-clock time they come to, and its instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import assert_never

from pendulum.helpers import add_duration

from horae.domain import errors
from horae.domain.timing.best import Best, Choice, unlearnt
from horae.domain.timing.durations import Span
from horae.domain.timing.phrases import readable, understand
from horae.domain.timing.series import Found
from horae.domain.timing.values import At, Branch, Context, In, Now, Phrase, Resolved, ZoneSource
from horae.domain.timing.zones import RECIPIENT, gap_at, resolve_zone, to_local, to_utc

HORIZON_YEARS = 5
_HORIZON_HINT = "The horizon is five years; a recurring timing may run for longer."

Once = Now | At | In | Phrase | Best
#: What a plan says where nobody was asked for the best moment.
NOT_ASKED = "The learner was not asked."


def resolved(timing: Once, zone: str, choice: Choice | None = None) -> Found:
    """The slot of a normalised timing in its zone, with its instant (naive UTC). `choice`: of a timing `best`."""
    match timing:
        case At(at=None, local=None):
            raise ValueError("neither `at` nor `local` is set: the timing was not normalised")
        case At(at=datetime() as instant):
            local = utc(instant)
            return Found(local.replace(microsecond=local.microsecond // 1000 * 1000), 0, local)
        case At(local=datetime() as local):
            return Found(local, 0, to_utc(local, 0, zone), _branch(local, zone))
        case Best():
            chosen = (choice or unlearnt(timing, timing.from_, NOT_ASKED)).at
            return Found(timing.from_, 0, to_utc(chosen, 0, zone), _branch(chosen, zone))
        case (
            Now(resolved=Resolved() as there)
            | In(resolved=Resolved() as there)
            | Phrase(understood=Resolved() as there)
        ):
            # Timings that were stored before they kept their instant are read off their clock.
            due = to_utc(there.local, there.fold, there.zone) if there.instant is None else utc(there.instant)
            if gap_at(there.local, there.zone) >= timedelta(0):
                return Found(there.local, there.fold, due)
            return Found(there.local, there.fold, due, "overlap_second" if there.fold else "overlap_first")
        case Now() | In() | Phrase():
            raise ValueError("the timing was not normalised")
        case At():
            raise ValueError("`at` and `local` are both set: the timing was not normalised")
        case _:
            assert_never(timing)


def settle(timing: Once, ctx: Context, zone: str, source: ZoneSource) -> Once:
    """Fill in what a relative timing comes to at `ctx.now`. Raises `errors.Invalid` for words nobody understands."""
    now = utc(ctx.now)
    match timing:
        case Now():
            return timing.model_copy(update={"resolved": _moment(now, zone, source, stays=True)})
        case In():
            there = _moment(_add(now, timing.delay, zone), zone, source, stays=timing.delay.is_elapsed)
            return timing.model_copy(update={"resolved": there})
        case Phrase():
            # Who writes in the name of a person need not write in their language: English is understood as well.
            locales = [timing.locale] if timing.locale else [readable(ctx.recipient_locale) or "en", "en"]
            local, fold, locale = understand(timing.text, locales, now, zone)
            there = _moment(to_utc(local, fold, zone), zone, source)
            return timing.model_copy(update={"understood": there, "locale": locale})
        case At() | Best():
            return timing
        case _:
            assert_never(timing)


def choice_of(timing: Once, ctx: Context, zone: str) -> Choice | None:
    """What was chosen of the window of a timing `best`; where nobody was asked, the default; None: another timing."""
    if not isinstance(timing, Best):
        return None
    return ctx.choice or unlearnt(timing, to_local(utc(ctx.now), zone)[0], NOT_ASKED)


def check_horizon(due: datetime, now: datetime, field: str, value: object) -> None:
    """Refuse what lies further ahead than the horizon. A day's grace covers any zone. Raises `errors.Invalid`."""
    if due > add_duration(now, years=HORIZON_YEARS) + timedelta(days=1):
        raise errors.Invalid(
            f"{due:%Y-%m-%d} is more than {HORIZON_YEARS} years ahead.", field=field, value=value, hint=_HORIZON_HINT
        )


def utc(instant: datetime) -> datetime:
    """Aware to naive UTC."""
    return instant.astimezone(UTC).replace(tzinfo=None)


def zone_of_moment(timing: Once, ctx: Context) -> tuple[str, ZoneSource]:
    """The zone of a one-off: the one it was settled in, else the one it names."""
    match timing:
        case At(at=datetime()):
            return "UTC", "instant"
        case (
            Now(resolved=Resolved() as there)
            | In(resolved=Resolved() as there)
            | Phrase(understood=Resolved() as there)
        ):
            return there.zone, there.zone_source
        case Now():
            return resolve_zone(RECIPIENT, ctx)
        case At() | In() | Phrase() | Best():
            return resolve_zone(timing.zone or RECIPIENT, ctx)
        case _:
            assert_never(timing)


def _branch(local: datetime, zone: str) -> Branch:
    swallowed, nothing = gap_at(local, zone), timedelta(0)
    return "gap_shifted" if swallowed > nothing else "overlap_first" if swallowed < nothing else "normal"


def _moment(instant: datetime, zone: str, source: ZoneSource, *, stays: bool = False) -> Resolved:
    instant = instant.replace(microsecond=instant.microsecond // 1000 * 1000)
    local, fold = to_local(instant, zone)
    kept = instant.replace(tzinfo=UTC) if stays else None
    return Resolved(local=local, fold=fold, zone=zone, zone_source=source, instant=kept)


def _add(now: datetime, delay: Span, zone: str) -> datetime:
    try:
        if delay.is_elapsed:
            return now + delay.clock
        local, fold = to_local(now, zone)
        there = add_duration(local, years=delay.years, months=delay.months, days=delay.days)
        if there == local:
            return now + delay.clock
        return to_utc(there, fold if gap_at(there, zone) < timedelta(0) else 0, zone) + delay.clock
    except (OverflowError, ValueError):
        raise errors.Invalid(
            f"{delay} leads past the calendar's end.", field="timing.delay", value=str(delay), hint=_HORIZON_HINT
        ) from None
