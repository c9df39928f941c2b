"""What should have been, and whether it was: the promises of the design, held against one history's log.

Place in the simulation: after everything has come to rest. The judge reads events as facts (who was told what, in which
order) and reckons slots by `calendar`; it asks neither the deciders nor the read models what they think.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any
from uuid import UUID

from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain.delivery import MAX_LOST_ATTEMPTS, Mode
from horae.domain.envelope import Recorded
from tests.simulation.clients import Client, Told
from tests.simulation.completeness import complete
from tests.simulation.facts import SlotKey, Story, Verdict, check, same_rule
from tests.simulation.outside import Call

_CLAIMS = (o.OccurrenceClaimed, o.AttemptStarted)


def judge(
    log: list[Recorded], clients: list[Client], calls: list[Call], *, until: datetime, settled_by: datetime
) -> Verdict:
    """Hold promises 1 to 4 against a history that ended at `until`; what was due by `settled_by` must have ended.

    Raises `Broken`.
    """
    verdict = Verdict()
    by_schedule: dict[UUID, dict[UUID, list[Recorded]]] = defaultdict(lambda: defaultdict(list))
    streams: dict[UUID, list[Recorded]] = defaultdict(list)
    for event in log:
        streams[event.stream].append(event)
        if isinstance(event.body, o.OccurrenceEvent):
            by_schedule[event.body.schedule][event.stream].append(event)
    for client in clients:
        for told in client.told:
            _durable(told, log, streams)
        if client.schedule is None:
            continue
        story = Story(client, client.schedule, streams[client.schedule], by_schedule[client.schedule])
        _one_effect_per_request(story, log)
        _wishes(story)
        for history in story.occurrences.values():
            _one_claim(history)
            _ended_once(history)
            _as_asked(story, history)
        _fences(story)
        _told_of_claims(story)
        complete(story, until, settled_by, verdict)
    _calls(log, calls, streams)
    return verdict


# --- promise 1: what was answered is there, and once -----------------------------------------------------------------


def _durable(told: Told, log: list[Recorded], streams: dict[UUID, list[Recorded]]) -> None:
    if told.result != "ok" or told.answer is None:
        return
    answer = told.answer
    stream = streams.get(answer.id, [])
    check(
        len(stream) >= answer.version, f"1: {told.key} was answered with version {answer.version}, which is not there"
    )
    event = stream[answer.version - 1]
    check(
        event.position <= told.answered_at,
        f"1: {told.key} was answered at {told.answered_at}, before position {event.position} was stored",
    )


def _one_effect_per_request(story: Story, log: list[Recorded]) -> None:
    triggers = [event for event in story.asked if isinstance(event.body, s.ScheduleTriggered)]
    wanted = [told for told in story.client.told if told.operation == "trigger" and told.result != "conflict"]
    check(len(triggers) <= len(wanted), f"1: {len(triggers)} triggers stored, {len(wanted)} asked for")
    creations = [
        event
        for event in log
        if isinstance(event.body, s.ScheduleCreated) and event.meta.actor == f"client:{story.client.name}"
    ]
    check(len(creations) == 1, f"1: one creation became {len(creations)} schedules")


def _wishes(story: Story) -> None:
    """Which timing holds from which version on: by the content of the events, and what the client meant by it."""
    meant = [told.detail["wish"] for told in story.client.told if "wish" in told.detail]
    for event in story.asked:
        if isinstance(event.body, s.ScheduleCreated | s.ScheduleChanged):
            timing = event.body.definition.timing.model_dump(exclude={"anchor"})
            fits = [wish for wish in meant if wish.timing().model_dump(exclude={"anchor"}) == timing]
            check(fits, f"1: nobody asked for the timing of version {event.version}")
            story.wishes[event.version] = fits[0]


# --- promise 2: one claim, one owner per attempt ---------------------------------------------------------------------


def _one_claim(history: list[Recorded]) -> None:
    id_ = history[0].stream
    claims = [event for event in history if isinstance(event.body, o.OccurrenceClaimed)]
    check(len(claims) <= 1, f"2: {id_} was claimed {len(claims)} times")
    attempts = [e.body.attempt for e in history if isinstance(e.body, o.AttemptStarted)]
    check(attempts == list(range(2, len(attempts) + 2)), f"2: {id_} has the attempts {attempts}")
    check([e.version for e in history] == list(range(1, len(history) + 1)), f"2: versions of {id_}")


def _ended_once(history: list[Recorded]) -> None:
    over: Recorded | None = None
    for event in history:
        match event.body:
            case o.OccurrenceReplayed():
                check(over is not None, f"2: {event.stream} was replayed before it had ended")
                over = None
            case o.SlotPassed() | o.DeliveryReported():
                pass
            case _:
                check(over is None, f"2: {event.stream} goes on with {event.body.name} after its end")
        if isinstance(event.body, o.OccurrenceEnded | o.OccurrenceMissed):
            over = event


def _as_asked(story: Story, history: list[Recorded]) -> None:
    """Attempts and their ends are what the schedule's delivery allows."""
    asked, failures, lost = story.client.draft, 0, 0
    assert asked is not None
    for event in history:
        match event.body:
            case o.OccurrenceReplayed():
                failures = lost = 0
            case o.AttemptFailed(failure=failure):
                failures += failure.kind != "owner_lost"
                lost += failure.kind == "owner_lost"
                again = event.body.retry_at is not None
                check(failures <= asked.delivery.retry.retries + 1, f"2: {event.stream} failed {failures} times")
                if asked.delivery.mode is Mode.AT_MOST_ONCE and again:
                    check(failure.nothing_arrived, f"2: {event.stream} is sent again although it may have arrived")
            case o.OccurrenceEnded(outcome=o.Outcome.DEAD_LETTERED):
                before = history[event.version - 2].body
                assert isinstance(before, o.AttemptFailed)
                used_up = failures > asked.delivery.retry.retries or lost >= MAX_LOST_ATTEMPTS
                refused = not before.failure.retryable or asked.delivery.mode is Mode.AT_MOST_ONCE
                check(used_up or refused, f"4: {event.stream} was given up after {failures} failures")
            case _:
                pass


# --- promise 3: nothing fires behind a client's back -----------------------------------------------------------------


def _fences(story: Story) -> None:
    """Position by position: while it is cancelled or paused, or the slot is skipped, nothing is claimed or tried."""
    events = sorted([*story.asked, *(e for h in story.occurrences.values() for e in h)], key=lambda e: e.position)
    status, version, skipped = "active", 0, set[SlotKey]()
    content: Any = None
    for event in events:
        match event.body:
            case s.SchedulePaused():
                status = "paused"
            case s.ScheduleResumed():
                status = "active"
            case s.ScheduleCancelled():
                status = "cancelled"
            case s.SlotSkipped(slot=slot):
                skipped.add((slot.local, slot.fold))
            case s.SlotUnskipped(slot=slot):
                skipped.discard((slot.local, slot.fold))
            case s.ScheduleChanged() if not event.body.next_unchanged:
                before = story.wishes[max(v for v in story.wishes if v < event.version)]
                if not same_rule(before, story.wishes[event.version]):
                    skipped.clear()
        if isinstance(event.body, s.ScheduleCreated | s.ScheduleChanged):
            content = event.body.personal.content
        if isinstance(event.body, _CLAIMS):
            what = f"{event.body.name} of {event.stream} at position {event.position}"
            check(status == "active", f"3: {what} although the schedule is {status}")
            check(event.body.schedule_version == version, f"3: {what} stands on version {event.body.schedule_version}")
            check(content is not None, f"3: {what} before the schedule was created")
        if isinstance(event.body, o.OccurrenceClaimed) and event.body.origin == "slot":
            slot = event.body.slot
            check((slot.local, slot.fold) not in skipped, f"3: the skipped slot {slot.local} was claimed")
        if event.stream == story.schedule:
            version = event.version


def _told_of_claims(story: Story) -> None:
    """The answer to a cancel, pause or change names at least what was claimed and had not ended when it was stored."""
    for told in story.client.told:
        if told.answer is None or told.answer.already_claimed is None or told.answer.replayed:
            continue
        position = told.answer.position
        # What ended before the answer was put together need not be named.
        for id_, history in story.occurrences.items():
            claimed = any(isinstance(e.body, o.OccurrenceClaimed) and e.position < position for e in history)
            ended = any(isinstance(e.body, o.OccurrenceEnded) and e.position <= told.answered_at for e in history)
            named = id_ in told.answer.already_claimed
            check(named or not claimed or ended, f"3: {told.key} does not name the claimed {id_}")


# --- what really left the house --------------------------------------------------------------------------------------


def _calls(log: list[Recorded], calls: list[Call], streams: dict[UUID, list[Recorded]]) -> None:
    """Every call of a channel is one attempt of the log, by its owner, after it was stored; delivered means taken."""
    opened: dict[tuple[UUID, int], Recorded] = {}
    for event in log:
        match event.body:
            case o.OccurrenceClaimed():
                opened[event.stream, 1] = event
            case o.AttemptStarted(attempt=attempt):
                opened[event.stream, attempt] = event
            case _:
                pass
    seen: dict[tuple[UUID, int], Call] = {}
    for call in calls:
        release = call.release
        key = (release.occurrence, release.attempt)
        check(key in opened, f"2: {key} was sent and is not on record")
        event = opened[key]
        body = event.body
        assert isinstance(body, _CLAIMS)
        check(key not in seen, f"2: attempt {release.attempt} of {release.occurrence} was sent twice")
        check(event.position <= call.position, f"2: {key} was sent before its claim was stored")
        check(body.owner == call.owner, f"2: {key} belongs to {body.owner} and was sent by {call.owner}")
        definition = streams[release.schedule][: body.schedule_version]
        content = next(e.body.personal.content for e in reversed(definition) if hasattr(e.body, "personal"))
        check(dict(release.content) == content, f"3: {key} was sent with another version's content")
        seen[key] = call
    for event in log:
        if isinstance(event.body, o.OccurrenceEnded) and event.body.outcome is o.Outcome.DELIVERED:
            call_ = seen.get((event.stream, event.body.attempt))
            check(
                call_ is not None and call_.answer == "ok", f"2: {event.stream} counts as delivered and was not taken"
            )
