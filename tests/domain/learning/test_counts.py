"""The learner's state is a fold in whole numbers: the same bit for bit, however it is fed."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horae.domain.learning.counts import HALF_LIFE_DAYS, Counts
from horae.domain.learning.facts import ACTIVE, ANSWERED, IGNORED, SENT, Facts, is_machine
from horae.domain.learning.hours import DAY_S, bins, local_s
from tests.domain.learning.histories import DAY, facts, learnt

SEGMENT = np.zeros(7, dtype=np.int64)


def one(kind: int, at: int, position: int = 0) -> Facts:
    instant = np.array([at])
    return Facts(np.array([position]), np.array([0]), np.array([kind]), instant, bins(instant))


@pytest.mark.covers("OPT-08")
@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 300), max_size=6))
def test_batches_change_nothing(seed: int, cuts: list[int]) -> None:
    """A fold over any batches of the same log ends in the same bits."""
    history = facts(np.random.default_rng(seed), 300)
    pieces = Counts.empty(SEGMENT)
    edges = [0, *sorted(cuts), 300]
    for start, end in pairwise(edges):
        pieces.learn(history.where(np.arange(start, end)))
    assert pieces.digest() == learnt(history, SEGMENT).digest()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_what_comes_twice_counts_once(seed: int) -> None:
    """Facts at or below the state's position were applied before, as after a restart that reads the log again."""
    history = facts(np.random.default_rng(seed), 200)
    counts = learnt(history, SEGMENT)
    digest = counts.digest()
    counts.learn(history.where(np.arange(50, 200)))
    assert counts.digest() == digest


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_order_within_an_epoch_changes_nothing(seed: int) -> None:
    """Whole numbers add up the same in any order, while no halving lies between."""
    rng = np.random.default_rng(seed)
    history = facts(rng, 200, days=1)
    shuffled = history.where(rng.permutation(200))
    again = Facts(history.position, shuffled.row, shuffled.kind, shuffled.at, shuffled.bin)
    assert learnt(again, SEGMENT).digest() == learnt(history, SEGMENT).digest()


@pytest.mark.covers("OPT-05")
def test_a_half_life_halves() -> None:
    """What was answered a half-life ago counts half of what was answered now."""
    at = DAY * DAY_S
    counts = learnt(one(ANSWERED, at), SEGMENT)
    now, later = (counts.view(np.array([0]), at + d * DAY_S)[1].sum() for d in (0, HALF_LIFE_DAYS))
    assert later / now == pytest.approx(0.5, rel=0.02)
    counts.learn(one(ANSWERED, at + HALF_LIFE_DAYS * DAY_S, position=1))
    assert counts.view(np.array([0]), at + HALF_LIFE_DAYS * DAY_S)[1].sum() == pytest.approx(1.5, rel=0.05)


def test_a_recipient_takes_less_than_400_bytes() -> None:
    """A million recipients fit into 400 MB."""
    assert Counts.empty(SEGMENT).bytes_per_recipient() <= 400


def test_nothing_is_left_of_whom_one_forgets() -> None:
    """An erased recipient's row is as if nobody had ever been there."""
    counts = learnt(facts(np.random.default_rng(1), 300), SEGMENT)
    counts.forget(3)
    assert all(not view.any() for view in counts.view(np.array([3]), (DAY + 45) * DAY_S))


def test_cells_stop_at_their_most() -> None:
    """A person who is seen ten thousand times in one hour overflows nothing."""
    at = np.full(10_000, DAY * DAY_S)
    many = Facts(np.arange(10_000), np.zeros(10_000, np.int64), np.full(10_000, ACTIVE), at, bins(at))
    assert learnt(many, SEGMENT).active.max() == np.iinfo(np.uint16).max


def test_messages_of_the_last_days_are_known() -> None:
    """The newest eight instants are kept, whatever the order in which they came."""
    at = np.array([DAY * DAY_S + h * 3600 for h in (0, 30, 20, 100, 10)])
    sent = Facts(np.arange(5), np.zeros(5, np.int64), np.full(5, SENT), at, bins(at))
    _, day, week = learnt(sent, SEGMENT).pressure(np.array([0]), DAY * DAY_S + 101 * 3600)
    assert (day[0], week[0]) == (1, 5)


def test_machines_are_left_out() -> None:
    """Opened within seconds, or by a proxy that says so, is opened by nobody."""
    opened = np.array([3, 30, 30])
    assert is_machine(np.zeros(3, np.int64), opened, np.array([False, False, True])).tolist() == [True, False, True]


def test_hours_are_local_at_that_instant() -> None:
    """Before and after a clock change and a journey the same instant of the day is another local hour."""
    zones = ("Europe/Berlin", "Asia/Kolkata")
    # 2026-03-28T12:00Z (Saturday), 2026-03-29T12:00Z (Sunday, summer time), 2026-03-30T12:00Z (Monday)
    at = np.array([1774699200, 1774785600, 1774872000, 1774872000])
    assert bins(local_s(at, np.array([0, 0, 0, 1]), zones)).tolist() == [24 + 13, 24 + 14, 14, 17]


def test_ignored_is_asked_but_not_answered() -> None:
    """Silence is learnt from too: it raises the number of times asked alone."""
    asked, answered, active = learnt(one(IGNORED, DAY * DAY_S), SEGMENT).view(np.array([0]), DAY * DAY_S)
    assert asked.sum() > 0
    assert answered.sum() == active.sum() == 0
