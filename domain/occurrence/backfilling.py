"""A slot of the past that is asked for: may it still be sent, and if so, when."""

from __future__ import annotations

from horae.domain import timing as t
from horae.domain.occurrence.commands import Backfill
from horae.domain.occurrence.events import AnyOccurrenceEvent, OccurrenceBackfilled, Outcome
from horae.domain.occurrence.facts import facts_of
from horae.domain.occurrence.state import Occurrence, Phase

#: Ends of slots that came too late for somebody; the others were sent, or somebody decided that they are not.
_TOO_LATE = (Outcome.MISSED, Outcome.EXPIRED)


def what_keeps(state: Occurrence | None) -> str | None:
    """What has become of a slot that keeps it from being sent by a backfill; None: nothing, it was never claimed."""
    if state is None:
        return None
    if state.phase is not Phase.ENDED or state.outcome is None:
        return state.phase.value
    return None if state.attempt == 0 and state.outcome in _TOO_LATE else state.outcome.value


def backfill(command: Backfill, state: Occurrence | None) -> list[AnyOccurrenceEvent]:
    """Empty for what was claimed or asked for before: a slot is sent once, however often it is asked for."""
    if what_keeps(state) is not None:
        return []
    at = command.at
    text = f"It was due at {at.due_at:%Y-%m-%d %H:%M:%S}Z by the timing of then, was not sent, and was asked for since."
    reasons = (*at.plan.reasons, t.Reason(code="backfill", text=text))
    return [
        OccurrenceBackfilled(
            **facts_of(command.schedule),
            schedule_version=command.under,
            backfill=command.backfill,
            slot=at.slot,
            number=at.number,
            was_due_at=at.due_at,
            due_at=command.due_at,
            plan=at.plan.model_copy(update={"reasons": reasons}),
        )
    ]
