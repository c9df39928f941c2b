"""Explain and explain-not: every decision that led to an occurrence's instant and end, or why there is none.

Built from the log (the schedule's stream and the occurrence's), never from a read model: it is the truth as it was
recorded. The only thing computed is the plan of a slot that nothing has happened to yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from horae.api.models.occurrences import Decision, Explanation
from horae.api.story import decision, local, planned, policy_told, told, who
from horae.commands.candidates import sets_pointer
from horae.commands.occurrences import fold
from horae.commands.reading import fold_schedule
from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.envelope import Recorded
from horae.domain.ids import occurrence_id
from horae.domain.timing.describe import describe
from horae.domain.timing.zones import check_zone, gap_at, to_utc

_AROUND = timedelta(days=2)
_A_SECOND = timedelta(seconds=1)
#: Further before a time that is no slot none is named as the one before it.
_LONGEST_LOOK_BACK = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a slot that nothing is recorded of was not sent, or will be."""

    code: str
    text: str
    at: t.Next | None = None
    event: Recorded | None = None


def explain_occurrence(
    occurrence: UUID,
    asked: Sequence[Recorded],
    history: Sequence[Recorded],
    context: t.Context,
    missed: Sequence[Recorded] = (),
) -> Explanation:
    """Explain an occurrence that has events, or that was asked for by hand.

    `asked` is its schedule's whole stream, `history` its own (empty: triggered or moved, not claimed yet); `missed` as
    in `explain_slot`, for one that a backfill asked for.
    """
    schedule = fold_schedule(asked[0].stream, asked)
    state = fold(history)
    at = _plan_of(schedule, history, context) or schedule.by_itself(occurrence)
    zone = at.plan.zone if at else None
    last = history[-1].position if history and state and state.phase is o.Phase.ENDED else None
    relevant = [event for event in asked if last is None or event.position < last]
    first = history[0].position if history else asked[-1].position + 1
    decisions = [d for e in relevant if e.position < first and (d := told(e, occurrence, zone)) is not None]
    if at is not None:
        decisions += planned(at)
    slot = at.slot if at else (state.slot if state else None)
    again = _asked_again(history)
    # Its own stream tells of the run that it is the first of; here is the run of which it is another.
    elsewhere = (event for event in missed if again and event.stream != occurrence)
    run = [event for event in elsewhere if slot is not None and missed_run_covers(event, slot)]
    after = (event for event in relevant if event.position >= first)
    later = sorted([*run, *history, *after], key=lambda event: event.position)
    decisions += [d for event in later if (d := told(event, occurrence, zone)) is not None]
    due_at = at.due_at if at else None
    if state is not None and (again or at is None):
        due_at = state.due_at
    return Explanation(
        schedule=schedule.id,
        occurrence=occurrence,
        slot=slot.local.isoformat() if slot else "",
        fold=slot.fold if slot else 0,
        zone=zone,
        due_at=due_at,
        was_due_at=again[0].was_due_at if again else None,
        verdict=_verdict_of(state),
        released=bool(state and state.attempt),
        story=[entry.text for entry in decisions],
        decisions=decisions,
    )


def explain_slot(
    asked: Sequence[Recorded],
    slot: t.Slot,
    history: Sequence[Recorded],
    missed: Sequence[Recorded],
    context: t.Context,
) -> Explanation:
    """Explain any slot of a schedule, past or to come, or say why there is none.

    `history` is the stream of the slot's occurrence; `missed` that of the missed run that may cover the slot.
    """
    if history:
        return explain_occurrence(history[0].stream, asked, history, context, missed)
    schedule = fold_schedule(asked[0].stream, asked)
    verdict = _judge(asked, schedule, slot, missed, context)
    occurrence = occurrence_id(schedule.id, slot.local, slot.fold)
    zone = verdict.at.plan.zone if verdict.at else t.zone_of(schedule.timing, context)[0]
    decisions = [d for event in asked if (d := told(event, occurrence, zone)) is not None]
    if verdict.at is not None:
        decisions += planned(verdict.at)
    if verdict.event is not None and isinstance(verdict.event.body, o.OccurrenceMissed):
        decisions.append(decision(verdict.event, verdict.code, verdict.text))
    else:
        decisions.append(Decision(code=verdict.code, text=verdict.text))
    return Explanation(
        schedule=schedule.id,
        occurrence=occurrence if verdict.at is not None else None,
        slot=slot.local.isoformat(),
        fold=slot.fold,
        zone=zone,
        due_at=verdict.at.due_at if verdict.at else None,
        verdict=verdict.code,
        released=False,
        story=[entry.text for entry in decisions],
        decisions=decisions,
    )


def missed_run_covers(event: Recorded, slot: t.Slot) -> bool:
    """Does this event say that a run of slots with `slot` in it was missed?"""
    body = event.body
    return (
        isinstance(body, o.OccurrenceMissed)
        and (body.slot.local, body.slot.fold) <= (slot.local, slot.fold) <= (body.to.local, body.to.fold)
    )  # fmt: skip


def _judge(
    asked: Sequence[Recorded], schedule: s.Schedule, slot: t.Slot, missed: Sequence[Recorded], context: t.Context
) -> Verdict:
    at = s.planned(schedule, slot, context)
    if at is None:
        return _no_slot(asked, schedule, slot, context)
    zone = at.plan.zone
    run = next((event for event in missed if missed_run_covers(event, slot)), None)
    if run is not None and isinstance(run.body, o.OccurrenceMissed):
        many = f"one of {run.body.count} slots" if run.body.count > 1 else "the slot"
        text = f"Not sent: {many} that came too late; {policy_told(run.body.policy)}."
        return Verdict("missed", text, at, run)
    if slot in schedule.exceptions:
        return Verdict("skipped", "Not sent: this slot was taken out of the series.", at)
    born = asked[0]
    if at.due_at < born.meta.recorded_at and schedule.recurring:
        text = f"Not sent: it lies before the schedule was asked for, on {local(born.meta.recorded_at, zone)}."
        return Verdict("before_start", text, at)
    then = _as_of(asked, at)
    if then.status is s.Status.CANCELLED or (schedule.status is s.Status.CANCELLED and at.due_at > context.now):
        return Verdict("cancelled", "Not sent: the schedule was cancelled before it was due.", at)
    if at.due_at > context.now:
        if schedule.status is s.Status.PAUSED:
            text = "Nothing is sent while the schedule is paused; resumed before it is due, it goes out."
            return Verdict("paused", text, at)
        return Verdict("not_yet_due", f"Not yet due: it goes out at {local(at.due_at, zone)}.", at)
    if then.status is s.Status.PAUSED:
        return Verdict("paused", "Not sent: the schedule was paused when it came due.", at)
    if s.planned(then, slot, context) is None:
        return Verdict("before_start", "Not sent: at that time the schedule had another timing, without this slot.", at)
    given_up = _given_up(asked, at)
    if given_up is not None:
        return given_up
    if schedule.status is s.Status.PAUSED:
        return Verdict("paused", "It is due, but the schedule was paused before it could be claimed.", at)
    if schedule.status is s.Status.CANCELLED:
        return Verdict("cancelled", "Not sent: the schedule was cancelled before it could be claimed.", at)
    late = context.now - at.due_at
    text = f"It has been due for {late.total_seconds():.1f} s and waits for a worker or for a free place to send."
    return Verdict("waiting", text, at)


def _given_up(asked: Sequence[Recorded], at: t.Next) -> Verdict | None:
    """It was due and unclaimed when somebody made the series go on from a later slot: it will never come."""
    for event in asked:
        if event.meta.recorded_at < at.due_at or not sets_pointer(event.body):
            continue
        when, by = local(event.meta.recorded_at, at.plan.zone), who(event.meta.actor)
        match event.body:
            case s.ScheduleResumed(next=then) if then is None or then.due_at > at.due_at:
                text = (
                    f"Not sent: it was due but not claimed yet when the schedule was paused, and when {by} resumed it"
                )
                return Verdict("paused", f"{text} on {when}, it went on with its next slot.", at)
            case s.ScheduleChanged(next=then) if then is None or then.due_at > at.due_at:
                text = f"Not sent: it was due but not claimed yet when {by} changed the timing on {when}"
                return Verdict("replaced", f"{text}, and the series went on with a later slot.", at)
            case _:
                continue
    return None


def _as_of(asked: Sequence[Recorded], at: t.Next) -> s.Schedule:
    """The schedule as it stood at the slot's due instant; as created, if that is later."""
    before = [event for event in asked if event.meta.recorded_at <= at.due_at] or asked[:1]
    return fold_schedule(asked[0].stream, before)


def _no_slot(asked: Sequence[Recorded], schedule: s.Schedule, slot: t.Slot, context: t.Context) -> Verdict:
    outside = _outside(schedule.timing, slot)
    if outside is not None:
        return outside
    skipped = _passed_over(schedule, slot, context)
    if skipped is not None:
        return Verdict("gap_skipped" if skipped.code.startswith("gap") else skipped.code, f"Not sent: {skipped.text}")
    for end in range(len(asked) - 1, 0, -1):
        older = fold_schedule(schedule.id, asked[:end])
        changed = asked[end]
        if older.timing != schedule.timing and (at := t.find(older.timing, slot, context)) is not None:
            when = local(changed.meta.recorded_at, at.plan.zone)
            text = f"Not sent: {who(changed.meta.actor)} replaced the timing that had this slot on {when}."
            return Verdict("replaced", text, at)
    zone, _ = t.zone_of(schedule.timing, context)
    near = [found.slot.local.isoformat() for found in _near(schedule, slot, context)]
    hint = f" Near it: {', '.join(near)}." if near else ""
    return Verdict(
        "not_a_slot",
        f"Never a slot: {describe(schedule.timing)} does not meet {slot.local.isoformat()} ({zone}).{hint}",
    )


def _outside(timing: t.Timing, slot: t.Slot) -> Verdict | None:
    """The slot lies before the series' beginning or after its end."""
    if not isinstance(timing, t.Every):
        return None
    begin = timing.starts_at or (timing.anchor.local if timing.anchor else None)
    if begin is not None and slot.local < _midnight(begin):
        return Verdict("before_start", f"Not sent: the series begins only with {begin.isoformat()}.")
    if timing.ends_at is not None and slot.local.date() > _midnight(timing.ends_at).date():
        return Verdict("after_end", f"Not sent: the series ends with {timing.ends_at.isoformat()}.")
    return None


def _midnight(bound: date) -> datetime:
    return bound if isinstance(bound, datetime) else datetime(bound.year, bound.month, bound.day)  # noqa: DTZ001 - naive


def _passed_over(schedule: s.Schedule, slot: t.Slot, context: t.Context) -> t.Reason | None:
    """Why the rule's own walk leaves the slot out, if it names it."""
    if not schedule.recurring:
        return None
    found = t.preview(schedule.timing, 10, context, after=_roughly(slot, context) - _AROUND)
    named = next((item.reason for item in found.skipped if item.slot == slot), None)
    if named is not None:
        return named
    zone, _ = t.zone_of(schedule.timing, context)
    check_zone(zone, "timing.zone")
    if (
        gap_at(slot.local, zone) > timedelta(0)
        and isinstance(schedule.timing, t.Every)
        and schedule.timing.gap == "skip"
    ):
        return t.Reason(code="gap_skipped", text=f"{slot.local.isoformat()} does not exist in {zone} on that day.")
    return None


def _near(schedule: s.Schedule, slot: t.Slot, context: t.Context) -> list[t.Next]:
    """The slots right before and right after a local time that is none."""
    if not schedule.recurring:
        return [schedule.next] if schedule.next else []
    zone, _ = t.zone_of(schedule.timing, context)
    at = to_utc(slot.local, slot.fold, zone).replace(tzinfo=UTC)

    def after(instant: datetime) -> t.Next | None:
        return next(t.coming(schedule.timing, instant, context), None)

    # A series has no way back: the last instant behind which a slot lies that is before this one is halved for.
    earlier, later = at - _LONGEST_LOOK_BACK, at
    before = found if (found := after(earlier)) and found.due_at < at else None
    while before is not None and later - earlier > _A_SECOND:
        middle = earlier + (later - earlier) / 2
        found = after(middle)
        if found is not None and found.due_at < at:
            before, earlier = found, middle
        else:
            later = middle
    return [found for found in (before, after(at)) if found is not None]


def _roughly(slot: t.Slot, context: t.Context) -> datetime:
    """The slot's local time read as UTC: within a day of the truth."""
    return slot.local.replace(tzinfo=context.now.tzinfo)


def _plan_of(schedule: s.Schedule, history: Sequence[Recorded], context: t.Context) -> t.Next | None:
    """The slot with the plan that the occurrence's events were decided on: of one asked for again, as it first was."""
    for again in _asked_again(history)[:1]:
        # Its last reason is the asking, which has a line of its own, after what it was asked for.
        reasons = tuple(reason for reason in again.plan.reasons if reason.code != "backfill")
        plan = again.plan.model_copy(update={"reasons": reasons})
        return t.Next(slot=again.slot, number=again.number, due_at=again.was_due_at, plan=plan)
    told_of = [e for e in history if not isinstance(e.body, o.OccurrenceMissed | o.OccurrenceDeferred)]
    for event in [*told_of, *history]:
        body = event.body
        if isinstance(body, o.OccurrenceClaimed):
            return t.Next(slot=body.slot, number=body.number, due_at=body.due_at, plan=body.plan)
        if isinstance(body, o.OccurrenceEnded) and body.slot and body.due_at and body.plan:
            return t.Next(slot=body.slot, number=body.number, due_at=body.due_at, plan=body.plan)
        if isinstance(body, o.OccurrenceMissed | o.OccurrenceDeferred):
            return t.find(schedule.timing, body.slot, context)
    return None


def _asked_again(history: Sequence[Recorded]) -> list[o.OccurrenceBackfilled]:
    """How it was asked for after it had not been sent: by a backfill, and by another where that one expired."""
    return [event.body for event in history if isinstance(event.body, o.OccurrenceBackfilled)]


def _verdict_of(state: o.Occurrence | None) -> str:
    if state is None:
        return "waiting"
    return state.outcome.value if state.phase is o.Phase.ENDED and state.outcome else state.phase.value
