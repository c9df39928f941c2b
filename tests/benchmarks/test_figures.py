"""What is reckoned from what was seen."""

from __future__ import annotations

import math
import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.figures import (
    Budget,
    Fired,
    Row,
    at_least,
    at_most,
    fired_of,
    flatness,
    lead_s,
    percentile,
    stored_of,
)

_FINITE = st.floats(-1e6, 1e6)


@given(st.lists(_FINITE, min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_one_of_the_values_and_not_exceeded_by_its_share(values: list[float], share: float) -> None:
    """And no smaller value would do."""
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) < share * len(values)


@pytest.mark.parametrize(("share", "found"), [(0.5, 50), (0.99, 99), (0.999, 100), (1, 100), (0.001, 1)])
def test_percentiles_of_a_hundred(share: float, found: float) -> None:
    """Nearest rank: of 1 to 100 the p99 is 99, not 100."""
    assert percentile(range(1, 101), share) == found


def test_of_nothing_there_is_no_percentile() -> None:
    """And no verdict of `met` can come of it."""
    assert math.isnan(percentile([], 0.5))
    assert not at_most(50)(percentile([], 0.99))


def release(occurrence: str, late_ms: int, subject: str = "this round") -> dict[str, Any]:
    return {
        "occurrence_id": occurrence,
        "content": {"subject": subject},
        "due_at": "2026-11-23T09:00:00Z",
        "released_at": f"2026-11-23T09:00:{late_ms // 1000:02}.{late_ms % 1000:03}Z",
    }


def test_lateness_counts_the_lost_as_late_for_ever() -> None:
    """One of ten that never came spoils the p99 and the share within a second, and not the p50."""
    fired = fired_of([release(str(n), 20 + n) for n in range(9)], 10, "this round")
    assert (fired.lost, fired.double) == (1, 0)
    assert fired.ms(0.5) == pytest.approx(24)
    assert fired.ms(0.99) == math.inf
    assert fired.within_1s == pytest.approx(0.9)


def test_a_second_release_is_counted_as_double_and_makes_up_for_no_lost_one() -> None:
    """Two lines of the same occurrence are one message that went out twice."""
    fired = fired_of([release("a", 5), release("a", 900), release("b", 1_001)], 3, "this round")
    assert (fired.lost, fired.double) == (1, 1)
    assert fired.within_1s == pytest.approx(1 / 3)


def test_a_further_attempt_is_told_apart_and_is_double_all_the_same() -> None:
    """Who receives it twice has it twice."""
    fired = fired_of([release("a", 5), release("a", 900) | {"attempt": 2}, release("b", 7)], 2, "this round")
    assert (fired.double, fired.again) == (1, 1)
    fired.claimed = fired.ended = 2
    assert not fired.whole


def test_other_rounds_do_not_count() -> None:
    """The file of releases holds everything since the service began."""
    assert fired_of([release("a", 5, "another round")], 1, "this round").lost == 1


def test_the_median_counts_and_what_is_not_clean_is_missed() -> None:
    """A good median with an error in a round is no target met."""
    rounds = (2_600.0, 2_400.0, 2_700.0)
    assert Row("creates", rounds, good=at_least(2_500)).verdict == "met"
    assert Row("creates", rounds, good=at_least(2_500), clean=False).verdict == "MISSED"
    assert Row("creates", rounds, good=at_least(2_601)).verdict == "MISSED"
    assert Row("creates", rounds).verdict == ""
    assert Row("creates", ()).verdict == "not measured"
    assert Row("creates", rounds, beside="0 errors").shown() == "2,600  (2,600 2,400 2,700); 0 errors"


@given(st.lists(_FINITE, min_size=1, max_size=9))
def test_the_median_is_the_usual_one(rounds: list[float]) -> None:
    """As the library has it."""
    assert Row("", tuple(rounds)).median == statistics.median(rounds)


def test_a_budget_is_not_exceeded_and_remembers_what_it_left_out() -> None:
    """A round that would end too late does not begin, and what was seen counts for more than what was expected."""
    budget = Budget(100)
    assert budget.allows("creates", expected_s=30, spent_s=70)
    assert not budget.allows("replay", expected_s=31, spent_s=70)
    assert not budget.allows("replay", expected_s=31, spent_s=70)
    budget.took_s["creates"] = 60
    assert not budget.allows("creates", expected_s=30, spent_s=70)
    assert budget.left_out == {"replay": 2, "creates": 1}


def test_what_was_answered_and_is_not_in_the_log_is_missing() -> None:
    """And what is in the log beyond that was an answer that did not arrive."""
    assert stored_of({"created": 10}, 9)["missing"] == 1
    assert stored_of({"created": 10}, 10)["missing"] == 0
    assert stored_of({"created": 10}, 11)["missing"] == 0


@pytest.mark.parametrize(("claimed", "ended"), [(None, None), (2, 1), (1, 2), (3, 2), (2, 3)])
def test_each_once_is_whole_only_if_the_log_says_so_too(claimed: int | None, ended: int | None) -> None:
    """A claim too many is a message that may go out a second time."""
    fired = fired_of([release("a", 5), release("b", 6)], 2, "this round")
    fired.claimed, fired.ended = 2, 2
    assert fired.whole
    fired.claimed, fired.ended = claimed, ended
    assert not fired.whole


def test_a_flat_series_is_flat_and_a_growing_one_is_not() -> None:
    """The first quarter is warm-up, and a single peak is no growth."""
    warm_up = [10.0, 30.0, 60.0]
    level = [100.0, 101, 99, 100, 250, 100, 99, 101, 100]
    assert flatness(warm_up + level, 1.1).flat
    growing = [100.0 + 5 * n for n in range(12)]
    found = flatness(growing, 1.1)
    assert not found.flat
    assert found.growth == pytest.approx(150 / 120 - 1)


def test_of_too_few_figures_nothing_is_called_flat() -> None:
    """A soak that was broken off shows nothing."""
    assert not flatness([1.0, 1.0, 1.0], 2).flat
    assert not flatness([], 2).flat


def test_a_series_at_nothing_may_grow_by_the_slack_alone() -> None:
    """Ten times nothing is nothing."""
    assert flatness([0.0] * 8, 2).flat
    assert flatness([0.0] * 4 + [3.0] * 4, 2, slack=5).flat
    assert not flatness([0.0] * 4 + [30.0] * 4, 2, slack=5).flat


def test_the_asking_ends_before_the_first_is_due() -> None:
    """With half as much time again as it should take."""
    assert lead_s(6_000, 3_000) == pytest.approx(9)
    assert all(lead_s(count, 2_000) > count / 2_000 for count in (1, 1_000, 100_000))


def test_nobody_fired_is_not_everybody_in_time() -> None:
    """A round of nothing has no share within a second."""
    assert math.isnan(Fired(0, []).within_1s)
