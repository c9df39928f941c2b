"""What is judged: one schedule's part of the log, what a broken promise is, and what is counted on the way."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from horae.domain.envelope import Recorded
from tests.simulation.calendar import Wish
from tests.simulation.clients import Client

#: A slot: its naive local time, and its fold.
SlotKey = tuple[datetime, int]


class Broken(AssertionError):
    """A promise was not kept."""


@dataclass
class Story:
    """One schedule's part of the log."""

    client: Client
    schedule: UUID
    asked: list[Recorded]
    #: By occurrence, each in order.
    occurrences: dict[UUID, list[Recorded]]
    wishes: dict[int, Wish] = field(default_factory=dict)


@dataclass
class Verdict:
    """What was counted while judging: so that a run in which nothing could happen is seen."""

    slots: int = 0
    delivered: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)


def check(true: object, message: str) -> None:
    """Raise `Broken` unless it is so."""
    if not true:
        raise Broken(message)


def same_rule(one: Wish, other: Wish) -> bool:
    """Do both name the same slots?"""
    return (one.kind, one.zone, one.minutes, one.start, one.at, one.instant) == (
        other.kind, other.zone, other.minutes, other.start, other.at, other.instant
    )  # fmt: skip
