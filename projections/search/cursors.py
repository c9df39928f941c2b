"""Cursors of search: where a page ended, in which order, and for whom it can go on.

A place in the order `created` or `due` is an instant and an id, which every engine knows; a place by relevance is a
score, which means something only to the engine (and the view of its index) that gave it.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any, NoReturn

from horae.domain.errors import Invalid
from horae.projections.search.ports import Query, Sort

_LONGEST = 4_000


@dataclass(frozen=True, slots=True)
class Place:
    """Behind what to go on."""

    by: Sort
    #: Microseconds since 1970 of the instant that is sorted by.
    at: int
    id: str
    #: By relevance only: the score, whose it is, and that engine's own name of its view.
    score: float | None = None
    engine: str = ""
    view: str = ""


def encode(query: Query, place: Place) -> str:
    """An opaque text."""
    facts: list[object] = [query.kind, place.by, place.at, place.id]
    if place.by == "relevance":
        facts += [place.score, place.engine, place.view]
    return base64.urlsafe_b64encode(json.dumps(facts, separators=(",", ":")).encode()).decode().rstrip("=")


def decode(query: Query, engine: str) -> Place | None:
    """Behind what this query goes on; None: at the beginning. Raises `Invalid` for what does not belong to it."""
    if query.cursor is None:
        return None
    try:
        kind, by, at, id_, *more = _facts(query.cursor)
        score, owner, view = more or (None, "", "")
        sound = isinstance(at, int) and abs(at) < 2**62 and isinstance(id_, str) and isinstance(view, str)
        if not sound or (kind, by) != (query.kind, query.by) or (by == "relevance") != isinstance(score, float):
            raise ValueError(by)
    except (ValueError, TypeError, binascii.Error, RecursionError):
        refuse(query.cursor)
    if by == "relevance" and owner != engine:
        refuse(query.cursor, "The engine that began this list is away.")
    return Place(by, at, id_, score, owner, view)


def owner(query: Query) -> str:
    """The one engine in which the query can go on; empty: any, or the cursor is none."""
    try:
        facts = _facts(query.cursor or "")
    except (ValueError, TypeError, binascii.Error, RecursionError):
        return ""
    return facts[5] if len(facts) == 7 and isinstance(facts[5], str) else ""


def _facts(cursor: str) -> list[Any]:
    if len(cursor) > _LONGEST:
        raise ValueError("too long")
    padded = cursor + "=" * (-len(cursor) % 4)
    facts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    if not isinstance(facts, list):
        raise TypeError(type(facts))
    return facts


def refuse(cursor: str, why: str = "The cursor does not belong to this search.") -> NoReturn:
    """Raises `Invalid`."""
    raise Invalid(
        why,
        field="cursor",
        value=cursor[:80],
        hint="Pass `next` of the page before, with the same question and sort; or search anew.",
    )
