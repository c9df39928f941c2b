"""Histories full of trouble keep the promises; the simulation itself is honest: it repeats, it notices, it shrinks."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain.delivery import Mode
from horae.domain.occurrence import attempts, deciding
from horae.streams import auditor
from horae.streams.feed import Feed
from tests.simulation.history import Result, run
from tests.simulation.shrinking import shrink
from tests.simulation.summing import Sum, kept

#: Seeds that once failed, with what brings the fault back; what was wrong is told in docs/proof.md.
REGRESSIONS: dict[str, tuple[object, str, Callable[..., object]]] = {
    "26": (Feed, "_session_ended", lambda *_: None),
    "102886": (auditor, "place", lambda local, _fold, _zone: (local, local)),
}


@pytest.mark.timeout(600)
@pytest.mark.covers("REL-07", "REL-18")
def test_histories_full_of_trouble_keep_the_promises(record_property: Any) -> None:
    """Crashes, pauses, clocks that jump, lost and late answers: no write lost, no claim doubled, no slot forgotten."""
    total, first = Sum(), 1_000
    for seed in range(first, first + 300):
        total.add(run(str(seed)))
    record_property("report", f"simulation, seeds {first} to {first + 299}: {total.report()}")
    total.assert_kept(faults_each=100)


@pytest.mark.parametrize("seed", REGRESSIONS)
def test_what_once_failed_holds(seed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A seed that found something stays, and finds it again when the fault comes back."""
    assert run(seed).broken is None
    monkeypatch.setattr(*REGRESSIONS[seed])
    assert run(seed).broken is not None


def test_a_long_run_goes_on_where_it_was_broken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges that are on file are not lived through again, and count."""
    file, lived, real = tmp_path / "kept.ndjson", [], run

    def counting(seed: str) -> Result:
        lived.append(seed)
        return real(seed)

    monkeypatch.setattr("tests.simulation.summing.run", counting)
    first = [total.report() for _, total in kept(file, range(1_000, 1_004), 2)]
    again = [total.report() for _, total in kept(file, range(1_000, 1_005), 2)]
    assert lived == ["1000", "1001", "1002", "1003", "1004"]
    assert again[:2] == first
    whole = Sum()
    for _, total in kept(file, range(1_000, 1_005), 2):
        whole.plus(total)
    assert (whole.histories, whole.broken) == (5, [])
    assert whole.report() == Sum.of(range(1_000, 1_005)).report()


def test_the_same_seed_is_the_same_history() -> None:
    """Turn for turn: that is what makes a failure one that can be looked at."""
    one, other = run("1001", tracing=True), run("1001", tracing=True)
    assert (one.steps, one.faults, one.trace) == (other.steps, other.faults, other.trace)
    assert run("1002", tracing=True).trace != one.trace


def test_a_failing_seed_shrinks(monkeypatch: pytest.MonkeyPatch) -> None:
    """With retries that forget to look whether the receiver may have it, a few faults are left of hundreds."""

    def twice(command: o.RecoverLost, state: o.Occurrence | None) -> list[o.AnyOccurrenceEvent]:
        return attempts.recover(replace(command, schedule=_repeatable(command.schedule)), state)

    monkeypatch.setattr(deciding, "recover", twice)
    seed = next(str(number) for number in range(1_000, 1_300) if run(str(number)).broken is not None)
    whole, small = run(seed), shrink(seed, tries=80)
    assert small.result.broken is not None
    assert small.result.broken.startswith("Broken: 2")
    assert len(small.allowed) <= len(whole.faults) // 3


def _repeatable(schedule: s.Schedule) -> s.Schedule:
    delivery = schedule.definition.delivery.model_copy(update={"mode": Mode.AT_LEAST_ONCE})
    return replace(schedule, definition=schedule.definition.model_copy(update={"delivery": delivery}))


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.covers("REL-07", "REL-18")
def test_ten_thousand_histories_keep_the_promises(record_property: Any) -> None:
    """As above: 10,000 seeds (HORAE_SIMULATION_SEEDS names other ones, as FIRST:COUNT), on every core."""
    first, count = map(int, os.environ.get("HORAE_SIMULATION_SEEDS", "100000:10000").split(":"))
    total = Sum()
    with ProcessPoolExecutor() as processes:
        for done, result in enumerate(processes.map(run, map(str, range(first, first + count)), chunksize=20), 1):
            total.add(result)
            if done % 500 == 0 or result.broken is not None:
                print(f"seeds {first} to {first + done - 1}: {total.report()} {total.broken[-1:]}", file=sys.stderr)
    record_property("report", f"simulation, seeds {first} to {first + count - 1}: {total.report()}")
    total.assert_kept(faults_each=100)
    assert total.faults >= 100 * count
