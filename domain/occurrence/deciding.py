"""What follows from what is asked of an occurrence: one entry for all commands."""

from __future__ import annotations

from typing import assert_never

from horae.domain.errors import Conflict
from horae.domain.occurrence.answering import close_window, engage
from horae.domain.occurrence.attempts import delivered, failed, recover, start_attempt
from horae.domain.occurrence.backfilling import backfill
from horae.domain.occurrence.commands import (
    Backfill,
    CloseWindow,
    Command,
    Defer,
    Engage,
    Fire,
    RecordDelivered,
    RecordFailed,
    RecoverLost,
    Replay,
    ReportDelivery,
    StartAttempt,
    Suppress,
)
from horae.domain.occurrence.events import (
    AnyOccurrenceEvent,
    DeliveryReported,
    OccurrenceReplayed,
    Outcome,
)
from horae.domain.occurrence.facts import facts_of
from horae.domain.occurrence.firing import fire, obey_rule
from horae.domain.occurrence.state import Occurrence, Phase
from horae.domain.schedule import Status


def decide(command: Command, state: Occurrence | None) -> list[AnyOccurrenceEvent]:
    """What follows from the command; an empty list: it is out of date, nothing is to be done.

    Raises `Conflict` only for `Replay`, `ReportDelivery` and `Engage`, the commands that come from outside.
    """
    match command:
        case Fire():
            return fire(command, state)
        case Defer() | Suppress():
            return obey_rule(command, state)
        case Backfill():
            return backfill(command, state)
        case StartAttempt():
            return start_attempt(command, state)
        case RecordDelivered():
            return delivered(command, state)
        case RecordFailed():
            return failed(command, state)
        case RecoverLost():
            return recover(command, state)
        case Replay():
            return _replay(command, state)
        case ReportDelivery():
            return _report(command, state)
        case Engage():
            return engage(command, state)
        case CloseWindow():
            return close_window(command, state)
        case _ as never:
            assert_never(never)


def _replay(command: Replay, state: Occurrence | None) -> list[AnyOccurrenceEvent]:
    replayable = (Outcome.DEAD_LETTERED, Outcome.UNKNOWN)
    if state is None or state.phase is not Phase.ENDED or state.outcome not in replayable:
        now = "unclaimed" if state is None else (state.outcome or state.phase).value
        raise Conflict(
            f"The occurrence is {now}, so there is nothing to replay.",
            field="occurrence",
            value=now,
            hint="Only dead-lettered and unknown ones can be replayed.",
        )
    if command.schedule.status is Status.CANCELLED:
        raise Conflict(
            "The schedule is cancelled, so nothing of it is sent any more.",
            field="status",
            value="cancelled",
            hint="Clone the schedule.",
        )
    return [
        OccurrenceReplayed(
            **facts_of(command.schedule),
            due_at=command.now,
            reason=command.reason,
            request_digest=command.request_digest,
        )
    ]


def _report(command: ReportDelivery, state: Occurrence | None) -> list[AnyOccurrenceEvent]:
    if state is None or state.attempt == 0:
        raise Conflict(
            "The occurrence has not been released, so nothing can be reported of it.",
            field="occurrence",
            value="unclaimed" if state is None else state.phase.value,
            hint="Send callbacks with the id of a release.",
        )
    return [
        DeliveryReported(
            **facts_of(command.schedule),
            status=command.status,
            at=command.at,
            detail=command.detail,
            request_digest=command.request_digest,
        )
    ]
