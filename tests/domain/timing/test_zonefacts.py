"""What is said of zones: the clock changes on either side of an instant are those of the years' lists."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from horae.domain.timing import zonefacts
from tests.domain.timing.cases import at


@pytest.mark.covers("TZ-11")
@pytest.mark.parametrize("zone", ["America/Boa_Vista", "Africa/Casablanca", "Asia/Tokyo"])
def test_the_changes_on_either_side_are_those_of_the_lists(zone: str) -> None:
    """From one to the next over eight years, and back; in 2000 Boa Vista undid one after a week."""
    listed = [change.at for year in range(1997, 2005) for change in zonefacts.transitions(zone, year)]
    here, found = at("1997-01-01T00:00Z"), []
    while (change := zonefacts.facts(zone, here).next_transition) is not None and change.at < at("2005-01-01T00:00Z"):
        found.append(change.at)
        here = change.at
    assert found == listed
    for earlier, later in pairwise(listed):
        before = zonefacts.facts(zone, later - timedelta(seconds=1)).previous_transition
        assert before is not None
        assert before.at == earlier
