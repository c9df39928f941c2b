"""Specifications of deciders: `given(*events).when(command).then(*events)` or `.then_raises(Error, field=...)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pytest

from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain.envelope import Event
from horae.domain.errors import HoraeError
from tests.domain.makers import OCCURRENCE, SCHEDULE

S = TypeVar("S")


@dataclass(frozen=True)
class When(Generic[S]):
    """A command met a state; nothing is decided until it is asked what follows."""

    state: S
    decide: Callable[[], Sequence[Event]]

    def then(self, *expected: Event) -> None:
        """Exactly these events follow; none: nothing is to be done."""
        assert list(self.decide()) == list(expected)

    def then_raises(self, error: type[HoraeError], *, field: str | None = None, value: Any = None) -> HoraeError:
        """It is refused by exactly that error, which names the field, the value, and what to do."""
        with pytest.raises(error) as caught:
            self.decide()
        assert type(caught.value) is error
        if field is not None:
            assert (caught.value.field, caught.value.hint is not None) == (field, True)
        if value is not None:
            assert caught.value.value == value
        return caught.value

    def events(self) -> Sequence[Event]:
        """What follows, for looking at parts of it."""
        return self.decide()


@dataclass(frozen=True)
class GivenSchedule:
    """A schedule's past."""

    state: s.Schedule

    def when(self, command: s.Command) -> When[s.Schedule]:
        return When(self.state, lambda: s.decide(command, self.state))


@dataclass(frozen=True)
class GivenOccurrence:
    """An occurrence's past; no events: it is unclaimed."""

    state: o.Occurrence | None

    def when(self, command: o.Command) -> When[o.Occurrence | None]:
        return When(self.state, lambda: o.decide(command, self.state))


def schedule_of(*events: s.ScheduleEvent) -> s.Schedule:
    """The fold of a schedule's events."""
    state: s.Schedule | None = None
    for event in events:
        state = s.evolve(state, SCHEDULE, event)
    assert state is not None
    return state


def occurrence_of(*events: o.AnyOccurrenceEvent) -> o.Occurrence | None:
    """The fold of an occurrence's events."""
    state: o.Occurrence | None = None
    for event in events:
        state = o.evolve(state, OCCURRENCE, event)
    return state


def given(*events: s.ScheduleEvent) -> GivenSchedule:
    """A schedule with these events."""
    return GivenSchedule(schedule_of(*events))


def given_occurrence(*events: o.AnyOccurrenceEvent) -> GivenOccurrence:
    """An occurrence with these events."""
    return GivenOccurrence(occurrence_of(*events))
