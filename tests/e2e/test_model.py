"""The public API does what a plain model of schedules says, through the real processes, whatever clients think of."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.e2e.modelled.house import House
from tests.e2e.modelled.machine import Machine

pytestmark = [pytest.mark.e2e]


@pytest.fixture
def house() -> Iterator[House]:
    """A new installation, at the beginning of a year."""
    with House("2027-01-01T00:00:00Z") as house:
        Machine.house, Machine.made = house, {}
        yield house


def play(number: int, examples: int, steps: int) -> None:
    """The same examples for the same number. None is shrunk: time goes on, so that a shorter one would be another."""
    run_state_machine_as_test(
        seed(number)(Machine),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.timeout(1800)
@pytest.mark.covers("REL-08", "SEC-02")
def test_the_api_does_what_a_plain_model_says(house: House, record_property: Any) -> None:
    """A few examples, the same in every run."""
    play(2, 12, 40)
    record_property("report", f"model: {_told()}")
    assert Machine.made["release"] >= 20


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_the_api_does_what_a_plain_model_says_for_long(house: House, record_property: Any) -> None:
    """Seeds 100 to 149, twenty examples each; HORAE_MODEL_SEEDS names other ones, as FIRST:COUNT."""
    first, count = map(int, os.environ.get("HORAE_MODEL_SEEDS", "100:50").split(":"))
    for number in range(first, first + count):
        play(number, 20, 50)
        print(f"model, seeds {first} to {number}: {_told()}", file=sys.stderr)
    record_property("report", f"model, seeds {first} to {first + count - 1}: {_told()}")
    assert Machine.made["release"] > 100 * count


def _told() -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(Machine.made.items()))
