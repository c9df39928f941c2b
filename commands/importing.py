"""What a file's lines come to: an item to send, or a reject with a reason. Shared by all formats.

Place in the flow: a reader of `infra.importing` -> *here* -> `horae import`, or the API's own import.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import time
from hashlib import sha256
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Item:
    """One schedule to ask for."""

    #: 1 for the first data row or component of the file.
    row: int
    #: The text line on which it starts, 1 for the file's first.
    line: int
    #: Makes a second import of the same file add nothing.
    idempotency_key: str
    #: A body of POST /v1/schedules.
    body: Mapping[str, Any]
    #: Slots (local time, fold 0) to skip once the schedule exists.
    skips: tuple[str, ...] = ()
    #: The reader's own name of it, shown in reports.
    label: str = ""
    #: The file's words for the request's fields, where they differ: {"local": "DTSTART"}.
    names: Mapping[str, str] = field(default_factory=dict)

    def place(self, path: str) -> str:
        """The file's word for a field of the request: `timing.local` is its DTSTART, `tags[0]` its column `tags`."""
        column = _column(path)
        return self.names.get(column, column)

    def skip_key(self, slot: str) -> str:
        """The idempotency key under which a slot is left out."""
        # A hash: keys may have characters that a header cannot carry, and any length.
        return f"import:skip:{sha256(f'{self.idempotency_key}:skip:{slot}'.encode()).hexdigest()}"


def _column(path: str) -> str:
    """The column that a field of the request came from: `timing.zone` -> `zone`, `tags[0]` -> `tags`."""
    parts = [part for part in path.replace("[", ".").replace("]", "").split(".") if part and not part.isdigit()]
    if parts and parts[0] in ("timing", "content") and len(parts) > 1:
        return parts[1]
    return parts[0] if parts else "row"


@dataclass(frozen=True, slots=True)
class Reject:
    """A line that was not taken, why, and what to do."""

    row: int
    line: int
    #: The column or property at fault.
    place: str
    reason: str
    hint: str = ""
    label: str = ""
    raw: tuple[str, ...] = ()


class ImportFileError(Exception):
    """The file as a whole cannot be read: the message says why and what to do."""


class CalendarReader(Protocol):
    """What reads iCalendar files."""

    def __call__(self, text: str, *, channel: str, all_day_at: time) -> list[Item | Reject]:
        """Every VEVENT, in order; of several attendees one item each. All-day events are due at `all_day_at`.

        Takes as long as the file is: run it beside the loop. Raises `ImportFileError`.
        """
        ...


def policy_of(text: str) -> dict[str, Any]:
    """`conflicts` of a schedule, written as a strategy's name or as its JSON object. Raises ValueError."""
    text = text.strip()
    if not text.startswith("{"):
        return {"strategy": text}
    try:
        value: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"It is not JSON: {error}.") from None
    return value


def asking(entries: Iterable[Item | Reject], policy: Mapping[str, Any]) -> Iterator[Item | Reject]:
    """The same, where items that do not say what becomes of conflicts ask for `policy`."""
    for entry in entries:
        if isinstance(entry, Item) and "conflicts" not in entry.body:
            yield replace(entry, body={**entry.body, "conflicts": dict(policy)})
        else:
            yield entry
