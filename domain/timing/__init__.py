"""When things are due: timings as clients mean them, and the slots that they come to.

Pure functions of a timing, the zone data and a `Context`; nothing here reads a clock. In reading order: `durations`,
`values` (the models), `zones` (rules of the zones), `walker`, `cron` with `cronfields`, `rrule` with `ruledays`,
`subdaily` and `ruleset`, `interval` (naive local candidates), `series` (recurring timings: candidates met with clock
changes), `moments` (timings that happen once), `phrases`, `checks` (what `normalise` refuses), `reasons`, `parts`
(series that were changed from a slot on), `slots`, `planning` (the functions below), `describe`, `wherever` (one local
time for many).
"""

from horae.domain.timing.best import Best, Choice
from horae.domain.timing.describe import describe
from horae.domain.timing.durations import CalendarDuration, Duration, Span, format_duration, parse_duration, parse_span
from horae.domain.timing.parts import cut, present, rule_for, rules_of, shifted, without_past
from horae.domain.timing.planning import (
    after,
    anew,
    coming,
    find,
    first,
    following,
    is_recurring,
    moment,
    normalise,
    preview,
    tzdata_version,
    zone_of,
)
from horae.domain.timing.values import (
    At,
    Concurrency,
    Context,
    Every,
    In,
    Interval,
    Missed,
    Next,
    Now,
    Phrase,
    Plan,
    Preview,
    Reason,
    Resolved,
    SkippedSlot,
    Slot,
    Then,
    Timing,
)

__all__ = [
    "At",
    "Best",
    "CalendarDuration",
    "Choice",
    "Concurrency",
    "Context",
    "Duration",
    "Every",
    "In",
    "Interval",
    "Missed",
    "Next",
    "Now",
    "Phrase",
    "Plan",
    "Preview",
    "Reason",
    "Resolved",
    "SkippedSlot",
    "Slot",
    "Span",
    "Then",
    "Timing",
    "after",
    "anew",
    "coming",
    "cut",
    "describe",
    "find",
    "first",
    "following",
    "format_duration",
    "is_recurring",
    "moment",
    "normalise",
    "parse_duration",
    "parse_span",
    "present",
    "preview",
    "rule_for",
    "rules_of",
    "shifted",
    "tzdata_version",
    "without_past",
    "zone_of",
]
