"""Events as they were stored before they had all of their fields: their golden files stay."""

from __future__ import annotations

from collections.abc import Iterable

from horae.domain import schedule as s
from horae.domain import zonechange as z
from horae.domain.envelope import Event


def older(samples: Iterable[Event]) -> dict[str, Event]:
    """By the names of their golden files, with those that have every field."""
    found: dict[str, Event] = {}
    for body in samples:
        match body:
            case s.ScheduleReplanned():
                found[body.name] = body.model_copy(update={"cause": "calendar", "detail": "munich@4", "change": None})
                found[f"{body.name}+zone"] = body
            case s.SlotChanged():
                found[body.name] = body.model_copy(update={"timing": None})
                found[f"{body.name}+timing"] = body
            case z.SlotsMoved(moves=moves):
                before = tuple(move.model_copy(update={"occurrence": None}) for move in moves)
                found[body.name] = body.model_copy(update={"moves": before})
                found[f"{body.name}+alone"] = body
            case _:
                continue
    return found
