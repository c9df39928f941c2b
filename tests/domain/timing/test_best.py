"""The timing `best`: windows, allowed hours, and the moment that is taken where nobody is asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horae.domain import errors
from horae.domain import timing as t
from horae.domain.timing.best import Best, stretches, unlearnt
from tests.domain.timing.cases import context, take, timing

NOW = "2026-03-27T12:00:00Z"
CTX = context(NOW, recipient_zone="Europe/Berlin")
WINDOW = {"kind": "best", "from": "2026-03-30T08:00", "to": "2026-03-30T20:00"}


def due(**fields: object) -> t.Next:
    """Its one slot."""
    (slot,) = take(t.normalise(timing(**fields), CTX), CTX, 2)
    return slot


@pytest.mark.covers("OPT-06")
def test_where_nobody_is_asked_the_default_time_is_taken_and_said() -> None:
    """Nine o'clock in the recipient's zone, or the nearest to it that the window leaves open."""
    slot = due(**WINDOW)
    assert (slot.due_at.isoformat(), slot.plan.zone) == ("2026-03-30T07:00:00+00:00", "Europe/Berlin")
    assert slot.plan.choice is not None
    assert slot.plan.choice.level == "default"
    assert "default time" in slot.plan.reasons[-1].text
    assert due(**WINDOW | {"from": "2026-03-30T10:05"}).due_at.isoformat() == "2026-03-30T08:05:00+00:00"
    assert due(**WINDOW | {"to": "2026-03-30T08:40"}).due_at.isoformat() == "2026-03-30T06:25:00+00:00"
    assert due(**WINDOW | {"fallback": "18:30"}).due_at.isoformat() == "2026-03-30T16:30:00+00:00"


def test_the_choice_moves_the_instant_and_never_the_slot() -> None:
    """The window's beginning is the slot, whatever was chosen."""
    settled = t.normalise(timing(**WINDOW), CTX)
    choice = t.Choice(at=datetime(2026, 3, 30, 18, 40), level="recipient", confidence=0.9, chance=0.3)  # noqa: DTZ001
    (slot,) = take(settled, replace(CTX, choice=choice), 2)
    assert slot.slot == due(**WINDOW).slot
    assert slot.due_at.isoformat() == "2026-03-30T16:40:00+00:00"
    assert slot.plan.choice == choice
    assert "18:40 was chosen" in slot.plan.reasons[-1].text


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"to": "2026-03-30T08:00"}, "timing.to"),
        ({"to": "2026-04-07T08:00"}, "timing.to"),
        ({"from": "2026-03-20T08:00", "to": "2026-03-20T20:00"}, "timing.to"),
        ({"zone": "Mars/Olympus"}, "timing.zone"),
        ({"hours": {"start": "21:00", "end": "22:00"}}, "timing.hours"),
        ({"hours": {"start": "12:00", "end": "09:00"}}, "timing.hours.end"),
    ],
)
def test_a_window_that_nothing_fits_in_is_refused_by_name(fields: dict[str, object], field: str) -> None:
    """Before anything is stored."""
    with pytest.raises(errors.Invalid) as refused:
        t.normalise(timing(**WINDOW | fields), CTX)
    assert refused.value.field == field


CLOCKS = st.integers(0, 95).map(lambda quarter: f"{quarter // 4:02}:{quarter % 4 * 15:02}")


@given(
    begin=st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)),  # noqa: DTZ001
    minutes=st.integers(1, 7 * 24 * 60),
    hours=st.none() | st.tuples(CLOCKS, CLOCKS).filter(lambda pair: pair[0] < pair[1]),
    late=st.integers(-600, 7 * 24 * 60),
    fallback=CLOCKS,
)
def test_what_is_taken_lies_within_the_window_and_its_hours(
    begin: datetime, minutes: int, hours: tuple[str, str] | None, late: int, fallback: str
) -> None:
    """Whatever the time of day, and however much of the window has passed, while anything of it is left."""
    allowed = None if hours is None else {"start": hours[0], "end": hours[1]}
    end = begin + timedelta(minutes=minutes)
    best = Best.model_validate({"from": begin, "to": end, "hours": allowed, "fallback": fallback})
    open_ = stretches(best, begin + timedelta(minutes=late))
    at = unlearnt(best, begin + timedelta(minutes=late), "").at
    assert all(start < end for start, end in open_)
    assert not open_ or any(start <= at < end for start, end in open_)
