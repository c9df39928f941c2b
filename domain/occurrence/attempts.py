"""Attempts: the next one, how one ended, and what becomes of one whose worker is gone."""

from __future__ import annotations

from datetime import timedelta

from horae.domain.delivery import MAX_LOST_ATTEMPTS, Delivery, Failure, Mode
from horae.domain.occurrence.commands import RecordDelivered, RecordFailed, RecoverLost, StartAttempt
from horae.domain.occurrence.events import (
    AnyOccurrenceEvent,
    AttemptFailed,
    AttemptStarted,
    OccurrenceEnded,
    Outcome,
)
from horae.domain.occurrence.facts import facts_of
from horae.domain.occurrence.state import Occurrence, Phase
from horae.domain.schedule import Schedule, Status


def start_attempt(command: StartAttempt, state: Occurrence | None) -> list[AnyOccurrenceEvent]:
    if state is None or state.phase is not Phase.RETRYING:
        return []
    schedule = command.schedule
    common = facts_of(schedule)
    if schedule.status is Status.CANCELLED:
        reason = "the schedule was cancelled before its next attempt"
        return [OccurrenceEnded(**common, outcome=Outcome.CANCELLED, reason=reason, attempt=state.attempt)]
    if schedule.status is Status.PAUSED or (state.wake_at is not None and command.now < state.wake_at):
        return []
    if command.overtaken_by is not None:
        reason = f"concurrency: occurrence {command.overtaken_by} of a later slot was claimed since"
        return [OccurrenceEnded(**common, outcome=Outcome.SUPPRESSED, reason=reason, attempt=state.attempt)]
    expires_after = schedule.definition.expires_after
    lives_from = state.replayed_at or state.due_at
    if expires_after is not None and lives_from is not None and command.now > lives_from + expires_after:
        reason = "expired before its next attempt"
        return [OccurrenceEnded(**common, outcome=Outcome.EXPIRED, reason=reason, attempt=state.attempt)]
    return [AttemptStarted(**common, schedule_version=schedule.version, attempt=state.attempt + 1, owner=command.owner)]


def _open_attempt(state: Occurrence | None, attempt: int) -> bool:
    return state is not None and state.phase is Phase.EXECUTING and state.attempt == attempt


def delivered(command: RecordDelivered, state: Occurrence | None) -> list[AnyOccurrenceEvent]:
    if not _open_attempt(state, command.attempt):
        return []
    return [
        OccurrenceEnded(
            **facts_of(command.schedule),
            outcome=Outcome.DELIVERED,
            reason="the channel accepted it",
            attempt=command.attempt,
            started_at=command.started_at,
            duration_ms=command.duration_ms,
            response=command.response,
        )
    ]


def failed(command: RecordFailed, state: Occurrence | None) -> list[AnyOccurrenceEvent]:
    if state is None or not _open_attempt(state, command.attempt):
        return []
    failure = command.failure
    delivery = command.schedule.definition.delivery
    may_repeat = delivery.mode is Mode.AT_LEAST_ONCE or failure.nothing_arrived
    left = state.failed < delivery.retry.retries and failure.retryable and may_repeat
    # A 4xx is a refusal; silence or a 5xx after sending may hide a message that went through.
    ambiguous = not may_repeat and (failure.status_code is None or failure.status_code >= 500)
    failed = AttemptFailed(
        **facts_of(command.schedule),
        attempt=command.attempt,
        failure=failure,
        started_at=command.started_at,
        duration_ms=command.duration_ms,
        retry_at=command.now + _wait(delivery, failure, state) if left else None,
    )
    if left:
        return [failed]
    outcome = Outcome.UNKNOWN if ambiguous else Outcome.DEAD_LETTERED
    reason = "nobody can tell whether it arrived" if ambiguous else _why_no_more(failure, state, delivery)
    return [failed, _end(command.schedule, outcome, reason, command.attempt)]


def _wait(delivery: Delivery, failure: Failure, state: Occurrence) -> timedelta:
    wait = delivery.retry.wait(state.failed + 1, state.id)
    if failure.retry_after_s is None:
        return wait
    # The receiver's wish is honoured, but a day at most: it must not be able to park us for ever.
    return max(wait, timedelta(seconds=min(failure.retry_after_s, 86_400)))


def _why_no_more(failure: Failure, state: Occurrence, delivery: Delivery) -> str:
    if not failure.retryable:
        return f"not worth another attempt: {failure.message}"
    if delivery.mode is Mode.AT_MOST_ONCE and not failure.nothing_arrived:
        return f"the receiver answered, and at_most_once forbids another attempt: {failure.message}"
    return f"{state.failed + 1} of {delivery.retry.retries + 1} attempts failed: {failure.message}"


def _end(schedule: Schedule, outcome: Outcome, reason: str, attempt: int) -> OccurrenceEnded:
    return OccurrenceEnded(**facts_of(schedule), outcome=outcome, reason=reason, attempt=attempt)


def recover(command: RecoverLost, state: Occurrence | None) -> list[AnyOccurrenceEvent]:
    if state is None or state.phase is not Phase.EXECUTING or state.owner != command.owner:
        return []
    if command.attempt not in (None, state.attempt):
        return []
    schedule = command.schedule
    how = "died during the attempt" if command.attempt is None else "met an error and lost hold of the attempt"
    failure = Failure(kind="owner_lost", message=f"worker {command.owner} {how}")
    once = schedule.definition.delivery.mode is Mode.AT_MOST_ONCE
    stop = once or state.lost + 1 >= MAX_LOST_ATTEMPTS
    failed = AttemptFailed(
        **facts_of(schedule), attempt=state.attempt, failure=failure, retry_at=None if stop else command.now
    )
    if not stop:
        return [failed]
    outcome = Outcome.UNKNOWN if once else Outcome.DEAD_LETTERED
    reason = f"{failure.message}: sent or not, nobody can tell" if once else f"{MAX_LOST_ATTEMPTS} attempts were lost"
    return [failed, _end(schedule, outcome, reason, state.attempt)]
