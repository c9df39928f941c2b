"""The sentences in which a plan says why: one per decision, with a stable code for programs."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

from horae.domain.timing.best import Choice
from horae.domain.timing.calendared import Moved
from horae.domain.timing.durations import format_duration
from horae.domain.timing.series import Found
from horae.domain.timing.values import At, Phrase, Reason, Timing, ZoneSource
from horae.domain.timing.zones import gap_at

_RECIPIENT = Reason(code="zone_from_recipient", text="The zone is the one that the recipient prefers.")
_TENANT = Reason(code="zone_from_tenant", text="The recipient has named no zone: it is the tenant's default.")
_NONE: tuple[Reason, ...] = ()


def reasons_for(
    timing: Timing, found: Found, zone: str, source: ZoneSource, jitter: timedelta, choice: Choice | None = None
) -> tuple[Reason, ...]:
    """Every decision that led to a slot's instant, in the order in which they were taken."""
    named = getattr(timing, "zone", None)
    if (
        source == "timing"
        and named == zone
        and found.branch == "normal"
        and not jitter
        and not timing.shifted_by
        and found.merged is None
        and not isinstance(found, Moved)
        and timing.kind != "phrase"
        and choice is None
    ):
        return _NONE
    reasons: list[Reason] = []
    if source == "recipient":
        reasons.append(_RECIPIENT)
    elif source == "tenant":
        reasons.append(_TENANT)
    elif source == "timing" and named is not None and named != zone:
        reasons.append(Reason(code="zone_alias", text=f"{named} is an old name of {zone}."))
    if isinstance(timing, Phrase):
        text = f"{timing.text!r} was understood as {_clock(found.local)} in {zone}."
        reasons.append(Reason(code="understood_phrase", text=text))
    if choice is not None:
        reasons.append(Reason(code="best_time", text=_chosen(choice)))
    if found.branch != "normal":
        reasons.append(_branch(found, zone, at_one_time=isinstance(timing, At)))
    if found.merged is not None:
        text = f"{_clock(found.merged)} does not exist in {zone} and, moved on, falls on this slot: sent once."
        reasons.append(Reason(code="merged", text=text))
    if isinstance(found, Moved) and found.why is not None:
        reasons.append(found.why)
    if timing.shifted_by:
        text = f"Moved on by {format_duration(timing.shifted_by)}, so as not to meet other schedules."
        reasons.append(Reason(code="conflict_shifted", text=text))
    if jitter:
        text = f"Spread by {format_duration(jitter)}, fixed by the occurrence's id."
        reasons.append(Reason(code="jitter", text=text))
    return tuple(reasons)


_BY_LEVEL = {
    "recipient": "the recipient's own habits",
    "segment": "the habits of the recipient's segment",
    "everybody": "everybody's habits",
    "default": "no habits: it is the default time",
    "override": "what was set by hand for the recipient",
}


def _chosen(choice: Choice) -> str:
    """Why that moment of the window."""
    words = f"{_clock(choice.at)} was chosen within the window, by {_BY_LEVEL[choice.level]}"
    if choice.level in ("recipient", "segment", "everybody"):
        words += f", better than what would be taken otherwise with a probability of {choice.confidence:.0%}"
    if choice.chance is not None and choice.level != "override":
        words += f"; chance of an answer {choice.chance:.1%}"
        if choice.fallback_chance is not None and choice.level != "default":
            words += f", otherwise {choice.fallback_chance:.1%}"
    if choice.model:
        words += f" (model {choice.model})"
    return f"{words}. {choice.why}".strip()


@lru_cache(maxsize=1024)
def skip_reason(code: str, local: datetime, zone: str) -> Reason:
    """Why a local time that the rule names is not sent."""
    there = f"{_clock(local)} does not exist in {zone}"
    match code:
        case "gap_skipped":
            return Reason(code=code, text=f"{there}, and the timing says to skip such times.")
        case "merged":
            return Reason(code=code, text=f"{there} and, moved on, falls on another slot of the series: sent once.")
        case _:
            return Reason(code=code, text=f"The slot of {_clock(local)} was skipped on request.")


def _branch(found: Found, zone: str, *, at_one_time: bool) -> Reason:
    clock = _clock(found.local)
    match found.branch:
        case "gap_shifted":
            length = format_duration(gap_at(found.local, zone))
            return Reason(
                code="gap_shifted", text=f"{clock} does not exist in {zone}: moved on by the gap of {length}."
            )
        case "overlap_second":
            return Reason(code="overlap_second", text=f"{clock} happens twice in {zone}: this is the second time.")
        case _:
            hint = " Give an instant for the second." if at_one_time else ""
            return Reason(code="overlap_first", text=f"{clock} happens twice in {zone}: this is the first time.{hint}")


def _clock(local: datetime) -> str:
    return f"{local:%Y-%m-%d %H:%M}"
