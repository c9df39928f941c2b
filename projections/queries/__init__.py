"""What the read models answer: one function per question, typed rows, pages by opaque cursors.

Every question about a tenant names that tenant, and is asked inside `tenancy.tenant_connection`, where row-level
security says the same once more. `find_key`, `find_feed`, `applied_position`, `open_owners`, `open_claims`,
`count_standings` and `tenants` are about the installation.
"""

from horae.projections.queries.calendars import (
    CalendarRow,
    SubscribedRow,
    calendar_names,
    list_calendars,
    schedules_following,
    schedules_on,
    subscribed_calendars,
)
from horae.projections.queries.feeds import FeedRow, find_feed, list_feeds
from horae.projections.queries.figures import StandingCount, applied_position, count_standings
from horae.projections.queries.habits import (
    calibrations_of,
    due_windows,
    habits_of,
    habits_sample,
    learning_tenants,
    model_of,
    next_window,
    trust_in_models,
)
from horae.projections.queries.occurrences import (
    OccurrenceRow,
    OpenClaim,
    TimelineEntry,
    get_occurrence,
    list_dead_letters,
    list_occurrences,
    missed_run_near,
    open_claims,
    open_owners,
    recipient_timeline,
)
from horae.projections.queries.pages import MAX_PAGE, Page
from horae.projections.queries.people import KeyRow, RecipientRow, find_key, get_recipient, list_keys
from horae.projections.queries.schedules import (
    ScheduleFilters,
    ScheduleRow,
    SlotPointer,
    current_slot,
    get_schedule,
    left_of_series,
    list_schedules,
    neighbours,
    planned_by_others,
    tenants,
)

__all__ = [
    "MAX_PAGE",
    "CalendarRow",
    "FeedRow",
    "KeyRow",
    "OccurrenceRow",
    "OpenClaim",
    "Page",
    "RecipientRow",
    "ScheduleFilters",
    "ScheduleRow",
    "SlotPointer",
    "StandingCount",
    "SubscribedRow",
    "TimelineEntry",
    "applied_position",
    "calendar_names",
    "calibrations_of",
    "count_standings",
    "current_slot",
    "due_windows",
    "find_feed",
    "find_key",
    "get_occurrence",
    "get_recipient",
    "get_schedule",
    "habits_of",
    "habits_sample",
    "learning_tenants",
    "left_of_series",
    "list_calendars",
    "list_dead_letters",
    "list_feeds",
    "list_keys",
    "list_occurrences",
    "list_schedules",
    "missed_run_near",
    "model_of",
    "neighbours",
    "next_window",
    "open_claims",
    "open_owners",
    "planned_by_others",
    "recipient_timeline",
    "schedules_following",
    "schedules_on",
    "subscribed_calendars",
    "tenants",
    "trust_in_models",
]
