"""The search port: a question, a page of what was found, and what an engine promises.

Place in the flow: api -> *SearchIndex* -> an engine; indexer -> *DocumentStore* -> an engine that keeps its own copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, Protocol

from horae.domain.errors import Invalid
from horae.projections.search.documents import Document, Kind

Sort = Literal["relevance", "due", "created"]

KINDS: Final[tuple[Kind, ...]] = ("schedule", "occurrence", "audit")
MOST_HITS = 200
#: Beyond this many hits an engine may stop counting; facets may be of so many.
COUNTED = 10_000
#: Values of one facet, and hours of the histogram.
FACET_VALUES, FACET_HOURS = 20, 168
COMPLETIONS = 10
FACETS: Final = ("status", "tag", "channel", "zone", "type")

#: What a kind's documents do not have can be neither asked for nor sorted by.
_WITHOUT: Final[Mapping[Kind, frozenset[str]]] = {
    "schedule": frozenset(),
    "occurrence": frozenset({"created_from", "created_to"}),
    "audit": frozenset({"status", "tags", "channel", "zone", "recipient_ref", "priority", "due_from", "due_to"}),
}
_FIELD: Final = {"tags": "tag", "recipient_ref": "recipient"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question. All given conditions must hold; an empty tuple or None is no condition.

    Instants are aware UTC, `to` excluded. Use `check` before asking an engine.
    """

    #: Words, "phrases", beginnings*, -without: see `words.parse`.
    q: str = ""
    kind: Kind = "schedule"
    #: Any of these.
    status: tuple[str, ...] = ()
    #: All of these.
    tags: tuple[str, ...] = ()
    #: A whole channel ("webhook:https://...", "log:"), or its kind ("webhook").
    channel: str | None = None
    zone: str | None = None
    #: metadata's "type"; of audit documents the event's name.
    type: str | None = None
    recipient_ref: str | None = None
    priority: tuple[int, ...] = ()
    due_from: datetime | None = None
    due_to: datetime | None = None
    #: Of audit documents: when it was recorded.
    created_from: datetime | None = None
    created_to: datetime | None = None
    #: relevance: best first (as created where nothing is asked for) · due: those with a due instant, soonest first ·
    #: created: newest first (occurrences: latest due first).
    sort: Sort = "relevance"
    limit: int = 50
    cursor: str | None = None

    @property
    def by(self) -> Sort:
        """The order in which the answer comes."""
        return "created" if self.sort == "relevance" and not self.q.strip() else self.sort

    def check(self) -> None:
        """Raises `Invalid` naming what the kind's documents do not have."""
        if not 1 <= self.limit <= MOST_HITS:
            raise Invalid(
                f"A page has 1 to {MOST_HITS} hits.",
                field="limit",
                value=self.limit,
                hint="Ask for fewer and follow `next`.",
            )
        for name in sorted(_WITHOUT[self.kind]):
            value = getattr(self, name)
            if value not in (None, ()):
                raise Invalid(
                    f"Documents of kind {self.kind} cannot be filtered by this.",
                    field=_FIELD.get(name, name),
                    value=value,
                    hint=f"Leave it out, or ask for kind=schedule{' or occurrence' if self.kind == 'audit' else ''}.",
                )
        if self.kind == "audit" and self.sort == "due":
            raise Invalid(
                "What happened is not due.", field="sort", value=self.sort, hint="Sort by `created` or `relevance`."
            )


@dataclass(frozen=True, slots=True)
class Highlight:
    """A fragment that shows a hit: HTML, escaped, the hits between `<mark>` and `</mark>`."""

    #: Where it stands, such as content.subject.
    field: str
    html: str


@dataclass(frozen=True, slots=True)
class Hit:
    """One document that was found."""

    kind: Kind
    id: str
    highlights: tuple[Highlight, ...]
    #: What the document says in short.
    source: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Count:
    """How many documents have this value."""

    value: str
    count: int


@dataclass(frozen=True, slots=True)
class Facets:
    """How the hits spread: the most frequent values of each field, and the hours in which they are due."""

    #: By the names in `FACETS`.
    values: Mapping[str, tuple[Count, ...]] = field(default_factory=dict)
    #: The first hours with something due (of occurrences the last), each an RFC 3339 instant in UTC.
    due_hours: tuple[Count, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A page of hits. `next` None: there are no more."""

    items: tuple[Hit, ...]
    facets: Facets
    total: int
    #: False: there are at least `total`; or, of an engine that reads only the newest documents, `total` among those.
    exact: bool
    next: str | None
    #: The engine: elasticsearch or postgresql.
    served_by: str


class SearchIndex(Protocol):
    """Finds a tenant's documents. Raises `Invalid` for what cannot be asked, `Unavailable` when it cannot answer now.

    No tenant ever sees another's document, count or word, whatever it asks: each engine binds every request to the
    tenant in one place.
    """

    @property
    def name(self) -> str:
        """As answers say it."""
        ...

    async def search(self, tenant: str, query: Query) -> Found:
        """A page. Pages in the order `created` or `due` go on at the same place in every engine; those by relevance
        only in the engine that began."""
        ...

    async def suggest(self, tenant: str, prefix: str, kind: Kind = "schedule") -> list[Count]:
        """Words that complete the last one of `prefix`, in documents that have the words before it; most frequent
        first, at most `COMPLETIONS`."""
        ...


@dataclass(frozen=True, slots=True)
class Checksum:
    """Of one kind's documents of all tenants: how many, and a sum over their bodies that no order changes."""

    documents: int
    sum: int


class DocumentStore(Protocol):
    """An engine that keeps a copy of the documents, all tenants'. Raises `Unavailable`."""

    async def put(self, documents: Sequence[Document]) -> None:
        """Store documents and tombstones; of each id the highest version wins, whatever the order and repeats."""
        ...

    async def refresh(self) -> None:
        """Return when everything put so far is found."""
        ...

    async def checksum(self, kind: Kind) -> Checksum:
        """Over everything that is not a tombstone."""
        ...
