"""Events in plain sentences: who decided what, when in local time, and what it meant.

Place in the flow: `explain` orders the decisions; here each event of a schedule or an occurrence becomes one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from horae.api.models.occurrences import Decision
from horae.api.settling import among_others
from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.envelope import Event, Recorded
from horae.domain.timing.describe import describe
from horae.domain.timing.zones import zone as zone_rules

_PRIORITIES = {1: "low", 2: "normal", 3: "high", 4: "urgent", 5: "critical"}
_SOURCES = {
    "timing": "named in the timing",
    "recipient": "the recipient's own",
    "tenant": "the default, for neither timing nor recipient named one",
    "instant": "not needed: the timing is an instant",
}


def local(at: datetime, zone: str | None) -> str:
    """An instant on the wall clock of `zone`, to the second: `2026-12-01 09:00:00 (Europe/Berlin)`."""
    name = zone or "UTC"
    there = at.astimezone(zone_rules(name) if name != "UTC" else UTC)
    return f"{there:%Y-%m-%d %H:%M:%S} ({name})"


def span(length: timedelta) -> str:
    """A length of time for people: 3 ms, 4.2 s, 5 min, 3 h, 2 days."""
    seconds = abs(length.total_seconds())
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86_400:.0f} days"


def who(actor: str) -> str:
    """An actor in words."""
    kind, _, name = actor.partition(":")
    match kind:
        case "key":
            return f"API key {name}"
        case "worker":
            return f"worker {name}"
        case "cli":
            return "the command line"
        case _:
            return actor


def decision(event: Recorded, code: str, text: str, **facts: Any) -> Decision:
    """The decision that `event` records."""
    return Decision(
        code=code,
        text=text,
        at=event.meta.recorded_at,
        actor=event.meta.actor,
        position=event.position,
        event=event.body.name,
        facts={name: fact for name, fact in facts.items() if fact is not None},
    )


def told(event: Recorded, occurrence: UUID, zone: str | None) -> Decision | None:
    """The event as a decision about `occurrence`; None if it does not concern it (another slot's skip or trigger)."""
    if isinstance(event.body, o.OccurrenceEvent):
        return _occurrence_told(event, event.body, zone)
    return _schedule_told(event, event.body, occurrence, zone)


def _schedule_told(event: Recorded, body: Event, occurrence: UUID, zone: str | None) -> Decision | None:
    by = f"{who(event.meta.actor)} on {local(event.meta.recorded_at, zone)}"
    reason = getattr(body, "reason", None)
    because = f" Reason given: {reason}." if reason else ""
    request = event.meta.request_id
    match body:
        case s.ScheduleCreated():
            kind = body.personal.channel.partition(":")[0]
            text = (
                f"Asked for by {by}: {describe(body.definition.timing)}, to {body.personal.recipient} over {kind}, "
                f"priority {_PRIORITIES.get(body.definition.priority, body.definition.priority)}."
                f"{among_others(body.settled)}"
            )
            timing = body.definition.timing.model_dump(mode="json", exclude_none=True)
            settled = body.settled.model_dump(mode="json", exclude_none=True) if body.settled is not None else None
            return decision(
                event,
                "asked",
                text,
                timing=timing,
                cloned_from=body.cloned_from,
                request_id=request,
                settled=settled,
            )
        case s.ScheduleChanged():
            keeps = "its slots stayed as they were" if body.next_unchanged else "a new series of slots began"
            if body.since is not None:
                keeps = f"from {body.since.local.isoformat()} on"
            text = f"Changed by {by} ({', '.join(body.changed)}): {keeps}.{_merged(body)}"
            timing = body.definition.timing.model_dump(mode="json", exclude_none=True)
            given = timing if "timing" in body.changed else None
            return decision(event, "changed", text, changed=list(body.changed), timing=given, request_id=request)
        case s.SchedulePaused():
            return decision(event, "paused", f"Paused by {by}.{because}", reason=body.reason, request_id=request)
        case s.ScheduleResumed():
            then = f" It went on with {local(body.next.due_at, zone)}." if body.next else " Nothing was left to come."
            return decision(
                event, "resumed", f"Resumed by {by}.{because}{then}", reason=body.reason, request_id=request
            )
        case s.ScheduleReplanned():
            return decision(event, "replanned", _replanned(body, zone), cause=body.cause, change=body.change)
        case s.SlotReplanned() if body.occurrence == occurrence:
            return decision(event, "replanned", _replanned(body, zone), cause=body.cause, change=body.change)
        case s.ScheduleCancelled():
            return decision(event, "cancelled", f"Cancelled by {by}.{because}", reason=body.reason, request_id=request)
        case s.SlotSkipped() if body.occurrence == occurrence:
            favour = f" in favour of schedule {body.for_schedule}" if body.for_schedule is not None else ""
            text = f"This slot was taken out by {by}{favour}."
            return decision(event, "skipped", text, request_id=request, for_schedule=body.for_schedule)
        case s.SlotUnskipped() if body.occurrence == occurrence:
            return decision(event, "unskipped", f"This slot was put back by {by}.", request_id=request)
        case s.SlotChanged() if body.occurrence == occurrence:
            text = f"This slot was changed by itself by {by}"
            text += f" ({', '.join(body.changed)})" if body.changed else ""
            moved = body.at
            text += f", to go out at {local(moved.due_at, moved.plan.zone)}." if moved is not None else "."
            text += among_others(body.settled)
            due_at = moved.due_at if moved is not None else None
            return decision(event, "slot_changed", text, changed=list(body.changed), due_at=due_at, request_id=request)
        case s.ScheduleTriggered() if body.occurrence == occurrence:
            text = f"Asked for by hand by {by}, beside the series.{because}"
            return decision(event, "triggered", text, reason=body.reason, request_id=request)
        case _:
            return None


def policy_told(policy: str) -> str:
    """By which policy slots were given up, in words."""
    beyond = ", which makes up for the newest of them only, as many as its `limit`" if policy == "all" else ""
    return f"the policy is `{policy}`{beyond}"


_CHANGED = {"calendar": "The calendar", "zone": "The zone data", "recipient": "The recipient's zone"}


def _replanned(body: s.ScheduleReplanned | s.SlotReplanned, zone: str | None) -> str:
    before, next_ = body.before, body.at if isinstance(body, s.SlotReplanned) else body.next
    text = f"{_CHANGED[body.cause]} changed ({body.detail}): what was planned for {local(before.due_at, zone)}"
    if next_ is None:
        return f"{text} fell away, and it has no slot left to come."
    if (next_.slot, next_.due_at) == (before.slot, before.due_at):
        return f"{text} keeps its instant."
    return f"{text} goes out on {local(next_.due_at, zone)}."


def _merged(body: s.ScheduleChanged) -> str:
    return f" The content of schedule {body.for_schedule} was merged into it." if body.for_schedule is not None else ""


def _occurrence_told(event: Recorded, body: o.OccurrenceEvent, zone: str | None) -> Decision | None:
    at = event.meta.recorded_at
    match body:
        case o.OccurrenceClaimed():
            late = at - body.due_at
            how = f"{span(late)} after" if late >= timedelta(0) else f"{span(late)} before"
            text = (
                f"Claimed by worker {body.owner} at {local(at, zone)}, {how} its due instant; the first attempt began."
            )
            lateness = late.total_seconds() * 1000
            return decision(
                event,
                "claimed",
                text,
                owner=body.owner,
                claimed_late_ms=lateness,
                schedule_version=body.schedule_version,
            )
        case o.AttemptStarted():
            text = f"Attempt {body.attempt} began at {local(at, zone)}, by worker {body.owner}."
            return decision(event, "attempt_started", text, attempt=body.attempt, owner=body.owner)
        case o.AttemptFailed():
            return _failure_told(event, body, zone)
        case o.OccurrenceDeferred():
            text = f"The rule {body.rule} put it off until {local(body.until, zone)}: {body.reason}."
            return decision(event, "deferred", text, rule=body.rule, until=body.until, reason=body.reason)
        case o.OccurrenceBackfilled():
            was, then = local(body.was_due_at, zone), local(body.due_at, zone)
            text = (
                f"It had been due at {was}, by the schedule as of version {body.schedule_version}, and was not sent. "
                f"A backfill that {who(event.meta.actor)} asked for on {local(at, zone)} has it sent at {then}."
            )
            return decision(
                event,
                "backfilled",
                text,
                backfill=body.backfill,
                was_due_at=body.was_due_at,
                due_at=body.due_at,
                schedule_version=body.schedule_version,
                request_id=event.meta.request_id,
            )
        case o.OccurrenceMissed():
            run = f"{body.count} slots from {body.slot.local} to {body.to.local}" if body.count > 1 else "The slot"
            text = f"{run} came too late to be sent, found at {local(at, zone)}; {policy_told(body.policy)}."
            return decision(event, "missed", text, count=body.count, policy=body.policy, to=body.to.local.isoformat())
        case o.OccurrenceEnded():
            return _end_told(event, body, zone)
        case o.OccurrenceReplayed():
            reason = f" Reason given: {body.reason}." if body.reason else ""
            text = f"Asked for once more by {who(event.meta.actor)} on {local(at, zone)}.{reason}"
            return decision(event, "replayed", text, reason=body.reason)
        case o.SlotPassed():
            return decision(
                event, "passed", "The series came upon the slot again and went past it: it was done already."
            )
        case o.DeliveryReported():
            text = f"The provider reported `{body.status}` for {local(body.at, zone)}."
            return decision(event, "reported", text, status=body.status, detail=body.detail)
        case o.OccurrenceEngaged():
            return _engagement_told(event, body, zone)
        case o.OccurrenceUnanswered():
            text = f"Nobody had answered by {local(at, zone)}: the attribution window was over."
            return decision(event, "unanswered", text, sent_at=body.sent_at)
        case _:
            return None


def _engagement_told(event: Recorded, body: o.OccurrenceEngaged, zone: str | None) -> Decision:
    text = f"The recipient {body.kind.value} it at {local(body.at, zone)}"
    if body.machine is not None:
        text = f"A machine ({body.machine}) {body.kind.value} it at {local(body.at, zone)}; nothing is learnt from that"
    elif body.answers:
        text += ": the answer from which is learnt"
    facts = {"kind": body.kind.value, "at": body.at, "machine": body.machine, "answers": body.answers}
    return decision(event, "engaged", f"{text}.", **facts)


def _failure_told(event: Recorded, body: o.AttemptFailed, zone: str | None) -> Decision:
    failure = body.failure
    took = f" after {span(timedelta(milliseconds=body.duration_ms))}" if body.duration_ms is not None else ""
    if body.retry_at is None:
        then = "No further attempt follows."
    else:
        wait = body.retry_at - event.meta.recorded_at
        asked = " (the receiver asked for that)" if failure.retry_after_s is not None else ""
        then = f"The next follows in {span(wait)}{asked}, at {local(body.retry_at, zone)}."
    text = f"Attempt {body.attempt} failed{took}: {failure.message.rstrip('.')} ({failure.kind}). {then}"
    return decision(
        event,
        "attempt_failed",
        text,
        attempt=body.attempt,
        failure=failure.model_dump(mode="json", exclude_none=True),
        started_at=body.started_at,
        duration_ms=body.duration_ms,
        retry_at=body.retry_at,
    )


def _end_told(event: Recorded, body: o.OccurrenceEnded, zone: str | None) -> Decision:
    at, took = local(event.meta.recorded_at, zone), ""
    if body.duration_ms is not None:
        took = f", attempt {body.attempt} having taken {span(timedelta(milliseconds=body.duration_ms))}"
    text = f"Ended `{body.outcome.value}` at {at}{took}: {body.reason.rstrip('.')}."
    return decision(
        event,
        body.outcome.value,
        text,
        reason=body.reason,
        attempt=body.attempt or None,
        started_at=body.started_at,
        duration_ms=body.duration_ms,
        response=body.response,
    )


def planned(at: t.Next) -> Iterator[Decision]:
    """How the instant came about: zone, zone data, clock changes, shifts and jitter."""
    plan = at.plan
    if plan.zone_source == "instant":
        zone_text = f"The timing names an instant; it is told here in {plan.zone}."
    else:
        zone_text = f"The zone is {plan.zone}: {_SOURCES[plan.zone_source]}."
    yield Decision(code="zone", text=zone_text, facts={"zone": plan.zone, "source": plan.zone_source})
    yield Decision(
        code="tzdata", text=f"Local time was read with zone data {plan.tzdata}.", facts={"version": plan.tzdata}
    )
    if plan.branch == "normal":
        yield Decision(code="branch", text="No clock change touches this slot.", facts={"branch": plan.branch})
    for reason in plan.reasons:
        if reason.code.startswith("zone_from"):
            continue  # said above
        text = reason.text[:1].upper() + reason.text[1:]
        yield Decision(code=reason.code, text=text if text.endswith(".") else text + ".", facts={"branch": plan.branch})
    if plan.jitter_s and not any(reason.code == "jitter" for reason in plan.reasons):
        text = f"Jitter moved it by {span(timedelta(seconds=plan.jitter_s))}, fixed by its id."
        yield Decision(code="jitter", text=text, facts={"jitter_s": plan.jitter_s})
    text = f"The slot {at.slot.local.isoformat()} is due at {local(at.due_at, plan.zone)}."
    yield Decision(code="due", text=text, facts={"due_at": at.due_at, "slot": at.slot.local.isoformat()})
