"""What the soak makes of its hour."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.soak import JUDGED, Window, judged, window_of


def release(late_ms: int) -> dict[str, Any]:
    return {"due_at": "2026-11-23T09:00:00Z", "released_at": f"2026-11-23T09:00:00.{late_ms:03}Z", "occurrence_id": "a"}


def window(releases: list[dict[str, Any]]) -> Window:
    table = {"live": 900, "dead": 100, "vacuums": 3, "bytes": 90_000}
    return window_of(
        1.0,
        30.0,
        {"per_second": 500, "errors": 0, "p95_ms": 12.5},
        releases,
        {"api": 90.0, "worker": 120.0, "horae": 240.0},
        {"due": table, "standings": table, "positions": table},
    )


def test_a_window_reckons_lateness_rate_and_size() -> None:
    """From the lines that were written in it, and the tables as they stand."""
    found = window([release(late) for late in range(1, 301)])
    assert (found.fires_per_second, found.late_p50_ms, found.late_p99_ms, found.late_max_ms) == (10, 150, 297, 300)
    assert (found.standings_bytes_each, found.standings_dead_share, found.due_kb) == (100, 0.1, 90)


def test_before_the_first_is_due_nothing_is_late() -> None:
    """The first minute has creates alone."""
    assert window([]).fires_per_second == 0


def grown_by(window: Window, column: str, steps: int) -> Window:
    values: dict[str, Any] = {column: 10_000 * (1 + steps / 20)}
    return replace(window, **values)


@pytest.mark.parametrize("column", [column for column, *_ in JUDGED])
def test_whatever_is_judged_may_not_grow(column: str) -> None:
    """A series that doubles and has no other fault is told, and no other one."""
    hour = [window([release(20)]) for _ in range(40)]
    assert all(flat.flat for _, flat in judged(hour))
    growing = [grown_by(each, column, n) for n, each in enumerate(hour)]
    grown = [what for what, flat in judged(growing) if not flat.flat]
    assert grown == [what for name, _, _, what in JUDGED if name == column]
