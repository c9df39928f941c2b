"""How long the read models have been behind."""

from __future__ import annotations

import pytest

from horae.infra.lag import LagWatch


@pytest.mark.covers("OBS-25")
async def test_seconds_count_from_when_the_log_was_first_seen_that_long() -> None:
    """Nothing missing: 0. Else since the first look at which something later than what is applied was there."""
    head, now = 5, 100.0

    async def ask() -> int:
        return head

    watch = LagWatch(ask, lambda: now)
    assert watch.seconds(0) == 0.0
    await watch.look()
    now = 103.0
    assert watch.seconds(4) == 3.0
    head = 9
    await watch.look()
    now = 110.0
    assert watch.seconds(4) == 10.0
    # What was missing first has come; the rest has been missing for less long.
    assert watch.seconds(5) == 7.0
    assert watch.seconds(9) == 0.0
