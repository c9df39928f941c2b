"""What single settings may be, beyond their types.

Place in the flow: named beside the fields of `settings.Settings`; what they raise becomes the message about a setting.
"""

from __future__ import annotations

import re
from typing import Final

from horae.domain.errors import Invalid
from horae.domain.timing.zones import check_zone

#: The setting's word for the zone data that are installed.
IANA: Final = "IANA"


def known_zone(name: str) -> str:
    """Raises ValueError with the closest names."""
    try:
        check_zone(name, "zone")
    except Invalid as error:
        raise ValueError(str(error)) from None
    return name


#: Topics with a meaning to us: who may name the topic of a release may not name these.
OWN_TOPICS = frozenset(
    {"horae-log", "schedule-commands", "schedule-command-replies", "schedule-commands-dead", "engagement-events"}
)


def listed(value: str | None) -> list[str]:
    """What stands between commas."""
    return [item.strip() for item in (value or "").split(",") if item.strip()]


def header(name: str) -> str:
    """Raises ValueError for what cannot be one's name."""
    if not re.fullmatch(r"[A-Za-z0-9-]+", name):
        raise ValueError("a header's name has letters, digits and hyphens, such as X-API-Key")
    return name
