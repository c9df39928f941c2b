"""One local time for many people in many zones: when it has passed for some, or nobody knows where they are.

Asked before a timing is accepted: what comes back is a timing as any other, which `normalise` judges.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from horae.domain import errors
from horae.domain.timing import moments
from horae.domain.timing.values import At, Context, Now, Reason, Timing
from horae.domain.timing.zones import RECIPIENT, resolve_zone, to_utc, zone_names

Past = Literal["refuse", "now", "next_day", "skip"]
NoZone = Literal["default", "skip"]

_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Wherever:
    """`past`: of a one-off whose time has passed. `no_zone`: where the recipient's zone is asked for and not known."""

    past: Past = "refuse"
    no_zone: NoZone = "default"


@dataclass(frozen=True, slots=True)
class Fitted:
    """The timing to ask for, None: none, and why it is another than the one that was asked for."""

    timing: Timing | None
    why: Reason | None = None


AS_ASKED = Wherever()


def fit(timing: Timing, rules: Wherever, ctx: Context) -> Fitted:
    """The timing for this recipient. Raises `errors.Invalid` for rules that the timing gives nothing to decide."""
    _check(timing, rules)
    follows = getattr(timing, "zone", None) == RECIPIENT or (isinstance(timing, At) and timing.zone is None)
    local = isinstance(timing, At) and timing.local is not None
    if (local or not isinstance(timing, At | Now)) and follows and rules.no_zone == "skip" and not _known(ctx):
        return Fitted(None, Reason(code="zone_unknown", text="No zone is known of the recipient: not sent."))
    due = _due(timing, ctx)
    if due is None or rules.past == "refuse" or due > moments.utc(ctx.now):
        return Fitted(timing)
    assert isinstance(timing, At)
    shown = _shown(timing, ctx)
    if rules.past == "skip":
        return Fitted(None, Reason(code="past_skipped", text=f"{shown} has passed: not sent."))
    if rules.past == "now":
        return Fitted(Now(), Reason(code="past_now", text=f"{shown} has passed: sent at once."))
    assert timing.local is not None
    moved = timing.local
    while (due := _due(timing.model_copy(update={"local": moved}), ctx)) is not None and due <= moments.utc(ctx.now):
        moved += max((moments.utc(ctx.now) - due) // _ONE_DAY, 1) * _ONE_DAY
    text = f"{shown} has passed: sent at the same time of the next day to come, {moved:%Y-%m-%d}."
    return Fitted(timing.model_copy(update={"local": moved}), Reason(code="past_next_day", text=text))


def _check(timing: Timing, rules: Wherever) -> None:
    if rules.past == "refuse":
        return
    if not isinstance(timing, At):
        raise errors.Invalid(
            f"A timing of kind `{timing.kind}` has no time of its own that may have passed.",
            field="if_past",
            value=rules.past,
            hint='Leave `if_past` out, or say when: {"kind": "at", "local": "2026-12-01T09:00", "zone": "recipient"}.',
        )
    if rules.past == "next_day" and timing.local is None:
        raise errors.Invalid(
            "An instant has no next day: it is the same for everybody.",
            field="if_past",
            value=rules.past,
            hint='Say "now" or "skip", or give `local` with a `zone`.',
        )


def _known(ctx: Context) -> bool:
    return ctx.recipient_zone is not None and ctx.recipient_zone in zone_names()


def _due(timing: Timing, ctx: Context) -> datetime | None:
    """The instant (naive UTC) of a one-off with a time of its own, however it is written; None: it has none."""
    if not isinstance(timing, At) or (timing.at is None) == (timing.local is None):
        return None  # what is wrong with it is said when it is accepted
    if timing.at is not None:
        return moments.utc(timing.at)
    assert timing.local is not None
    zone = timing.zone or RECIPIENT
    if zone != RECIPIENT and zone not in zone_names():
        return None
    return to_utc(timing.local, 0, resolve_zone(zone, ctx)[0])


def _shown(timing: At, ctx: Context) -> str:
    if timing.local is None:
        assert timing.at is not None
        return f"{timing.at:%Y-%m-%d %H:%M} UTC"
    return f"{timing.local:%Y-%m-%d %H:%M} in {resolve_zone(timing.zone or RECIPIENT, ctx)[0]}"
