"""What recipients do with what they got: answers, machines, silence, and what is not taken."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from horae.domain import occurrence as o
from horae.domain import timing as t
from horae.domain.engagement import ANSWERS, WINDOW, Kind, machine_of
from horae.domain.errors import Conflict, Invalid
from tests.domain.makers import DAY, HOUR, NOW, OWNER, REF, SCHEDULE, next_on
from tests.domain.spec import given_occurrence, occurrence_of

COMMON: dict[str, Any] = {"schedule": SCHEDULE, "recipient_ref": REF, "priority": 2}
MINUTE = timedelta(minutes=1)
CHOICE = t.Choice(at=next_on(1).slot.local, level="recipient", confidence=0.9, features=(1.0, 0.5))


def claimed(choice: t.Choice | None = None) -> o.OccurrenceClaimed:
    """Its first attempt began at `NOW`."""
    at = next_on(1)
    return o.OccurrenceClaimed(
        **COMMON,
        schedule_version=1,
        origin="slot",
        slot=at.slot,
        due_at=at.due_at,
        plan=at.plan.model_copy(update={"choice": choice, "zone": "Europe/Berlin"}),
        owner=OWNER,
        moves=True,
    )


def delivered() -> o.OccurrenceEnded:
    """The channel took it."""
    return o.OccurrenceEnded(**COMMON, outcome=o.Outcome.DELIVERED, reason="so", attempt=1, started_at=NOW)


def engage(kind: Kind = Kind.OPENED, after: timedelta = HOUR, now: timedelta = DAY, **more: Any) -> o.Engage:
    """Something was done so long after it was sent, and told `now` after that."""
    at = NOW + after
    return o.Engage(about=claimed(), kind=kind, at=at, now=at + now, default_zone="UTC", **more)


def close(after: timedelta = WINDOW) -> o.CloseWindow:
    """The window is looked at so long after it was sent."""
    return o.CloseWindow(about=claimed(), now=NOW + after, default_zone="UTC")


def engaged(**more: Any) -> o.OccurrenceEngaged:
    """What is stored of an opening after an hour."""
    return o.OccurrenceEngaged(**{**COMMON, "kind": Kind.OPENED, "at": NOW + HOUR, **more})


def test_the_first_answer_of_a_person_is_what_is_learnt_from() -> None:
    """It says when the message went out, in which zone that is read, and what the plan had foretold."""
    answer = engaged(answers=True, sent_at=NOW, zone="Europe/Berlin", foretold=(1.0, 0.5))
    given_occurrence(claimed(CHOICE), delivered()).when(engage()).then(answer)
    given_occurrence(claimed(CHOICE), delivered(), answer).when(engage()).then(engaged())
    given_occurrence(claimed(CHOICE), delivered(), answer).when(close()).then()


@pytest.mark.parametrize("kind", sorted(set(Kind) - ANSWERS))
def test_dismissing_is_no_answer(kind: Kind) -> None:
    """It is kept, and the window stays open."""
    given_occurrence(claimed(), delivered()).when(engage(kind)).then(engaged(kind=kind))


def test_silence_counts_when_the_window_is_over() -> None:
    """Once, and not before; an answer that comes later is kept and not learnt from."""
    silence = o.OccurrenceUnanswered(**COMMON, sent_at=NOW, zone="Europe/Berlin")
    given_occurrence(claimed(), delivered()).when(close(WINDOW - MINUTE)).then()
    given_occurrence(claimed(), delivered()).when(close()).then(silence)
    given_occurrence(claimed(), delivered(), silence).when(close()).then()
    given_occurrence(claimed(), delivered(), silence).when(engage()).then(engaged())
    state = occurrence_of(claimed(), delivered(), silence)
    assert state is not None
    assert (state.answered, state.outcome) == (False, o.Outcome.DELIVERED)


def test_what_was_never_sent_is_neither_answered_nor_awaited() -> None:
    """There is nothing that anybody could have answered."""
    given_occurrence().when(engage()).then_raises(Conflict, field="occurrence_id")
    given_occurrence(claimed()).when(close()).then()
    ended = o.OccurrenceEnded(**COMMON, outcome=o.Outcome.DEAD_LETTERED, reason="so", attempt=1, started_at=NOW)
    given_occurrence(claimed(), ended).when(close()).then()


def test_late_reports_are_taken_within_a_bound() -> None:
    """Thirty days; and clocks may differ by five minutes."""
    past = (claimed(), delivered())
    given_occurrence(*past).when(engage(now=30 * DAY)).then(engaged(answers=True, sent_at=NOW, zone="Europe/Berlin"))
    given_occurrence(*past).when(engage(now=30 * DAY + MINUTE)).then_raises(Invalid, field="at")
    given_occurrence(*past).when(engage(now=-6 * MINUTE)).then_raises(Invalid, field="at")


@pytest.mark.parametrize(
    ("agent", "after", "declared", "reason"),
    [
        (None, HOUR, True, "declared"),
        (None, timedelta(seconds=9), False, "within 10 s"),
        (None, timedelta(seconds=10), False, None),
        ("Mozilla/5.0", HOUR, False, "agent: mail privacy protection"),
        ("Mozilla/5.0 (via ggpht.com GoogleImageProxy)", HOUR, False, "agent: GoogleImageProxy"),
        ("Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0", HOUR, False, None),
        ("Slackbot-LinkExpanding 1.0", HOUR, False, "agent: bot"),
    ],
)
def test_machines_are_told_by_what_they_say_and_how_fast_they_are(
    agent: str | None, after: timedelta, declared: bool, reason: str | None
) -> None:
    """A gateway that looks for viruses is no person, and answers nothing."""
    assert machine_of(Kind.OPENED, NOW + after, NOW, agent, declared=declared) == reason
    (body,) = o.decide(engage(after=after, agent=agent, machine=declared), occurrence_of(claimed(), delivered()))
    assert isinstance(body, o.OccurrenceEngaged)
    assert (body.machine, body.answers) == (reason, reason is None)
