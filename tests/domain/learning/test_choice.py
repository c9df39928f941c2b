"""What is chosen: the recipient's hour where it is known, else the segment's, everybody's, the tenant's; how sure."""

from dataclasses import replace

import numpy as np
import pytest

from horae.domain.learning import dice
from horae.domain.learning.calibration import Calibration, expected_calibration_error
from horae.domain.learning.choice import DEFAULT, RECIPIENT, SEGMENT, Choices, Rules, choose
from horae.domain.learning.counts import Counts
from horae.domain.learning.hours import BINS, TERMS
from horae.domain.learning.laplace import posterior
from horae.domain.learning.priors import Priors, fit
from tests.domain.learning.histories import NOW, flat_view, learnt, messages, requests

PEOPLE = 300
PLAIN = Rules(explore=0.0, holdout=0.0)


def chosen(best: np.ndarray, segment: np.ndarray, each: int = 60, rules: Rules = PLAIN, **kw: float) -> Choices:
    counts = learnt(messages(np.random.default_rng(5), best, each, **kw), segment)
    priors = Priors.unknown(int(segment.max()) + 1)
    for _ in range(4):
        priors = fit(segment, *flat_view(counts), int(segment.max()) + 1, priors)
    return choose(counts, priors, requests(len(best)), NOW, rules)


@pytest.mark.covers("OPT-01", "OPT-02", "OPT-07")
def test_people_get_their_own_hour() -> None:
    """With sixty messages each, most people's moment lies within two hours of what they like."""
    best = np.random.default_rng(1).uniform(8, 21, PEOPLE)
    found = chosen(best, np.zeros(PEOPLE, np.int64))
    own = found.level == RECIPIENT
    assert own.mean() > 0.5
    assert (np.abs(found.quarter[own] / 4 - best[own]) < 2).mean() > 0.7


@pytest.mark.covers("OPT-04", "OPT-06")
def test_who_is_unknown_gets_the_segments_hour() -> None:
    """Newcomers fall back to what their segment likes, and the plan says so."""
    segment = np.arange(PEOPLE) % 2
    best = np.where(segment == 0, 10.0, 19.0)
    counts = learnt(messages(np.random.default_rng(2), best[:200], 60), segment)
    asked, answered, active = (view[:200] for view in flat_view(counts))
    priors = fit(segment[:200], asked, answered, active, 2, Priors.unknown(2))
    found = choose(counts, priors, requests(PEOPLE), NOW, PLAIN)
    new = np.arange(200, PEOPLE)
    assert (np.abs(found.quarter[new] / 4 - best[new]) < 1.5).mean() > 0.9
    assert (found.level[new] != RECIPIENT).all()
    assert (found.level[new][segment[new] == 1] == SEGMENT).all()


@pytest.mark.covers("OPT-10")
def test_where_no_hour_is_better_nothing_is_claimed() -> None:
    """People without habits get the tenant's hour, with a confidence below the threshold."""
    found = chosen(np.full(PEOPLE, 12.0), np.arange(PEOPLE) % 3, peak=0.1, rest=0.1)
    assert (found.confidence < 0.7).mean() > 0.85
    assert (found.quarter[found.level == DEFAULT] == 36).all()


def test_before_anything_is_learnt_it_is_the_default_hour() -> None:
    """An empty shard and no fitted prior: 9:00, unsure."""
    counts = Counts.empty(np.zeros(5, np.int64))
    found = choose(counts, Priors.unknown(1), requests(5), NOW, PLAIN)
    assert found.quarter.tolist() == [36] * 5
    assert (found.level == DEFAULT).all()
    assert (found.confidence < 0.7).all()


def test_the_window_is_kept() -> None:
    """Default hour, own hour and exploration all stay between the request's start and end."""
    best = np.random.default_rng(1).uniform(0, 24, PEOPLE)
    counts = learnt(messages(np.random.default_rng(3), best, 40), np.zeros(PEOPLE, np.int64))
    priors = fit(np.zeros(PEOPLE, np.int64), *flat_view(counts), 1, Priors.unknown(1))
    for start, end in ((24, 92), (50, 51), (0, 96), (70, 75)):
        asked = requests(PEOPLE, start, end)
        found = choose(counts, priors, asked, NOW, Rules(explore=0.5, holdout=0.2))
        assert ((found.quarter >= start) & (found.quarter < end)).all()
        assert ((found.propensity > 0) & (found.propensity <= 1)).all()


def test_the_holdout_is_of_people_and_is_never_optimised() -> None:
    """The same people whatever the message, the default hour, and about the share that was asked for."""
    best = np.random.default_rng(1).uniform(8, 21, PEOPLE)
    found = chosen(best, np.zeros(PEOPLE, np.int64), rules=Rules(holdout=0.2))
    assert 0.12 < found.holdout.mean() < 0.28
    assert (found.quarter[found.holdout] == 36).all()
    again = requests(PEOPLE)
    moved = replace(again, message=again.message + np.uint64(99))
    assert (dice.uniform(moved.person, dice.HOLDOUT) < 0.2).tolist() == found.holdout.tolist()


def test_propensities_are_those_with_which_hours_are_taken() -> None:
    """Over many messages of one person each explored hour comes as often as its propensity says."""
    n = 20_000
    counts = Counts.empty(np.zeros(1, np.int64))
    asked = requests(n)
    asked = replace(asked, row=np.zeros(n, np.int64), person=np.repeat(asked.person[:1], n))
    found = choose(counts, Priors.unknown(1), asked, NOW, Rules(explore=0.2, holdout=0.0))
    for hour in np.unique(found.quarter // 4):
        taken = found.quarter // 4 == hour
        assert taken.mean() == pytest.approx(found.propensity[taken][0], abs=0.01)


def test_a_posterior_without_data_is_its_prior() -> None:
    """Nobody asked: the mean is the prior's, and the spread along a term its standard deviation."""
    mean = np.random.default_rng(1).normal(0, 0.1, (3, TERMS)) - 2 * np.eye(TERMS)[0]
    found = posterior(np.zeros((3, BINS)), np.zeros((3, BINS)), mean, np.eye(TERMS) * 4)
    assert np.allclose(found.mean, mean)
    assert found.spread(np.tile(np.eye(TERMS)[1], (3, 1))) == pytest.approx(0.5)


def test_calibration_learns_that_less_comes_than_was_foretold() -> None:
    """Told one in two where one in five comes, it soon says one in five."""
    rng = np.random.default_rng(1)
    calibration = Calibration()
    x = np.zeros((3000, len(calibration.weights)))
    x[:, 0] = 1.0
    came = (rng.random(3000) < 0.2).astype(np.float64)
    calibration.learn(x, came)
    assert calibration.foretell(x[:1])[0] == pytest.approx(0.2, abs=0.03)
    assert expected_calibration_error(np.full(3000, came.mean()), came) < 0.05
