"""Search in Elasticsearch.

Place in the flow: api -> *ElasticsearchSearch* -> the read aliases. The words of questions and documents are made by
`search.words`, so that what is found is what PostgreSQL would find.

Pages go on behind the last hit's sort keys (`search_after`), which every engine knows. By relevance they go on in a
point in time, opened when the first page has a second: scores would drift while documents come and go.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from elasticsearch import AsyncElasticsearch, NotFoundError

from horae.domain.errors import Unavailable
from horae.infra.elasticsearch.connection import ASK_TIMEOUT_S, told
from horae.infra.elasticsearch.indices import Indices, as_document
from horae.projections.search.cursors import Place, decode, encode, refuse
from horae.projections.search.documents import Kind
from horae.projections.search.ports import (
    COMPLETIONS,
    COUNTED,
    FACET_HOURS,
    FACET_VALUES,
    Count,
    Facets,
    Found,
    Query,
)
from horae.projections.search.scanning import hit_of
from horae.projections.search.words import Clause, parse, words_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
#: The server gives up before we stop waiting.
_SERVER_TIMEOUT = f"{int(ASK_TIMEOUT_S * 900)}ms"
#: How long the view behind a cursor by relevance is kept after each page.
_KEEP_VIEW = "2m"
#: Words that a beginning at the end of a phrase may stand for.
_EXPANSIONS = 1_000
_FACET_FIELDS = {"status": "status", "tag": "tags", "channel": "channel", "zone": "zone", "type": "type"}


class ElasticsearchSearch:
    """Implements `SearchIndex`."""

    name = "elasticsearch"

    def __init__(self, client: AsyncElasticsearch, indices: Indices) -> None:
        self._client = client
        self._indices = indices

    async def search(self, tenant: str, query: Query) -> Found:
        """See `SearchIndex.search`."""
        query.check()
        clauses, behind = parse(query.q), decode(query, self.name)
        request: dict[str, Any] = {
            "size": query.limit + 1,
            "sort": _ordering(query),
            "track_total_hits": COUNTED,
            "aggregations": _facets_of(query.kind),
            "source_includes": ["id", "tenant", "version", "deleted", "body"],
        }
        if query.by == "due":
            # Those without a due instant count among the hits, but have no place on a page.
            request["post_filter"] = {"exists": {"field": "due_us"}}
        if behind is not None:
            place = [behind.at, behind.id]
            request["search_after"] = [behind.score, *place] if query.by == "relevance" else place
        view = behind.view if behind is not None else ""
        try:
            answer = await self._ask(tenant, query.kind, clauses, _conditions(query), view=view, **request)
        except NotFoundError:
            if view:
                refuse(query.cursor or "", "The list was left alone for too long.")
            raise Unavailable("The search index is missing.", hint="It is filled when the indexer runs.") from None
        hits = answer["hits"]["hits"]
        shown, total = hits[: query.limit], answer["hits"]["total"]
        following = None
        if len(hits) > query.limit:
            if query.by == "relevance":
                view = answer.get("pit_id") or await self._open_view(query.kind)
            following = encode(query, _place(query, shown[-1], self.name, view))
        return Found(
            tuple(hit_of(as_document(query.kind, hit["_source"]), clauses) for hit in shown),
            _facets(query.kind, answer["aggregations"]),
            min(total["value"], COUNTED),
            total["relation"] == "eq",
            following,
            self.name,
        )

    async def suggest(self, tenant: str, prefix: str, kind: Kind = "schedule") -> list[Count]:
        """See `SearchIndex.suggest`."""
        parse(prefix)
        words = words_of(prefix)
        if not words or prefix[-1:].isspace():
            return []
        before = parse(" ".join(prefix.split()[:-1])) if len(prefix.split()) > 1 else ()
        clauses = (*before, Clause((words[-1],), prefix=True))
        # A word is letters and digits only: nothing of it means anything in a pattern.
        order: list[dict[str, str]] = [{"_count": "desc"}, {"_key": "asc"}]
        wanted = {"field": "completions", "include": f"{words[-1]}.*", "size": COMPLETIONS, "order": order}
        try:
            answer = await self._ask(tenant, kind, clauses, [], size=0, aggregations={"words": {"terms": wanted}})
        except NotFoundError:
            raise Unavailable("The search index is missing.", hint="It is filled when the indexer runs.") from None
        return [Count(bucket["key"], bucket["doc_count"]) for bucket in answer["aggregations"]["words"]["buckets"]]

    async def _ask(
        self,
        tenant: str,
        kind: Kind,
        clauses: tuple[Clause, ...],
        conditions: list[dict[str, Any]],
        *,
        view: str = "",
        **request: Any,
    ) -> Mapping[str, Any]:
        """The one way to the server: whatever is asked, the tenant's own documents answer, and no tombstones."""
        query = {
            "bool": {
                "must": [_clause(clause) for clause in clauses if not clause.negated],
                "must_not": [{"term": {"deleted": True}}, *(_clause(c) for c in clauses if c.negated)],
                "filter": [{"term": {"tenant": tenant}}, *conditions],
            }
        }
        where: dict[str, Any] = {"index": self._indices.read_alias(kind)}
        if view:
            where = {"pit": {"id": view, "keep_alive": _KEEP_VIEW}}
        with told():
            answer = await self._client.search(
                **where,
                query=query,
                timeout=_SERVER_TIMEOUT,
                allow_partial_search_results=False,
                **request,
            )
        body: Mapping[str, Any] = answer.body
        if body["timed_out"]:
            raise Unavailable("The search took too long.", hint="Narrow it: by a status, a tag, or rarer words.")
        return body

    async def _open_view(self, kind: Kind) -> str:
        with told():
            opened = await self._client.open_point_in_time(index=self._indices.read_alias(kind), keep_alive=_KEEP_VIEW)
        return str(opened["id"])


def _clause(clause: Clause) -> dict[str, Any]:
    if len(clause.words) == 1:
        return {"prefix" if clause.prefix else "term": {"words": {"value": clause.words[0]}}}
    text = " ".join(clause.words)
    if clause.prefix:
        return {"match_phrase_prefix": {"words": {"query": text, "max_expansions": _EXPANSIONS}}}
    return {"match_phrase": {"words": {"query": text}}}


def _conditions(query: Query) -> list[dict[str, Any]]:
    conditions: list[dict[str, Any]] = [{"term": {"tags": tag}} for tag in query.tags]
    if query.status:
        conditions.append({"terms": {"status": list(query.status)}})
    if query.priority:
        conditions.append({"terms": {"priority": [p for p in query.priority if 0 <= p <= 9]}})
    if query.channel is not None:
        conditions.append({"term": {"channel" if ":" in query.channel else "channel_kind": query.channel}})
    for field, value in (("zone", query.zone), ("type", query.type), ("recipient_ref", query.recipient_ref)):
        if value is not None:
            conditions.append({"term": {field: value}})
    for field, start, end in (
        ("due_us", query.due_from, query.due_to),
        ("created_us", query.created_from, query.created_to),
    ):
        bounds = {name: (at - _EPOCH) // _US for name, at in (("gte", start), ("lt", end)) if at is not None}
        if bounds:
            conditions.append({"range": {field: bounds}})
    return conditions


def _ordering(query: Query) -> list[dict[str, Any]]:
    if query.by == "due":
        return [{"due_us": "asc"}, {"id": "asc"}]
    newest: list[dict[str, Any]] = [{"created_us": "desc"}, {"id": "desc"}]
    return [{"_score": "desc"}, *newest] if query.by == "relevance" else newest


def _place(query: Query, hit: Mapping[str, Any], engine: str, view: str) -> Place:
    *score, at, id_ = hit["sort"]
    return Place(query.by, at, id_, float(score[0]) if score else None, engine, view)


def _facets_of(kind: Kind) -> dict[str, Any]:
    named = {"type": "type"} if kind == "audit" else _FACET_FIELDS
    asked: dict[str, Any] = {
        name: {"terms": {"field": field, "size": FACET_VALUES, "order": [{"_count": "desc"}, {"_key": "asc"}]}}
        for name, field in named.items()
    }
    if kind != "audit":
        # A composite: the first hours only, however many years the hits are spread over.
        order = "desc" if kind == "occurrence" else "asc"
        hour = {"date_histogram": {"field": "due_at", "fixed_interval": "1h", "order": order}}
        asked["due"] = {"composite": {"size": FACET_HOURS, "sources": [{"hour": hour}]}}
    return asked


def _facets(kind: Kind, found: Mapping[str, Any]) -> Facets:
    values = {
        name: tuple(Count(bucket["key"], bucket["doc_count"]) for bucket in found.get(name, {}).get("buckets", ()))
        for name in _FACET_FIELDS
    }
    hours = [
        Count(_hour(bucket["key"]["hour"]), bucket["doc_count"]) for bucket in found.get("due", {}).get("buckets", ())
    ]
    return Facets(values, tuple(reversed(hours) if kind == "occurrence" else hours))


def _hour(ms: int) -> str:
    return (_EPOCH + timedelta(milliseconds=ms)).strftime("%Y-%m-%dT%H:%M:%SZ")
