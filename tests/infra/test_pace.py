"""Specifications of the pace at which the log is written and read."""

import pytest

from horae.infra.eventstore.pace import Pace


class _Time:
    """A clock that moves only by sleeping and by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def _pace(time: _Time) -> Pace:
    return Pace(0.002, 0.016, lambda: time.now, time.sleep)


def test_the_first_turn_begins_at_once() -> None:
    """Nothing came before it."""
    time = _Time()
    _pace(time).wait()
    assert time.slept == []


@pytest.mark.parametrize(("brought", "pause_s"), [(0, 0.0), (1, 0.002), (5, 0.010), (8, 0.016), (500, 0.016)])
def test_what_a_turn_brought_holds_back_the_next_up_to_the_longest(brought: int, pause_s: float) -> None:
    """Counted from the turn's beginning."""
    time = _Time()
    pace = _pace(time)
    pace.begin()
    pace.brought(brought)
    pace.wait()
    assert sum(time.slept) == pytest.approx(pause_s)


def test_a_turn_that_took_its_time_holds_back_nothing() -> None:
    """A lone command after a slow commit is taken at once."""
    time = _Time()
    pace = _pace(time)
    pace.begin()
    time.now += 0.020
    pace.brought(8)
    pace.wait()
    assert time.slept == []
