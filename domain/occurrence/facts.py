"""What every event of an occurrence says of the schedule that it belongs to."""

from __future__ import annotations

from typing import Any

from horae.domain.schedule import Schedule


def facts_of(schedule: Schedule) -> dict[str, Any]:
    """What every event of an occurrence says of its schedule."""
    return {
        "schedule": schedule.id,
        "recipient_ref": schedule.recipient_ref,
        "priority": schedule.definition.priority,
    }
