"""An occurrence: one slot of one schedule, from its claim to its outcome.

Reading order: values, events, state, `evolve`, commands, `decide`. Version 1 of an occurrence's stream exists at most
once, whatever number of dispatchers tries: that is the claim's guarantee. Events that start, end or pass a slot
carry `next`, the chain along which a series moves on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Literal, assert_never
from uuid import UUID

from horae.domain import timing as t
from horae.domain.delivery import MAX_LOST_ATTEMPTS, Delivery, Failure, Mode
from horae.domain.envelope import Event
from horae.domain.errors import Conflict
from horae.domain.schedule import Schedule, Status

#: What the occurrence comes from: a slot of the timing, or somebody's hand.
Origin = Literal["slot", "trigger"]
#: Which due row named it: the schedule's `slot` row, whose series must move on, or the occurrence's own.
Row = Literal["slot", "occurrence"]

#: One event covers at most so many missed slots, so that deciding never stalls; the chain goes on behind it.
MISSED_RUN_LIMIT = 10_000


class Outcome(StrEnum):
    """How an occurrence ended."""

    DELIVERED = "delivered"
    DEAD_LETTERED = "dead_lettered"
    SUPPRESSED = "suppressed"
    EXPIRED = "expired"
    MISSED = "missed"
    CANCELLED = "cancelled"
    #: Sent or not, nobody can tell (at_most_once only).
    UNKNOWN = "unknown"


class Phase(StrEnum):
    """Where an occurrence with at least one event stands."""

    #: Unclaimed, put off until a later instant.
    DEFERRED = "deferred"
    #: An attempt is under way.
    EXECUTING = "executing"
    #: Waiting for its next attempt.
    RETRYING = "retrying"
    ENDED = "ended"


# --- events ---------------------------------------------------------------------------------------------------


class OccurrenceEvent(Event):
    """What all of an occurrence's events say: whose it is."""

    schedule: UUID
    recipient_ref: str
    priority: int


class OccurrenceClaimed(OccurrenceEvent):
    """It is ours to send, by this owner's first attempt."""

    name: ClassVar[str] = "occurrence.claimed.v1"
    schedule_version: int
    origin: Origin
    slot: t.Slot
    number: int | None = None
    due_at: datetime
    plan: t.Plan
    #: The claiming worker's incarnation.
    owner: int
    #: True: the series' slot row goes on to `next` (None: the series has ended).
    moves: bool
    next: t.Next | None = None


class AttemptStarted(OccurrenceEvent):
    """A further attempt by this owner."""

    name: ClassVar[str] = "occurrence.attempt_started.v1"
    schedule_version: int
    attempt: int
    owner: int


class AttemptFailed(OccurrenceEvent):
    """An attempt did not end well. `retry_at`: when the next one is due; None: there is none."""

    name: ClassVar[str] = "occurrence.attempt_failed.v1"
    attempt: int
    failure: Failure
    started_at: datetime | None = None
    duration_ms: float | None = None
    retry_at: datetime | None = None


class OccurrenceDeferred(OccurrenceEvent):
    """A rule put it off, unclaimed; the series goes on meanwhile."""

    name: ClassVar[str] = "occurrence.deferred.v1"
    schedule_version: int
    origin: Origin
    slot: t.Slot
    number: int | None = None
    due_at: datetime
    until: datetime
    rule: str
    reason: str
    moves: bool
    next: t.Next | None = None


class OccurrenceMissed(OccurrenceEvent):
    """A run of slots, `slot` to `to`, was not claimed in time. Stored in the stream of the run's first slot."""

    name: ClassVar[str] = "occurrence.missed.v1"
    schedule_version: int
    slot: t.Slot
    due_at: datetime
    to: t.Slot
    to_due_at: datetime
    count: int
    policy: str
    next: t.Next | None = None


class OccurrenceEnded(OccurrenceEvent):
    """The outcome. Of an unclaimed one (`attempt` 0) it also carries slot, due instant and the series' `next`."""

    name: ClassVar[str] = "occurrence.ended.v1"
    outcome: Outcome
    reason: str
    attempt: int
    started_at: datetime | None = None
    duration_ms: float | None = None
    #: What the channel answered, e.g. {"status_code": 204}.
    response: dict[str, Any] | None = None
    schedule_version: int | None = None
    origin: Origin | None = None
    slot: t.Slot | None = None
    number: int | None = None
    due_at: datetime | None = None
    plan: t.Plan | None = None
    moves: bool = False
    next: t.Next | None = None


class OccurrenceReplayed(OccurrenceEvent):
    """Somebody asked for a new attempt after the end; the last outcome counts."""

    name: ClassVar[str] = "occurrence.replayed.v1"
    due_at: datetime
    reason: str | None = None
    request_digest: str | None = None


class SlotPassed(OccurrenceEvent):
    """The series came upon this slot again although it was already handled (clocks, resume): it moves on to `next`."""

    name: ClassVar[str] = "occurrence.passed.v1"
    schedule_version: int
    slot: t.Slot
    next: t.Next | None = None


class DeliveryReported(OccurrenceEvent):
    """A provider's word on what became of it after the release."""

    name: ClassVar[str] = "occurrence.delivery_reported.v1"
    status: str
    at: datetime
    detail: dict[str, Any] | None = None
    request_digest: str | None = None


AnyOccurrenceEvent = (
    OccurrenceClaimed
    | AttemptStarted
    | AttemptFailed
    | OccurrenceDeferred
    | OccurrenceMissed
    | OccurrenceEnded
    | OccurrenceReplayed
    | SlotPassed
    | DeliveryReported
)


# --- state ----------------------------------------------------------------------------------------------------


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
    #: When it is to be looked at again (deferred, retrying).
    wake_at: datetime | None = None


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
        case OccurrenceMissed():
            return replace(
                state, phase=Phase.ENDED, slot=event.slot, due_at=event.due_at, outcome=Outcome.MISSED, wake_at=None
            )
        case OccurrenceEnded():
            if state.attempt == 0:
                state = replace(
                    state, origin=event.origin or "slot", slot=event.slot, due_at=event.due_at, plan=event.plan
                )
            return replace(state, phase=Phase.ENDED, outcome=event.outcome, owner=None, wake_at=None)
        case OccurrenceReplayed():
            return replace(state, phase=Phase.RETRYING, failed=0, lost=0, wake_at=event.due_at)
        case SlotPassed() | DeliveryReported():
            return state
        case _ as never:
            assert_never(never)


# --- commands -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Fire:
    """The slot `at` of `schedule` has come due: claim it, or say why it will not be sent.

    `at` is what the due row named; `context` plans the slot that follows.
    """

    schedule: Schedule
    at: t.Next
    row: Row
    origin: Origin
    owner: int
    now: datetime
    context: t.Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Defer:
    """A rule says: not before `until`."""

    schedule: Schedule
    at: t.Next
    row: Row
    origin: Origin
    until: datetime
    rule: str
    reason: str
    context: t.Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppress:
    """A rule says: not at all."""

    schedule: Schedule
    at: t.Next
    row: Row
    origin: Origin
    rule: str
    reason: str
    context: t.Context


@dataclass(frozen=True, slots=True, kw_only=True)
class StartAttempt:
    """A retry or replay has come due."""

    schedule: Schedule
    owner: int
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordDelivered:
    """The channel took it."""

    schedule: Schedule
    attempt: int
    started_at: datetime
    duration_ms: float
    response: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFailed:
    """The channel did not take it, or nobody knows."""

    schedule: Schedule
    attempt: int
    failure: Failure
    started_at: datetime
    duration_ms: float
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverLost:
    """The worker `owner` that ran the open attempt is gone, and nobody knows how far it came."""

    schedule: Schedule
    owner: int
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Somebody wants a new attempt of one that ended without delivery."""

    schedule: Schedule
    now: datetime
    reason: str | None = None
    request_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportDelivery:
    """A provider tells what became of a released one."""

    schedule: Schedule
    status: str
    at: datetime
    detail: dict[str, Any] | None = None
    request_digest: str | None = None


Command = (
    Fire | Defer | Suppress | StartAttempt | RecordDelivered | RecordFailed | RecoverLost | Replay | ReportDelivery
)


# --- decide ---------------------------------------------------------------------------------------------------


def decide(command: Command, state: Occurrence | None) -> list[AnyOccurrenceEvent]:
    """What follows from the command; an empty list: it is out of date, nothing is to be done.

    Raises `Conflict` only for `Replay` and `ReportDelivery`, the commands that come from outside.
    """
    match command:
        case Fire():
            return _fire(command, state)
        case Defer() | Suppress():
            return _rule(command, state)
        case StartAttempt():
            return _start_attempt(command, state)
        case RecordDelivered():
            return _delivered(command, state)
        case RecordFailed():
            return _failed(command, state)
        case RecoverLost():
            return _recover(command, state)
        case Replay():
            return _replay(command, state)
        case ReportDelivery():
            return _report(command, state)
        case _ as never:
            assert_never(never)


def _common(schedule: Schedule) -> dict[str, Any]:
    return {
        "schedule": schedule.id,
        "recipient_ref": schedule.recipient_ref,
        "priority": schedule.definition.priority,
    }


def _slot_facts(command: Fire | Defer | Suppress) -> dict[str, Any]:
    return {
        **_common(command.schedule),
        "schedule_version": command.schedule.version,
        "origin": command.origin,
        "slot": command.at.slot,
        "number": command.at.number,
        "due_at": command.at.due_at,
    }


def _moves(command: Fire | Defer | Suppress) -> dict[str, Any]:
    if command.row == "occurrence":
        return {"moves": False}
    return {"moves": True, "next": _following(command)}


def _following(command: Fire | Defer | Suppress) -> t.Next | None:
    return t.following(command.schedule.timing, command.at, command.context)


def _fire(command: Fire, state: Occurrence | None) -> list[AnyOccurrenceEvent]:
    schedule = command.schedule
    if state is not None and (command.row == "slot" or state.phase is not Phase.DEFERRED):
        return _pass(command)
    if schedule.status is not Status.ACTIVE:
        if command.row == "occurrence" and schedule.status is Status.CANCELLED:
            return [_end_unclaimed(command, Outcome.CANCELLED, "the schedule was cancelled before it could fire")]
        return []
    expires_after = schedule.definition.expires_after
    if expires_after is not None and command.now > command.at.due_at + expires_after:
        return [_end_unclaimed(command, Outcome.EXPIRED, f"not claimed within {expires_after} of its due instant")]
    if command.row == "slot" and isinstance(schedule.timing, t.Every):
        missed = _missed_run(command, schedule.timing)
        if missed is not None:
            return [missed]
    return [OccurrenceClaimed(**_slot_facts(command), plan=_plan(command), owner=command.owner, **_moves(command))]


def _plan(command: Fire) -> t.Plan:
    """The plan with what the claim adds to it: how late it is, and whether it catches up on a missed run."""
    plan, late, timing = command.at.plan, command.now - command.at.due_at, command.schedule.timing
    if late <= timedelta(seconds=1):
        return plan
    reasons = [t.Reason(code="late", text=f"claimed {late.total_seconds():.1f} s after its due instant")]
    if isinstance(timing, t.Every) and command.row == "slot" and late > timing.missed.within:
        text = f"missed by more than {timing.missed.within}; the policy `{timing.missed.policy}` fires it all the same"
        reasons.append(t.Reason(code="catch_up", text=text))
    return plan.model_copy(update={"reasons": (*plan.reasons, *reasons)})


def _pass(command: Fire) -> list[AnyOccurrenceEvent]:
    if command.row == "occurrence" or command.schedule.status is not Status.ACTIVE:
        return []
    return [
        SlotPassed(
            **_common(command.schedule),
            schedule_version=command.schedule.version,
            slot=command.at.slot,
            next=_following(command),
        )
    ]


def _missed_run(command: Fire, timing: t.Every) -> OccurrenceMissed | None:
    """The run of slots from `at` on that came too late, as far as the policy gives them up; None: `at` fires."""
    within = timing.missed.within
    if timing.missed.policy == "all" or command.now <= command.at.due_at + within:
        return None
    count, last = 1, command.at
    following = t.following(timing, last, command.context)
    while following is not None and command.now > following.due_at + within and count < MISSED_RUN_LIMIT:
        count, last = count + 1, following
        following = t.following(timing, last, command.context)
    if timing.missed.policy == "once" and (following is None or following.due_at > command.now):
        # Nothing newer fires by itself, so the newest of the run is caught up on.
        if count == 1:
            return None
        count, last, following = count - 1, *_before_last(command, timing, count - 1)
    return OccurrenceMissed(
        **_common(command.schedule),
        schedule_version=command.schedule.version,
        slot=command.at.slot,
        due_at=command.at.due_at,
        to=last.slot,
        to_due_at=last.due_at,
        count=count,
        policy=timing.missed.policy,
        next=following,
    )


def _before_last(command: Fire, timing: t.Every, count: int) -> tuple[t.Next, t.Next | None]:
    last = command.at
    for _ in range(count - 1):
        last = t.following(timing, last, command.context) or last
    return last, t.following(timing, last, command.context)


def _end_unclaimed(command: Fire, outcome: Outcome, reason: str) -> OccurrenceEnded:
    return OccurrenceEnded(
        **_slot_facts(command), outcome=outcome, reason=reason, attempt=0, plan=command.at.plan, **_moves(command)
    )


def _rule(command: Defer | Suppress, state: Occurrence | None) -> list[AnyOccurrenceEvent]:
    if state is not None and (command.row == "slot" or state.phase is not Phase.DEFERRED):
        return []
    if isinstance(command, Defer):
        return [
            OccurrenceDeferred(
                **_slot_facts(command),
                until=command.until,
                rule=command.rule,
                reason=command.reason,
                **_moves(command),
            )
        ]
    reason = f"{command.rule}: {command.reason}"
    return [
        OccurrenceEnded(
            **_slot_facts(command),
            outcome=Outcome.SUPPRESSED,
            reason=reason,
            attempt=0,
            plan=command.at.plan,
            **_moves(command),
        )
    ]


def _start_attempt(command: StartAttempt, state: Occurrence | None) -> list[AnyOccurrenceEvent]:
    if state is None or state.phase is not Phase.RETRYING:
        return []
    schedule = command.schedule
    common = _common(schedule)
    if schedule.status is Status.CANCELLED:
        reason = "the schedule was cancelled before its next attempt"
        return [OccurrenceEnded(**common, outcome=Outcome.CANCELLED, reason=reason, attempt=state.attempt)]
    if schedule.status is Status.PAUSED:
        return []
    expires_after = schedule.definition.expires_after
    if expires_after is not None and state.due_at is not None and command.now > state.due_at + expires_after:
        reason = "expired before its next attempt"
        return [OccurrenceEnded(**common, outcome=Outcome.EXPIRED, reason=reason, attempt=state.attempt)]
    return [AttemptStarted(**common, schedule_version=schedule.version, attempt=state.attempt + 1, owner=command.owner)]


def _open_attempt(state: Occurrence | None, attempt: int) -> bool:
    return state is not None and state.phase is Phase.EXECUTING and state.attempt == attempt


def _delivered(command: RecordDelivered, state: Occurrence | None) -> list[AnyOccurrenceEvent]:
    if not _open_attempt(state, command.attempt):
        return []
    return [
        OccurrenceEnded(
            **_common(command.schedule),
            outcome=Outcome.DELIVERED,
            reason="the channel accepted it",
            attempt=command.attempt,
            started_at=command.started_at,
            duration_ms=command.duration_ms,
            response=command.response,
        )
    ]


def _failed(command: RecordFailed, state: Occurrence | None) -> list[AnyOccurrenceEvent]:
    if state is None or not _open_attempt(state, command.attempt):
        return []
    failure = command.failure
    delivery = command.schedule.definition.delivery
    may_repeat = delivery.mode is Mode.AT_LEAST_ONCE or failure.nothing_arrived
    left = state.failed < delivery.retry.retries and failure.retryable and may_repeat
    # A 4xx is a refusal; silence or a 5xx after sending may hide a message that went through.
    ambiguous = not may_repeat and (failure.status_code is None or failure.status_code >= 500)
    failed = AttemptFailed(
        **_common(command.schedule),
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
    return OccurrenceEnded(**_common(schedule), outcome=outcome, reason=reason, attempt=attempt)


def _recover(command: RecoverLost, state: Occurrence | None) -> list[AnyOccurrenceEvent]:
    if state is None or state.phase is not Phase.EXECUTING or state.owner != command.owner:
        return []
    schedule = command.schedule
    failure = Failure(kind="owner_lost", message=f"worker {command.owner} died during the attempt")
    once = schedule.definition.delivery.mode is Mode.AT_MOST_ONCE
    stop = once or state.lost + 1 >= MAX_LOST_ATTEMPTS
    failed = AttemptFailed(
        **_common(schedule), attempt=state.attempt, failure=failure, retry_at=None if stop else command.now
    )
    if not stop:
        return [failed]
    outcome = Outcome.UNKNOWN if once else Outcome.DEAD_LETTERED
    reason = "its worker died: sent or not, nobody can tell" if once else f"{MAX_LOST_ATTEMPTS} workers died on it"
    return [failed, _end(schedule, outcome, reason, state.attempt)]


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
    return [
        OccurrenceReplayed(
            **_common(command.schedule),
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
            **_common(command.schedule),
            status=command.status,
            at=command.at,
            detail=command.detail,
            request_digest=command.request_digest,
        )
    ]
