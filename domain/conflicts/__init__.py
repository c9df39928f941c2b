"""Conflicts: schedules whose slots come closer to each other than the one who asks wants.

Reading order: `values` (what may be asked, what was decided), `events`, `deciding`. Pure: which other schedules there
are travels in, as slots that are due.
"""

from horae.domain.conflicts.deciding import Look, Other, decide
from horae.domain.conflicts.events import LaneTaken, lane_stream
from horae.domain.conflicts.values import (
    Action,
    Against,
    ConflictPolicy,
    GivenUp,
    ScheduleConflict,
    Settlement,
    Strategy,
)

__all__ = [
    "Action",
    "Against",
    "ConflictPolicy",
    "GivenUp",
    "LaneTaken",
    "Look",
    "Other",
    "ScheduleConflict",
    "Settlement",
    "Strategy",
    "decide",
    "lane_stream",
]
