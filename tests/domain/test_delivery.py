"""The delays of retries, and the limits of a delivery's settings."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from horae.domain.delivery import Delivery, Priority, Retry, Strategy

OCCURRENCE = UUID("01932c5b-0000-8000-8000-000000000001")


def waits(retry: Retry, count: int = 8) -> list[float]:
    return [retry.wait(number, OCCURRENCE).total_seconds() for number in range(1, count + 1)]


@pytest.mark.covers("SCH-12", "DAT-13.02", "DAT-01.07")
def test_priorities_are_the_catalogues() -> None:
    """Five of them, higher is more pressing, stored as the number."""
    assert {p.name: int(p) for p in Priority} == {"LOW": 1, "NORMAL": 2, "HIGH": 3, "URGENT": 4, "CRITICAL": 5}


@pytest.mark.covers("DSP-28", "DAT-12.01", "DAT-01.10")
def test_the_defaults_are_the_catalogues() -> None:
    """Three retries, five seconds, doubled, three hundred seconds at most."""
    retry = Delivery().retry
    assert (retry.retries, retry.strategy) == (3, Strategy.EXPONENTIAL)
    assert waits(retry) == [5, 10, 20, 40, 80, 160, 300, 300]


@pytest.mark.covers("DSP-29", "DAT-13.06", "DAT-12.02")
@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (Strategy.FIXED, [10, 10, 10, 10, 10, 10, 10, 10]),
        (Strategy.LINEAR, [10, 20, 30, 40, 50, 60, 60, 60]),
        (Strategy.EXPONENTIAL, [10, 20, 40, 60, 60, 60, 60, 60]),
    ],
)
def test_each_strategy_grows_in_its_way(strategy: Strategy, expected: list[float]) -> None:
    """Fixed stays, linear adds, exponential multiplies; none passes the ceiling."""
    retry = Retry(strategy=strategy, delay=timedelta(seconds=10), max_delay=timedelta(seconds=60))
    assert waits(retry) == expected


def test_jitter_spreads_over_the_upper_half() -> None:
    """Of the exponential delay; the same occurrence and retry always wait the same."""
    retry = Retry(strategy=Strategy.JITTERED, delay=timedelta(seconds=10), max_delay=timedelta(hours=1))
    firsts = [retry.wait(1, UUID(int=n)).total_seconds() for n in range(200)]
    assert 5 <= min(firsts) < 6
    assert 9 < max(firsts) <= 10
    assert waits(retry) == waits(retry)


@given(
    strategy=st.sampled_from(Strategy),
    number=st.integers(1, 21),
    delay=st.timedeltas(timedelta(0), timedelta(days=1)),
    factor=st.floats(1, 10),
)
def test_no_delay_leaves_its_bounds(strategy: Strategy, number: int, delay: timedelta, factor: float) -> None:
    """Whatever the policy, from nothing up to its ceiling."""
    retry = Retry(strategy=strategy, delay=delay, factor=factor, max_delay=timedelta(days=1))
    assert timedelta(0) <= retry.wait(number, OCCURRENCE) <= timedelta(days=1)


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (Retry, {"retries": 21}),
        (Retry, {"retries": -1}),
        (Retry, {"factor": 0.5}),
        (Retry, {"delay": "PT10M"}),
        (Retry, {"delay": "PT1H", "max_delay": "P2D"}),
        (Delivery, {"timeout": "PT5M1S"}),
        (Delivery, {"timeout": "PT0S"}),
        (Delivery, {"mode": "exactly_once"}),
    ],
)
def test_settings_beyond_the_limits_are_refused(model: type[Retry] | type[Delivery], values: dict[str, Any]) -> None:
    """More than twenty retries, a ceiling below the delay, a timeout of more than five minutes."""
    with pytest.raises(ValidationError):
        model.model_validate(values)
