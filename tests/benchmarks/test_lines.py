"""The table of `make bench`: what a line says of its rounds, and when it is missed."""

from __future__ import annotations

import math
from typing import Any

import pytest

from benchmarks.figures import Fired, Row
from benchmarks.lines import FIRES, NAMES, Seen, rows_of, table_of


def fired(late_ms: float = 20, total: int = 1000, **faults: Any) -> Fired:
    facts: dict[str, Any] = {"late_s": [late_ms / 1000] * total, "claimed": total, "ended": total, **faults}
    return Fired(total, **facts)


def created(**facts: Any) -> dict[str, Any]:
    usual = {"per_second": 3_000, "p95_ms": 20.0, "errors": 0, "missing": 0, "behind_s": 0.1}
    return usual | facts


def seen(**found: Any) -> Seen:
    return Seen(20, 60, **found)


def verdicts(rows: list[Row]) -> list[str]:
    return [row.verdict for row in rows]


@pytest.mark.parametrize("name", NAMES)
def test_a_line_without_a_round_is_not_measured_and_stays_in_the_table(name: str) -> None:
    """No figure is made up for it."""
    rows = rows_of(seen(), name)
    assert rows
    assert set(verdicts(rows)) == {"not measured"}
    assert {row.shown() for row in rows} == {"—"}


@pytest.mark.parametrize("name", NAMES)
def test_every_line_has_a_target_and_says_what_the_peers_do(name: str) -> None:
    """Or that nobody raced them."""
    rows = rows_of(seen(), name)
    assert any(row.target for row in rows)
    assert rows[0].peers


@pytest.mark.parametrize("name", FIRES)
@pytest.mark.parametrize(
    "fault",
    [{"late_s": [0.02] * 999}, {"double": 1}, {"claimed": 1001}, {"ended": 999}, {"ended": None}],
    ids=["lost", "double", "claimed twice", "no end", "nobody looked"],
)
def test_one_fault_in_one_round_is_a_miss(name: str, fault: dict[str, Any]) -> None:
    """However good the median."""
    rounds = [fired(), fired(), fired()]
    assert "MISSED" not in verdicts(rows_of(seen(fired={name: rounds}), name))
    assert rows_of(seen(fired={name: [*rounds, fired(**fault)]}), name)[1].verdict == "MISSED"


@pytest.mark.parametrize(("name", "ms", "verdict"), [
    ("log1000", 50, "met"), ("log1000", 51, "MISSED"), ("log3000", 51, "MISSED"), ("log6000", 115, "met"),
    ("log6000", 116, "MISSED"), ("webhook", 900, ""),
])  # fmt: skip
def test_the_lateness_has_its_bound(name: str, ms: float, verdict: str) -> None:
    """50 ms up to 3,000 a second, 115 beyond; for a webhook only the second counts."""
    late, within = rows_of(seen(fired={name: [fired(ms)]}), name)
    assert (late.verdict, within.verdict) == (verdict, "met")
    assert late.median == pytest.approx(ms)


def test_what_was_asked_for_too_late_is_not_met() -> None:
    """Else a slow machine would measure its asking."""
    late, _ = rows_of(seen(fired={"log1000": [fired(in_time=False)]}), "log1000")
    assert late.verdict == "MISSED"


def test_a_burst_is_as_long_as_its_last() -> None:
    """One that is lost never ends it."""
    assert rows_of(seen(fired={"burst": [fired(1_500)]}), "burst")[0].verdict == "met"
    lost = rows_of(seen(fired={"burst": [fired(late_s=[0.1] * 999)]}), "burst")[0]
    assert (lost.median, lost.verdict) == (math.inf, "MISSED")


@pytest.mark.parametrize("fault", [{"errors": 1}, {"missing": 1}])
@pytest.mark.parametrize("name", ["creates64", "creates1000", "bulk", "together"])
def test_an_error_or_an_answer_that_the_log_does_not_have_is_a_miss(name: str, fault: dict[str, Any]) -> None:
    """A rate of what is lost is no rate."""
    good = created(per_second=20_000)
    assert rows_of(seen(created={name: [good, good]}), name)[0].verdict == "met"
    assert rows_of(seen(created={name: [good, good, good | fault]}), name)[0].verdict == "MISSED"


def test_creates_have_their_rate_their_latency_and_their_lag() -> None:
    """Each on its own line."""
    rows = rows_of(seen(created={"creates64": [created(per_second=2_499, p95_ms=50, behind_s=1.01)]}), "creates64")
    assert verdicts(rows) == ["MISSED"] * 3
    assert verdicts(rows_of(seen(created={"creates64": [created()]}), "creates64")) == ["met"] * 3


@pytest.mark.parametrize("fault", [{"parked": 1}, {"differing": 1}])
def test_a_replay_that_gives_something_else_is_a_miss(fault: dict[str, int]) -> None:
    """However fast."""
    good = {"events": 100_000, "per_second": 25_000, "parked": 0, "differing": 0}
    assert rows_of(seen(replayed=[good]), "replay")[0].verdict == "met"
    assert rows_of(seen(replayed=[good, good | fault]), "replay")[0].verdict == "MISSED"


def test_a_round_that_came_to_nothing_spoils_its_line_and_is_told() -> None:
    """With its reason."""
    rows = rows_of(seen(fired={"log1000": [fired()]}, failed={"log1000": ["it was killed"]}), "log1000")
    assert verdicts(rows) == ["MISSED"] * 3
    assert "it was killed" in rows[-1].what


def test_the_last_look_tells_what_went_out_twice() -> None:
    """Also after its round was over."""
    assert table_of(seen(released=10, twice=0), [])[0].verdict == "met"
    assert table_of(seen(released=10, twice=1), [])[0].verdict == "MISSED"
    assert table_of(seen(), []) == []
