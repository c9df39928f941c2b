"""What learning is worth is told with intervals that hold the truth as often as they say, and drift raises an alarm."""

import numpy as np
import pytest

from horae.domain.learning.drift import Watch
from horae.domain.learning.worth import doubly_robust, snips, uplift

RUNS = 200


@pytest.mark.covers("OPT-12")
def test_the_uplift_interval_holds_the_truth() -> None:
    """In about 95 of 100 runs, although a person's answers resemble each other."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(RUNS):
        level = rng.beta(3, 7, 600)
        person = np.repeat(np.arange(600), 10)
        holdout = (np.arange(600) % 5 == 0)[person]
        chance = np.clip(level[person] + np.where(holdout, 0.0, 0.05), 0, 1)
        held += uplift((rng.random(6000) < chance).astype(np.float64), holdout, person).covers(0.05)
    assert held / RUNS > 0.9


def test_off_policy_intervals_hold_the_truth() -> None:
    """What always choosing the second arm would bring is found from a log that chose it one time in ten."""
    rng = np.random.default_rng(2)
    covered = np.zeros(2)
    for _ in range(RUNS):
        person = np.repeat(np.arange(400), 10)
        arm = rng.random(4000) < 0.1
        answered = (rng.random(4000) < np.where(arm, 0.3, 0.2)).astype(np.float64)
        wanted, logged = arm.astype(np.float64), np.where(arm, 0.1, 0.9)
        # The model is wrong about both arms; the propensities make up for it.
        foretold, other = np.where(arm, 0.25, 0.1), np.full(4000, 0.25)
        covered += [
            snips(answered, wanted, logged, person).covers(0.3),
            doubly_robust(answered, wanted, logged, foretold, other, person).covers(0.3),
        ]
    assert (covered / RUNS > 0.9).all()


def test_drift_raises_an_alarm_in_its_segment_alone() -> None:
    """Where answers fall from what was foretold the alarm comes; where they do not, none."""
    rng = np.random.default_rng(3)
    watch = Watch(2)
    segment = np.arange(8000) % 2
    chance = np.where((segment == 1) & (np.arange(8000) > 4000), 0.1, 0.3)
    residual = np.asarray((rng.random(8000) < chance) - 0.3, dtype=np.float64)
    alarms = watch.learn(np.arange(8000), segment, residual)
    assert {alarm.segment for alarm in alarms} == {1}
    assert 4000 < alarms[0].position < 6000
