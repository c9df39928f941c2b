"""A schedule: what a client asked for. Its stream is the whole history of asking; firing never touches it.

Reading order: `events`, `state`, `commands`, `judging`, `changing`, `single` (one slot by itself), `deciding`,
`settling` (among other schedules), `comparing`. Pure: `now` and new ids travel in the command.
The chain of slots runs on through the occurrences' events (`occurrence`); here it starts, jumps and ends.
"""

from horae.domain.schedule.changing import moves
from horae.domain.schedule.commands import (
    NOT_READ,
    Cancel,
    Change,
    ChangeSlot,
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
from horae.domain.schedule.comparing import Difference, compare, planned, preview
from horae.domain.schedule.deciding import create
from horae.domain.schedule.events import (
    Carried,
    Definition,
    ScheduleCancelled,
    ScheduleChanged,
    ScheduleCreated,
    ScheduleEvent,
    SchedulePaused,
    ScheduleReplanned,
    ScheduleResumed,
    ScheduleTriggered,
    SlotChanged,
    SlotSkipped,
    SlotUnskipped,
    Status,
)
from horae.domain.schedule.judging import one_off_slot
from horae.domain.schedule.rezoning import Keep, Restore, Rezone, Rezoned, coming_again, restore, rezone
from horae.domain.schedule.settling import decide, follow_ups
from horae.domain.schedule.state import Later, OwnChange, Schedule, evolve, same_rule, shifted, unshifted

__all__ = [
    "NOT_READ",
    "Cancel",
    "Carried",
    "Change",
    "ChangeSlot",
    "Command",
    "Create",
    "Current",
    "Definition",
    "Difference",
    "Keep",
    "Later",
    "OwnChange",
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
    "SlotChanged",
    "SlotSkipped",
    "SlotUnskipped",
    "Status",
    "Trigger",
    "Unskip",
    "coming_again",
    "compare",
    "create",
    "decide",
    "evolve",
    "follow_ups",
    "moves",
    "one_off_slot",
    "planned",
    "preview",
    "restore",
    "rezone",
    "same_rule",
    "shifted",
    "unshifted",
]
