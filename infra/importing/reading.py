"""Calendar files for the API, which reads few of them: what reads them is loaded with the first.

Place in the flow: implements `CalendarReader` of `commands.importing` over `calendar`.
"""

from __future__ import annotations

from datetime import time

from horae.commands.importing import Item, Reject


def calendar_entries(text: str, *, channel: str, all_day_at: time) -> list[Item | Reject]:
    """See `CalendarReader`."""
    from horae.infra.importing.calendar import read_calendar  # a third of a second, and only imports need it

    return list(read_calendar(text, channel=channel, all_day_at=all_day_at))
