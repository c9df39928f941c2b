"""New identifiers ascend, whatever the clock does."""

from __future__ import annotations

from itertools import pairwise

import pytest

from horae.infra.ids import NewIds


def test_later_ids_sort_later() -> None:
    """Also within one millisecond, and beyond what its counter holds."""
    ids = NewIds()
    made = [ids.new() for _ in range(20_000)]
    assert all(before < after for before, after in pairwise(made))
    assert {id_.version for id_ in made} == {7}


def test_a_clock_that_goes_back_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's clock may be set back; ids go on from the latest."""
    ids = NewIds()
    first = ids.new()
    monkeypatch.setattr("time.time_ns", lambda: 1_000_000_000)
    assert ids.new() > first


def test_two_makers_do_not_collide() -> None:
    """The rest of an id is random."""
    one, other = NewIds(), NewIds()
    assert not {one.new() for _ in range(1000)} & {other.new() for _ in range(1000)}
