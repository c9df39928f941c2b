"""After the release: what the recipient did with it, and the silence that counts as no answer."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from horae.domain.engagement import AHEAD, ANSWERS, OLDEST, WINDOW, machine_of
from horae.domain.errors import Conflict, Invalid
from horae.domain.occurrence.commands import CloseWindow, Engage
from horae.domain.occurrence.events import AnyOccurrenceEvent, OccurrenceEngaged, OccurrenceUnanswered
from horae.domain.occurrence.state import Occurrence


def engage(command: Engage, state: Occurrence | None) -> list[AnyOccurrenceEvent]:
    """Raises `Conflict` for one that was never released, `Invalid` for an instant that cannot be."""
    check_instant(command.at, command.now)
    if state is None or state.attempt == 0:
        raise Conflict(
            "The occurrence has not been released, so nobody can have answered it.",
            field="occurrence_id",
            value="unclaimed" if state is None else state.phase.value,
            hint="Send the occurrence_id of a release.",
        )
    machine = machine_of(command.kind, command.at, state.sent_at, command.agent, declared=command.machine)
    answers = (
        machine is None
        and command.kind in ANSWERS
        and state.answered is None
        and state.sent_at is not None
        and command.at - state.sent_at <= WINDOW
    )
    return [
        OccurrenceEngaged(
            **_facts(command, state),
            kind=command.kind,
            at=command.at,
            machine=machine,
            answers=answers,
            **(_learnt(state, command.default_zone) if answers else {}),
        )
    ]


def close_window(command: CloseWindow, state: Occurrence | None) -> list[AnyOccurrenceEvent]:
    """Empty while its window is open, if it was answered, and if this was done before."""
    if state is None or state.sent_at is None or state.answered is not None:
        return []
    if command.now < state.sent_at + WINDOW:
        return []
    return [OccurrenceUnanswered(**_facts(command, state), **_learnt(state, command.default_zone))]


def check_instant(at: datetime, now: datetime) -> None:
    """Neither older than is taken, nor from the future. Raises `Invalid`."""
    if at > now + AHEAD:
        raise Invalid("It lies in the future.", field="at", value=at.isoformat(), hint="Send what has happened.")
    if at < now - OLDEST:
        raise Invalid(
            f"It is more than {OLDEST.days} days old.", field="at", value=at.isoformat(), hint="It is too late for it."
        )


def _facts(command: Engage | CloseWindow, state: Occurrence) -> dict[str, Any]:
    about = command.about
    return {"schedule": state.schedule, "recipient_ref": about.recipient_ref, "priority": about.priority}


def _learnt(state: Occurrence, default_zone: str) -> dict[str, Any]:
    plan = state.plan
    zone = default_zone if plan is None or plan.zone_source == "instant" else plan.zone
    foretold = plan.choice.features if plan is not None and plan.choice is not None else ()
    return {"sent_at": state.sent_at, "zone": zone, "foretold": foretold}
