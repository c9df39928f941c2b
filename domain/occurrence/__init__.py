"""An occurrence: one slot of one schedule, from its claim to its outcome.

Reading order: `events`, `state`, `commands`, `deciding` (which calls `firing`, `backfilling`, `attempts` and
`answering`). Version 1
of an occurrence's stream exists at most once, whatever number of dispatchers tries: that is the claim's guarantee.
Events that start, end or pass a slot carry `next`, the chain along which a series moves on.
"""

from horae.domain.occurrence.backfilling import what_keeps
from horae.domain.occurrence.commands import (
    Backfill,
    CloseWindow,
    Command,
    Defer,
    Engage,
    Fire,
    RecordDelivered,
    RecordFailed,
    RecoverLost,
    Replay,
    ReportDelivery,
    StartAttempt,
    Suppress,
)
from horae.domain.occurrence.deciding import decide
from horae.domain.occurrence.events import (
    AnyOccurrenceEvent,
    AttemptFailed,
    AttemptStarted,
    DeliveryReported,
    OccurrenceBackfilled,
    OccurrenceClaimed,
    OccurrenceDeferred,
    OccurrenceEnded,
    OccurrenceEngaged,
    OccurrenceEvent,
    OccurrenceMissed,
    OccurrenceReplayed,
    OccurrenceUnanswered,
    Origin,
    Outcome,
    Row,
    SlotPassed,
)
from horae.domain.occurrence.firing import MISSED_RUN_LIMIT
from horae.domain.occurrence.state import Occurrence, Phase, evolve

__all__ = [
    "MISSED_RUN_LIMIT",
    "AnyOccurrenceEvent",
    "AttemptFailed",
    "AttemptStarted",
    "Backfill",
    "CloseWindow",
    "Command",
    "Defer",
    "DeliveryReported",
    "Engage",
    "Fire",
    "Occurrence",
    "OccurrenceBackfilled",
    "OccurrenceClaimed",
    "OccurrenceDeferred",
    "OccurrenceEnded",
    "OccurrenceEngaged",
    "OccurrenceEvent",
    "OccurrenceMissed",
    "OccurrenceReplayed",
    "OccurrenceUnanswered",
    "Origin",
    "Outcome",
    "Phase",
    "RecordDelivered",
    "RecordFailed",
    "RecoverLost",
    "Replay",
    "ReportDelivery",
    "Row",
    "SlotPassed",
    "StartAttempt",
    "Suppress",
    "decide",
    "evolve",
    "what_keeps",
]
