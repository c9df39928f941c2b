"""The state of an occurrence: the fold of its stream."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import assert_never
from uuid import UUID

from horae.domain import timing as t
from horae.domain.occurrence.events import (
    AnyOccurrenceEvent,
    AttemptFailed,
    AttemptStarted,
    DeliveryReported,
    OccurrenceBackfilled,
    OccurrenceClaimed,
    OccurrenceDeferred,
    OccurrenceEnded,
    OccurrenceEngaged,
    OccurrenceMissed,
    OccurrenceReplayed,
    OccurrenceUnanswered,
    Origin,
    Outcome,
    SlotPassed,
)


class Phase(StrEnum):
    """Where an occurrence with at least one event stands."""

    #: Unclaimed, put off until a later instant.
    DEFERRED = "deferred"
    #: An attempt is under way.
    EXECUTING = "executing"
    #: Waiting for its next attempt.
    RETRYING = "retrying"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Occurrence:
    """The fold of an occurrence's stream; `version` is its head."""

    id: UUID
    schedule: UUID
    version: int
    phase: Phase
    origin: Origin
    slot: t.Slot | None
    due_at: datetime | None
    plan: t.Plan | None
    #: The number of the last attempt that started; 0: unclaimed.
    attempt: int = 0
    owner: int | None = None
    #: Failed attempts that count against the retries, and attempts whose worker died, since the claim or replay.
    failed: int = 0
    lost: int = 0
    outcome: Outcome | None = None
    #: When somebody last asked for it again; its time to live counts from there.
    replayed_at: datetime | None = None
    #: When it is to be looked at again (deferred, retrying).
    wake_at: datetime | None = None
    #: When the attempt that was delivered began.
    sent_at: datetime | None = None
    #: True: a person answered in time; False: the window went by; None: neither yet.
    answered: bool | None = None


def evolve(state: Occurrence | None, occurrence: UUID, event: AnyOccurrenceEvent) -> Occurrence:
    """The state after `event`."""
    if state is None:
        state = Occurrence(occurrence, event.schedule, 0, Phase.DEFERRED, "slot", None, None, None)
    state = replace(state, version=state.version + 1)
    match event:
        case OccurrenceClaimed():
            return replace(
                state,
                phase=Phase.EXECUTING,
                origin=event.origin,
                slot=event.slot,
                due_at=event.due_at,
                plan=event.plan,
                attempt=1,
                owner=event.owner,
                wake_at=None,
            )
        case AttemptStarted():
            return replace(state, phase=Phase.EXECUTING, attempt=event.attempt, owner=event.owner, wake_at=None)
        case AttemptFailed():
            lost = event.failure.kind == "owner_lost"
            return replace(
                state,
                phase=Phase.RETRYING,
                owner=None,
                failed=state.failed + (not lost),
                lost=state.lost + lost,
                wake_at=event.retry_at,
            )
        case OccurrenceDeferred():
            return replace(
                state,
                phase=Phase.DEFERRED,
                origin=event.origin,
                slot=event.slot,
                due_at=event.due_at,
                wake_at=event.until,
            )
        case OccurrenceBackfilled():
            return replace(
                state,
                phase=Phase.DEFERRED,
                origin="backfill",
                slot=event.slot,
                due_at=event.due_at,
                plan=event.plan,
                outcome=None,
                wake_at=event.due_at,
            )
        case OccurrenceMissed():
            return replace(
                state, phase=Phase.ENDED, slot=event.slot, due_at=event.due_at, outcome=Outcome.MISSED, wake_at=None
            )
        case OccurrenceEnded():
            if state.attempt == 0:
                state = replace(
                    state, origin=event.origin or "slot", slot=event.slot, due_at=event.due_at, plan=event.plan
                )
            sent_at = event.started_at if event.outcome is Outcome.DELIVERED else state.sent_at
            return replace(state, phase=Phase.ENDED, outcome=event.outcome, owner=None, wake_at=None, sent_at=sent_at)
        case OccurrenceReplayed():
            return replace(
                state, phase=Phase.RETRYING, failed=0, lost=0, replayed_at=event.due_at, wake_at=event.due_at
            )
        case SlotPassed() | DeliveryReported():
            return state
        case OccurrenceEngaged():
            return replace(state, answered=True) if event.answers else state
        case OccurrenceUnanswered():
            return replace(state, answered=False)
        case _ as never:
            assert_never(never)
