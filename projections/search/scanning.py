"""Search without an index: the newest documents are read and looked at one by one.

Place in the flow: `PostgresSearch` for occurrences and for what happened. What is read is bounded, and the answer says
when the bound was met.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from horae.domain import codec
from horae.projections.queries.pages import Where
from horae.projections.search.cursors import Place, encode
from horae.projections.search.documents import Document, audit_document, micros, occurrence_document
from horae.projections.search.ports import (
    COMPLETIONS,
    FACET_HOURS,
    FACET_VALUES,
    Count,
    Facets,
    Found,
    Highlight,
    Hit,
    Query,
)
from horae.projections.search.words import Clause, matches
from horae.projections.statements import statements

if TYPE_CHECKING:
    from horae.projections.schema import Connection

#: How many of the newest documents that pass the filters are looked at.
SCANNED = 5_000
#: The event loop gets a turn after so many.
_AT_ONCE = 200
_SQL = statements("search")
_FACET_FIELDS = {"status": "status", "channel": "channel", "zone": "zone", "type": "type"}


async def scan_occurrences(conn: Connection, tenant: str, query: Query, most: int) -> tuple[list[Document], bool]:
    """The latest occurrences that pass the filters, and whether these are all."""
    where = Where(tenant, most + 1)
    where.add("o.tenant = $1")
    if query.status:
        where.add("o.status = ANY ({}::text[])", list(query.status))
    if query.priority:
        where.add("o.priority = ANY ({}::int[])", list(query.priority))
    for tag in query.tags:
        where.add("{}::text = ANY (s.tags)", tag)
    if query.channel is not None:
        exact = ":" in query.channel
        where.add("s.channel = {}" if exact else "split_part(s.channel, ':', 1) = {}", query.channel)
    for condition, value in (
        ("o.recipient_ref = {}", query.recipient_ref),
        ("o.plan ->> 'zone' = {}", query.zone),
        ("s.type = {}", query.type),
        ("o.due_at >= {}", query.due_from),
        ("o.due_at < {}", query.due_to),
    ):
        if value is not None:
            where.add(condition, value)
    rows = await conn.fetch(_SQL["scan_occurrences"].format(where=where), *where.parameters)
    return [occurrence_document(dict(row)) for row in rows[:most]], len(rows) <= most


async def scan_audit(conn: Connection, tenant: str, query: Query, most: int) -> tuple[list[Document], bool]:
    """What happened last, as far as it passes the filters, and whether this is all."""
    rows = await conn.fetch(_SQL["scan_events"], tenant, most + 1)
    found = []
    for number, row in enumerate(rows[:most]):
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
        try:
            event = codec.load(row["topic"], row["state"], row["stream"], row["version"], row["position"])
        except ValueError:
            continue  # a newer version wrote it: that one shows it
        if query.created_from is not None and event.meta.recorded_at < query.created_from:
            continue
        if query.created_to is not None and event.meta.recorded_at >= query.created_to:
            continue
        document = audit_document(event)
        if query.type is None or document.fields["type"] == query.type:
            found.append(document)
    return found, len(rows) <= most


async def search(
    documents: Sequence[Document],
    query: Query,
    clauses: tuple[Clause, ...],
    behind: Place | None,
    *,
    engine: str,
    complete: bool,
) -> Found:
    """A page of those documents that meet the clauses, and how all of them spread."""
    hits = []
    for number, document in enumerate(documents):
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
        words = document.words() if clauses else []
        if not clauses or matches(words, clauses):
            hits.append((_place(document, query, words, clauses, engine), document))
    ordered = sorted((hit for hit in hits if hit[0] is not None), key=lambda hit: _key(hit[0]))
    rest = [hit for hit in ordered if behind is None or _key(hit[0]) > _key(behind)]
    shown = rest[: query.limit]
    last = shown[-1][0] if len(rest) > len(shown) and shown else None
    return Found(
        tuple(hit_of(document, clauses) for _, document in shown),
        _facets([document for _, document in hits]),
        len(hits),
        complete,
        encode(query, last) if last is not None else None,
        engine,
    )


async def suggest(documents: Iterable[Document], clauses: tuple[Clause, ...], beginning: str) -> list[Count]:
    """The words that begin so, in documents that meet the clauses."""
    counter: Counter[str] = Counter()
    for number, document in enumerate(documents):
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
        words = document.words()
        if matches(words, clauses):
            counter.update({word for word in words if word.startswith(beginning)})
    ranked = sorted(counter.items(), key=lambda item: (-item[1], item[0]))
    return [Count(word, count) for word, count in ranked[:COMPLETIONS]]


def _place(
    document: Document, query: Query, words: Sequence[str], clauses: tuple[Clause, ...], engine: str
) -> Place | None:
    at = document.fields["due_at" if query.by == "due" else "created_at"]
    if at is None:
        return None
    if query.by != "relevance":
        return Place(query.by, micros(at), document.id)
    sought = {word for clause in clauses if not clause.negated for word in clause.words}
    occurring = sum(any(word.startswith(s) for s in sought) for word in words)
    return Place("relevance", micros(at), document.id, occurring / (len(words) + 10), engine)


def _key(place: Place | None) -> tuple[object, ...]:
    """Sorts as the page does; ids descend where instants do."""
    assert place is not None
    if place.by == "due":
        return (place.at, place.id)
    descending = tuple(-ord(c) for c in place.id)
    return (-place.at, descending) if place.score is None else (-place.score, -place.at, descending)


def _facets(documents: Sequence[Document]) -> Facets:
    counters = {name: Counter[str]() for name in ("status", "tag", "channel", "zone", "type")}
    hours: Counter[str] = Counter()
    for document in documents:
        for name, field in _FACET_FIELDS.items():
            if document.fields.get(field) is not None:
                counters[name][document.fields[field]] += 1
        counters["tag"].update(document.fields.get("tags", ()))
        if document.fields.get("due_at") is not None:
            hours[document.fields["due_at"][:13] + ":00:00Z"] += 1
    values = {
        name: tuple(Count(*item) for item in sorted(c.items(), key=lambda i: (-i[1], i[0]))[:FACET_VALUES])
        for name, c in counters.items()
    }
    return Facets(values, tuple(Count(*item) for item in sorted(hours.items())[-FACET_HOURS:]))


def hit_of(document: Document, clauses: tuple[Clause, ...]) -> Hit:
    """The document as it is answered."""
    highlights = tuple(Highlight(path, html) for path, html in document.highlights(clauses))
    return Hit(document.kind, document.id, highlights, document.fields)
