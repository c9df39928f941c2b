"""A schedule: what a client asked for. Its stream is the whole history of asking; firing never touches it.

Reading order: `events`, `state`, `commands`, `deciding`, `settling`. Pure: `now` and new ids travel in the command.
The chain of slots runs on through the occurrences' events (`occurrence`); here it starts, jumps and ends.
"""

from horae.domain.schedule.commands import (
    NOT_READ,
    Cancel,
    Change,
    Command,
    Create,
    Current,
    Pause,
    Replan,
    Resume,
    Skip,
    Trigger,
    Unskip,
)
from horae.domain.schedule.deciding import create, moves, one_off_slot, renewed
from horae.domain.schedule.events import (
    Definition,
    ScheduleCancelled,
    ScheduleChanged,
    ScheduleCreated,
    ScheduleEvent,
    SchedulePaused,
    ScheduleReplanned,
    ScheduleResumed,
    ScheduleTriggered,
    SlotSkipped,
    SlotUnskipped,
    Status,
)
from horae.domain.schedule.rezoning import Keep, Restore, Rezone, Rezoned, coming_again, restore, rezone
from horae.domain.schedule.settling import decide, follow_ups
from horae.domain.schedule.state import Schedule, evolve, same_rule, shifted, unshifted

__all__ = [
    "NOT_READ",
    "Cancel",
    "Change",
    "Command",
    "Create",
    "Current",
    "Definition",
    "Keep",
    "Pause",
    "Replan",
    "Restore",
    "Resume",
    "Rezone",
    "Rezoned",
    "Schedule",
    "ScheduleCancelled",
    "ScheduleChanged",
    "ScheduleCreated",
    "ScheduleEvent",
    "SchedulePaused",
    "ScheduleReplanned",
    "ScheduleResumed",
    "ScheduleTriggered",
    "Skip",
    "SlotSkipped",
    "SlotUnskipped",
    "Status",
    "Trigger",
    "Unskip",
    "coming_again",
    "create",
    "decide",
    "evolve",
    "follow_ups",
    "moves",
    "one_off_slot",
    "renewed",
    "restore",
    "rezone",
    "same_rule",
    "shifted",
    "unshifted",
]
