"""What search takes and answers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from horae.api.models.schedules import Shown
from horae.api.reading import Many, ReadQuery
from horae.domain.timing.values import Instant
from horae.projections.search.ports import MOST_HITS, Found, Query
from horae.projections.search.words import QUESTION_LIMIT

_Q = (
    'Words that must all be there, in any order. `"two words"` stand side by side, `begin*` begins a word, '
    "`-word` must not be there. Case and accents do not matter. Empty: everything that passes the filters."
)
_KIND = (
    "`schedule`: by recipient, channel, tags, content and metadata · `occurrence`: by the same of its schedule, and "
    "why it ended so · `audit`: what happened, by event, actor, stream and reason."
)
_SORT = (
    "`relevance`: best first (without `q`: as `created`) · `due`: those with a due instant, soonest first · `created`: "
    "newest first."
)


class SearchQuery(ReadQuery):
    """What is looked for; all given filters must hold, of one that is repeated any (of tags: all)."""

    q: str = Field(default="", max_length=QUESTION_LIMIT, description=_Q, examples=['"weekly report" -draft'])
    kind: Literal["schedule", "occurrence", "audit"] = Field(default="schedule", description=_KIND)
    status: Many[str] = Field(default=(), description="Where it stands.", examples=["pending"])
    tag: Many[str] = Field(default=(), description="With this tag.", examples=["onboarding"])
    channel: str | None = Field(default=None, max_length=2048, description="A whole channel, or its kind: `webhook`.")
    zone: str | None = Field(default=None, max_length=64, description="Last planned in this IANA zone.")
    type: str | None = Field(
        default=None, max_length=256, description="With this metadata.type; of `audit` this event: `schedule.created`."
    )
    recipient: str | None = Field(default=None, max_length=256, description="Whose.")
    priority: Many[int] = Field(default=(), description="Of this priority.")
    due_from: Instant | None = Field(default=None, description="Due at or after this instant.")
    due_to: Instant | None = Field(default=None, description="Due before this instant.")
    created_from: Instant | None = Field(default=None, description="Created (or happened) at or after this instant.")
    created_to: Instant | None = Field(default=None, description="Created (or happened) before this instant.")
    sort: Literal["relevance", "due", "created"] = Field(default="relevance", description=_SORT)
    limit: int = Field(default=50, ge=1, le=MOST_HITS, description="At most so many hits.")
    cursor: str | None = Field(default=None, max_length=4_000, description="`next` of the page before.")

    def question(self, recipient_ref: str | None) -> Query:
        """As engines take it."""
        return Query(
            q=self.q,
            kind=self.kind,
            status=self.status,
            tags=self.tag,
            channel=self.channel,
            zone=self.zone,
            type=self.type,
            recipient_ref=recipient_ref,
            priority=tuple(p for p in self.priority if 0 <= p <= 9) or ((-1,) if self.priority else ()),
            due_from=self.due_from,
            due_to=self.due_to,
            created_from=self.created_from,
            created_to=self.created_to,
            sort=self.sort,
            limit=self.limit,
            cursor=self.cursor,
        )


class SuggestQuery(ReadQuery):
    """What was typed so far."""

    q: str = Field(
        max_length=QUESTION_LIMIT,
        description="Its last word is completed; those before must be there.",
        examples=["rep"],
    )
    kind: Literal["schedule", "occurrence", "audit"] = Field(default="schedule", description="Among which documents.")


class HighlightShown(Shown):
    """A fragment with a hit."""

    field: str = Field(description="Where it stands.", examples=["content.subject"])
    html: str = Field(
        description="HTML: what was written is escaped, each hit stands between `<mark>` and `</mark>`.",
        examples=["Your weekly <mark>report</mark>"],
    )


class HitShown(Shown):
    """One hit."""

    kind: str = Field(examples=["schedule"])
    id: str = Field(
        description="Of the schedule or occurrence; of what happened its position in the log.",
        examples=["01936f3e-5b70-7cc4-a8d1-5f1e3c9d2a10"],
    )
    highlights: list[HighlightShown]
    source: dict[str, Any] = Field(
        description="It in short.",
        examples=[{"status": "pending", "recipient": "user-17", "due_at": "2027-01-04T08:00:00+00:00"}],
    )


class CountShown(Shown):
    """A value and how many hits have it."""

    value: str = Field(examples=["pending"])
    count: int = Field(examples=[12])


class FacetsShown(Shown):
    """How all hits spread, whatever page is shown; the most frequent values first."""

    status: list[CountShown]
    tag: list[CountShown]
    channel: list[CountShown]
    zone: list[CountShown]
    type: list[CountShown]
    due_hours: list[CountShown] = Field(
        description="The hours (UTC) in which something is due: the first 168, of occurrences the last.",
        examples=[[{"value": "2027-01-04T08:00:00Z", "count": 3}]],
    )


class SearchShown(Shown):
    """A page of hits."""

    items: list[HitShown]
    next: str | None = Field(default=None, description="Cursor of the next page; null: this was the last.")
    facets: FacetsShown
    total: int = Field(description="How many hits there are.", examples=[1])
    exact: bool = Field(description="False: there are at least so many, or only the newest were looked at.")
    served_by: str = Field(
        description="`elasticsearch`, or `postgresql` where there is none or it is away.", examples=["elasticsearch"]
    )


class Suggestions(Shown):
    """Words that complete the last one."""

    items: list[CountShown] = Field(examples=[[{"value": "report", "count": 12}]])


def found_shown(found: Found) -> SearchShown:
    """The answer."""
    values = {name: [_count(c) for c in counts] for name, counts in found.facets.values.items()}
    return SearchShown.model_construct(
        items=[
            HitShown.model_construct(
                kind=hit.kind,
                id=hit.id if hit.kind != "audit" else hit.id.lstrip("0"),
                highlights=[HighlightShown.model_construct(field=h.field, html=h.html) for h in hit.highlights],
                source=dict(hit.source),
            )
            for hit in found.items
        ],
        next=found.next,
        facets=FacetsShown.model_construct(
            status=values.get("status", []),
            tag=values.get("tag", []),
            channel=values.get("channel", []),
            zone=values.get("zone", []),
            type=values.get("type", []),
            due_hours=[_count(c) for c in found.facets.due_hours],
        ),
        total=found.total,
        exact=found.exact,
        served_by=found.served_by,
    )


def _count(count: Any) -> CountShown:
    return CountShown.model_construct(value=count.value, count=count.count)


def suggestions_shown(counts: list[Any]) -> Suggestions:
    """The answer."""
    return Suggestions.model_construct(items=[_count(count) for count in counts])
