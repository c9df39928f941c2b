"""The drawn transitions are those of the code: drawn ones are taken, and no other happens."""

import re
from pathlib import Path
from uuid import UUID

import pytest

from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.delivery import Delivery, Mode
from horae.domain.envelope import Event
from horae.domain.errors import Conflict, HoraeError
from tests.domain.makers import DAY, HOUR, NOW, OWNER, claimed, context, created, ended, failed, failure, next_on, slot
from tests.domain.spec import occurrence_of, schedule_of

Transitions = set[tuple[str, str, str]]
DUE = next_on(1).due_at


def drawn(heading: str) -> Transitions:
    text = (Path(__file__).parents[2] / "docs" / "states.md").read_text(encoding="utf-8")
    section = text.split(f"## {heading}", 1)[1].split("```mermaid", 1)[1].split("```", 1)[0]
    arrows = re.findall(r"(\S+) --> (\S+): (\S+)", section)
    return {("" if source == "[*]" else source, target, label) for source, target, label in arrows}


def label(event: Event) -> str:
    return event.name.split(".")[1]


@pytest.mark.covers("SCH-11", "DAT-13.01")
def test_the_drawn_transitions_of_a_schedule_are_the_codes() -> None:
    """Every command in every status."""
    skipped = s.SlotSkipped(slot=slot(3), occurrence=next_id(), due_at=NOW, next_unchanged=True)
    pasts: list[tuple[s.ScheduleEvent, ...]] = [
        (created(), skipped),
        (created(), skipped, s.SchedulePaused()),
        (created(), skipped, s.ScheduleCancelled()),
    ]
    current = s.Current(next=next_on(1))
    commands: list[s.Command] = [
        s.ChangeSlot(slot=slot(2), changes={"priority": 5}, context=context(), current=current),
        s.Change(changes={"priority": 5}, context=context(), current=current),
        s.Pause(),
        s.Resume(context=context(), current=current),
        s.Cancel(),
        s.Trigger(trigger=next_id(), context=context()),
        s.Backfill(backfill=next_id(), begin=NOW - DAY, end=NOW, count=1),
        s.Skip(slot=slot(2), context=context(), current=current),
        s.Unskip(slot=slot(3), context=context(), current=current),
    ]
    coded: Transitions = {("", schedule_of(created()).status.value, "created")}
    for past in pasts:
        before = schedule_of(*past)
        for command in commands:
            try:
                events = s.decide(command, before)
            except Conflict:
                continue
            coded |= {(before.status.value, schedule_of(*past, event).status.value, label(event)) for event in events}
    assert coded == drawn("A schedule")


def test_the_drawn_transitions_of_an_occurrence_are_the_codes() -> None:
    """Every command in every phase, with a schedule in every status."""
    coded: Transitions = set()
    for past in PASTS:
        for schedule in SCHEDULES:
            for command in commands_of(schedule):
                coded |= taken(past, command)
    told = {t_ for t_ in coded if t_[2] in ("passed", "delivery_reported")}
    assert all(source == target for source, target, _ in told)
    assert coded - told == drawn("An occurrence")


def taken(past: tuple[o.AnyOccurrenceEvent, ...], command: o.Command) -> Transitions:
    state = occurrence_of(*past)
    try:
        events = o.decide(command, state)
    except HoraeError:
        return set()
    found: Transitions = set()
    for event in events:
        after = o.evolve(state, claimed().schedule, event)
        found.add((state.phase.value if state else "", after.phase.value, label(event)))
        state = after
    return found


def next_id() -> UUID:
    return claimed().schedule


DEFERRED = o.OccurrenceDeferred(
    schedule=claimed().schedule,
    recipient_ref="r_17",
    priority=2,
    schedule_version=1,
    origin="slot",
    slot=slot(1),
    due_at=DUE,
    until=DUE + HOUR,
    rule="quiet_hours",
    reason="night",
    moves=True,
)
MISSED = o.OccurrenceMissed(
    schedule=claimed().schedule,
    recipient_ref="r_17",
    priority=2,
    schedule_version=1,
    slot=slot(1),
    due_at=DUE,
    to=slot(1),
    to_due_at=DUE,
    count=1,
    policy="skip",
)
PASTS: list[tuple[o.AnyOccurrenceEvent, ...]] = [
    (),
    (DEFERRED,),
    (MISSED,),
    (claimed(),),
    (claimed(), failed()),
    (claimed(), ended(o.Outcome.DEAD_LETTERED)),
    (claimed(), ended(o.Outcome.DELIVERED)),
]
SKIP_MISSED = t.Every(
    cron="0 9 * * *", zone="UTC", missed=t.Missed.model_validate({"policy": "skip", "within": "PT1M"})
)
SCHEDULES: list[s.Schedule] = [
    schedule_of(created()),
    schedule_of(created(delivery=Delivery(mode=Mode.AT_MOST_ONCE))),
    schedule_of(created(SKIP_MISSED)),
    schedule_of(created(expires_after=HOUR)),
    schedule_of(created(), s.SchedulePaused()),
    schedule_of(created(), s.ScheduleCancelled()),
]


def commands_of(schedule: s.Schedule) -> list[o.Command]:
    commands: list[o.Command] = [
        o.StartAttempt(schedule=schedule, owner=OWNER, now=NOW + DAY),
        o.RecordDelivered(schedule=schedule, attempt=1, started_at=NOW, duration_ms=1.0),
        o.RecordFailed(schedule=schedule, attempt=1, failure=failure(), started_at=NOW, duration_ms=1.0, now=NOW),
        o.RecoverLost(schedule=schedule, owner=OWNER, now=NOW),
        o.Replay(schedule=schedule, now=NOW),
        o.Backfill(schedule=schedule, backfill=next_id(), at=next_on(1), under=1, due_at=NOW + DAY),
        o.ReportDelivery(schedule=schedule, status="bounced", at=NOW),
    ]
    rows: tuple[o.Row, ...] = ("slot", "occurrence")
    for row in rows:
        commands += [
            o.Fire(
                schedule=schedule,
                at=next_on(1),
                row=row,
                origin="slot",
                owner=OWNER,
                now=now,
                context=context(now),
            )
            for now in (DUE, DUE + 3 * DAY)
        ]
        facts = {
            "schedule": schedule,
            "at": next_on(1),
            "row": row,
            "origin": "slot",
            "rule": "quiet_hours",
            "reason": "night",
            "context": context(),
        }
        commands += [o.Defer(until=DUE + HOUR, **facts), o.Suppress(**facts)]  # type: ignore[arg-type]
    return commands
