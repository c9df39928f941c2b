"""The timing `best`: a window, of which the learner picks the moment; and what it picked.

Only values, and the moment that is taken where nobody can be asked: pure arithmetic without the learner's arrays. The
slot of such a timing is the window's beginning; choosing moves the instant, never the slot.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from pydantic import ConfigDict, Field

from horae.domain.errors import Invalid
from horae.domain.timing.opendays import ClockTime, Hours
from horae.domain.timing.written import ZONE_DESCRIPTION, LocalTime, ShiftedBy, Value, Zone

Level = Literal["recipient", "segment", "everybody", "default", "override"]
MAX_WINDOW = timedelta(days=7)
#: Where neither timing nor settings name an hour to fall back to.
DEFAULT_HOUR = "09:00"
_QUARTER = timedelta(minutes=15)
_DAY = timedelta(days=1)
_EXAMPLE = 'For example {"kind": "best", "from": "2026-12-01T08:00", "to": "2026-12-01T20:00"}.'


class Choice(Value):
    """The moment that was chosen within a window, and everything that tells how."""

    at: LocalTime = Field(description="The chosen wall-clock time, in the plan's zone.")
    level: Level = Field(description="Whose habits it rests on; `default`: nobody's, `override`: set by hand.")
    confidence: float = Field(
        description="Posterior probability that it is better than what would be taken otherwise; 0.5: nothing is known."
    )
    propensity: float = Field(default=1.0, description="Probability with which this hour was to be chosen.")
    holdout: bool = Field(default=False, description="True: the recipient is one of those who are never optimised.")
    explored: bool = Field(default=False, description="True: tried out, to learn about other hours.")
    chance: float | None = Field(default=None, description="Foretold chance of an answer at this moment.")
    fallback_chance: float | None = Field(default=None, description="The same, at the moment taken otherwise.")
    model: int = Field(default=0, description="Version of the tenant's model; 0: none was fitted yet.")
    why: str = Field(default="", description="One sentence for people: what spoke for it, or why it fell back.")
    features: tuple[float, ...] = Field(
        default=(), description="What was known of message and recipient, for calibration by what comes."
    )


class Best(Value):
    """Release once, at the moment within a window at which the recipient is likeliest to answer."""

    model_config = ConfigDict(serialize_by_alias=True)

    kind: Literal["best"] = "best"
    from_: LocalTime = Field(
        alias="from",
        description="The window's beginning in `zone`, the identity of the slot.",
        examples=["2026-12-01T08:00"],
    )
    to: LocalTime = Field(
        description="The window's end, at most seven days after `from`.", examples=["2026-12-01T20:00"]
    )
    zone: Zone = Field(default="recipient", description=ZONE_DESCRIPTION, examples=["recipient"])
    hours: Hours | None = Field(
        default=None,
        description="Only within these hours of each day.",
        examples=[{"start": "09:00", "end": "21:00"}],
    )
    fallback: ClockTime | None = Field(
        default=None,
        description="The time of day where too little is known; default: the installation's.",
        examples=["09:00"],
    )
    shifted_by: ShiftedBy = None


def check_best(timing: Best) -> None:
    """Refuse a window that nothing fits in. Raises `errors.Invalid`."""
    if timing.to <= timing.from_:
        raise Invalid(
            "The window ends before it begins.", field="timing.to", value=timing.to.isoformat(), hint=_EXAMPLE
        )
    if timing.to - timing.from_ > MAX_WINDOW:
        raise Invalid(
            f"The window is longer than {MAX_WINDOW.days} days.", field="timing.to", value=timing.to.isoformat(),
            hint="Give an earlier `to`.",
        )  # fmt: skip
    if timing.hours is not None and timing.hours.end <= timing.hours.start:
        raise Invalid(
            "The hours end before they begin.", field="timing.hours.end", value=timing.hours.end,
            hint='For example {"start": "09:00", "end": "21:00"}.',
        )  # fmt: skip
    if not stretches(timing, timing.from_):
        raise Invalid(
            "No part of the window lies within the allowed hours.",
            field="timing.hours",
            value=timing.hours.model_dump() if timing.hours else None,
            hint="Widen `hours`, or the window.",
        )


def stretches(timing: Best, now: datetime) -> list[tuple[datetime, datetime]]:
    """What is open of the window from `now` on (naive local), day by day: (from, up to), in order."""
    begin, found = max(timing.from_, now), []
    day = midnight(begin)
    while day < timing.to:
        start, end = day, day + _DAY
        if timing.hours is not None:
            start, end = day + since_midnight(timing.hours.start), day + since_midnight(timing.hours.end)
        start, end = max(start, begin), min(end, timing.to)
        if start < end:
            found.append((start, end))
        day += _DAY
    return found


def unlearnt(timing: Best, now: datetime, why: str, default: str = DEFAULT_HOUR) -> Choice:
    """The moment without any learning: the default time of day, or the nearest to it that is open."""
    open_ = stretches(timing, now) or [(timing.from_, timing.from_)]
    wanted = [midnight(start) + since_midnight(timing.fallback or default) for start, _ in open_]
    inside = [at for at, (start, end) in zip(wanted, open_, strict=True) if start <= at < end]
    start, end = open_[0]
    at = inside[0] if inside else min(max(wanted[0], start), max(start, end - _QUARTER))
    return Choice(at=at, level="default", confidence=0.5, why=why)


def midnight(local: datetime) -> datetime:
    """The beginning of a local time's day."""
    return local.replace(hour=0, minute=0, second=0, microsecond=0)


def since_midnight(clock: str) -> timedelta:
    """`18:40` as a length of time; `24:00` is a whole day."""
    hours, _, minutes = clock.partition(":")
    return timedelta(hours=int(hours), minutes=int(minutes))
