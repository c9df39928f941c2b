"""What every search engine must do, whatever it keeps its words in.

Subclass `SearchIndexContract` and give it a fixture `index`: an engine that holds what `tell` tells, of two tenants.
"""

from __future__ import annotations

import html
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain.delivery import Delivery
from horae.domain.envelope import Recorded
from horae.domain.errors import Invalid
from horae.domain.personal import Personal
from horae.domain.schedule import Definition
from horae.projections.search.ports import Found, Query, SearchIndex
from tests.projections.told import DAILY, NOW, ONCE, Told, at

HOUR = timedelta(hours=1)
ACME, OTHER = "acme", "another"
REPORT = {"subject": "Weekly report", "body": "The figures of <b>sales & marketing</b> for Grüße GmbH"}


def tell() -> list[Recorded]:
    """Seven schedules of acme with their occurrences, and two of another tenant with the same words."""
    told = Told(tenant=ACME)
    told.created(
        1, ONCE, at(NOW + 6 * HOUR), content=REPORT, tags=("weekly", "sales"), metadata={"type": "digest", "n": 4711}
    )
    told.created(2, next_=at(NOW + 5 * HOUR), content={"subject": "Invoice 17"}, tags=("billing",), recipient="user-18")
    told.created(
        3, next_=at(NOW + 5 * HOUR), content={"text": "report report report"}, channel="webhook:https://a.io/x"
    )
    told.now = NOW + HOUR
    told.created(4, next_=at(NOW + 3 * HOUR), content={"subject": "世界 invoices"}, tags=("billing", "weekly"))
    told.created(5, next_=at(NOW + 3 * HOUR), content={"nested": [{"deep": ["report weekly"]}]}, metadata={"type": "x"})
    told.now = NOW + 2 * HOUR
    first = told.created(6, ONCE, content={"subject": "Reminder: your appointment"})
    told.ended(first, told.claimed(first))
    second = told.created(7, content={"subject": "Reminder: your order"}, tags=("order",))
    failing = told.claimed(second, next_=at(NOW + 24 * HOUR))
    told.failed(second, failing, retry_in_s=None)
    told.ended(second, failing, o.Outcome.DEAD_LETTERED, reason="gave up after 1 attempt")
    definition = Definition(timing=DAILY, priority=5, delivery=Delivery())
    personal = Personal(recipient="user-17", channel="log:", content={"subject": "Rewritten"}, tags=("changed",))
    changed = s.ScheduleChanged(
        changed=("content", "tags", "priority"), personal=personal, definition=definition, next_unchanged=True
    )
    told.tell(UUID(int=5), changed)
    other = Told(tenant=OTHER, log=list(told.log), now=told.now)
    other.created(100, content=REPORT, tags=("weekly", "secret"), next_=at(NOW + 6 * HOUR))
    third = other.created(101, ONCE, content={"subject": "Reminder of another"})
    other.ended(third, other.claimed(third))
    return other.log


def numbers(found: Found) -> list[int]:
    """The schedules that were found, by the numbers that they were told with."""
    return [UUID(hit.id).int for hit in found.items]


async def every(index: SearchIndex, tenant: str, **query: Any) -> list[str]:
    """The ids of all pages, two hits each."""
    ids: list[str] = []
    cursor = None
    while True:
        found = await index.search(tenant, Query(limit=2, cursor=cursor, **query))
        ids += [hit.id for hit in found.items]
        cursor = found.next
        if cursor is None:
            return ids


class SearchIndexContract:
    """The suite."""

    @pytest.mark.covers("LIF-10")
    @pytest.mark.parametrize(
        ("q", "expected"),
        [
            ("report", {1, 3}),
            ("REPORT weekly", {1}),
            ('"weekly report"', {1}),
            ('"report weekly"', set()),
            ("invoice*", {2, 4}),
            ("invoice", {2}),
            ("report -weekly", {3}),
            ('report -"weekly report"', {3}),
            ("grusse", {1}),
            ("GRÜSSE", {1}),
            ("sales&marketing", {1}),
            ("世界", {4}),
            ("界", {4}),
            ("4711", {1}),
            ("user-18", {2}),
            ("user-1*", {1, 2, 3, 4, 5, 6, 7}),
            ("a.io", {3}),
            ("billing weekly", {4}),
            ("rewritten", {5}),
            ("nothing", set()),
            ("billing 17 invoice", {2}),
            # A phrase does not reach from one field into the next.
            ('"billing invoice"', set()),
        ],
    )
    async def test_words(self, index: SearchIndex, q: str, expected: set[int]) -> None:
        """Words, phrases, beginnings, exclusions; case and accents do not matter."""
        found = await index.search(ACME, Query(q=q))
        assert set(numbers(found)) == expected
        assert (found.total, found.exact, found.served_by) == (len(expected), True, index.name)

    async def test_better_matches_come_first(self, index: SearchIndex) -> None:
        """The same word three times in a short text beats once in a long one."""
        assert numbers(await index.search(ACME, Query(q="report"))) == [3, 1]

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ({}, {1, 2, 3, 4, 5, 6, 7}),
            ({"status": ("completed",)}, {6}),
            ({"status": ("completed", "pending")}, {1, 2, 3, 4, 5, 6, 7}),
            ({"tags": ("billing",)}, {2, 4}),
            ({"tags": ("billing", "weekly")}, {4}),
            ({"channel": "webhook"}, {3}),
            ({"channel": "webhook:https://a.io/x"}, {3}),
            ({"channel": "log"}, {1, 2, 4, 5, 6, 7}),
            ({"zone": "Europe/Berlin"}, {1, 2, 3, 4, 5, 6, 7}),
            ({"zone": "Asia/Tokyo"}, set()),
            ({"type": "digest"}, {1}),
            ({"recipient_ref": "ref-user-18"}, {2}),
            ({"priority": (5,)}, {5}),
            ({"priority": (3, 99)}, {1, 2, 3, 4, 6, 7}),
            ({"due_from": NOW + 5 * HOUR, "due_to": NOW + 6 * HOUR}, {2, 3}),
            ({"created_from": NOW + HOUR, "created_to": NOW + 2 * HOUR}, {4, 5}),
            ({"q": "invoice*", "tags": ("weekly",)}, {4}),
            ({"status": ("*",)}, set()),
            ({"type": "d*"}, set()),
        ],
    )
    async def test_filters(self, index: SearchIndex, filters: dict[str, Any], expected: set[int]) -> None:
        """Each filter alone and together with words; values are meant literally."""
        assert set(numbers(await index.search(ACME, Query(**filters)))) == expected

    async def test_highlights_are_safe_html(self, index: SearchIndex) -> None:
        """What was written is escaped, the hits are marked, and the place is named."""
        found = await index.search(ACME, Query(q="sales grüße"))
        marked = {highlight.field: highlight.html for highlight in found.items[0].highlights}
        assert marked["tags"] == "<mark>sales</mark>"
        assert "&lt;b&gt;<mark>sales</mark> &amp; marketing&lt;/b&gt; for <mark>Grüße</mark>" in marked["content.body"]
        plain = marked["content.body"].replace("<mark>", "").replace("</mark>", "")
        assert html.unescape(plain).strip("…") in REPORT["body"]

    async def test_hits_say_what_they_are(self, index: SearchIndex) -> None:
        """Kind, id, and the document in short."""
        (hit,) = (await index.search(ACME, Query(q="invoice"))).items
        assert (hit.kind, UUID(hit.id)) == ("schedule", UUID(int=2))
        expected = {
            "recipient": "user-18",
            "status": "pending",
            "tags": ["billing"],
            "due_at": "2026-12-01T14:00:00+00:00",
        }
        assert {name: hit.source[name] for name in expected} == expected

    async def test_facets_count_all_hits(self, index: SearchIndex) -> None:
        """Whatever page is shown: statuses, tags, channels, zones, types, and the hours with something due."""
        found = await index.search(ACME, Query(limit=1))
        values = {name: {c.value: c.count for c in counts} for name, counts in found.facets.values.items()}
        assert values == {
            "status": {"pending": 6, "completed": 1},
            "tag": {"billing": 2, "weekly": 2, "sales": 1, "order": 1, "changed": 1},
            "channel": {"log:": 6, "webhook:https://a.io/x": 1},
            "zone": {"Europe/Berlin": 7},
            "type": {"digest": 1},
        }
        assert [(hour.value, hour.count) for hour in found.facets.due_hours] == [
            ("2026-12-01T12:00:00Z", 2),
            ("2026-12-01T14:00:00Z", 2),
            ("2026-12-01T15:00:00Z", 1),
            ("2026-12-02T09:00:00Z", 1),
        ]
        assert [c.value for c in found.facets.values["tag"]][:2] == ["billing", "weekly"]

    @pytest.mark.parametrize("sort", ["due", "created", "relevance"])
    @pytest.mark.parametrize("q", ["", "user"])
    async def test_pages_are_complete(self, index: SearchIndex, sort: Any, q: str) -> None:
        """Following `next` gives every hit once, in the order that was asked for."""
        ids = [UUID(id_).int for id_ in await every(index, ACME, q=q, sort=sort)]
        expected = {"due": [4, 5, 2, 3, 1, 7], "created": [7, 6, 5, 4, 3, 2, 1]}
        if sort != "relevance":
            assert ids == expected[sort]
        assert sorted(ids) == (sorted(expected["due"]) if sort == "due" else [1, 2, 3, 4, 5, 6, 7])

    async def test_occurrences(self, index: SearchIndex) -> None:
        """Found by their schedule's words and by why they ended so."""
        delivered = await index.search(ACME, Query(q="appointment", kind="occurrence"))
        assert [hit.source["status"] for hit in delivered.items] == ["delivered"]
        dead = await index.search(ACME, Query(q="HTTP 500", kind="occurrence", status=("dead_lettered",)))
        assert [hit.source["schedule"] for hit in dead.items] == [str(UUID(int=7))]
        assert {h.field for h in dead.items[0].highlights} == {"last_failure"}
        both = await index.search(ACME, Query(q="reminder", kind="occurrence", sort="due"))
        assert both.total == 2
        assert {c.value: c.count for c in both.facets.values["status"]} == {"delivered": 1, "dead_lettered": 1}

    async def test_what_happened(self, index: SearchIndex) -> None:
        """Events, newest first: by name, by who did it, by their stream."""
        made = await index.search(ACME, Query(q="schedule created", kind="audit"))
        assert made.total == 7
        changed = await index.search(ACME, Query(kind="audit", type="schedule.changed"))
        assert [hit.source["summary"] for hit in changed.items] == ["schedule changed: content, tags, priority"]
        ended = await index.search(ACME, Query(q="dead_lettered", kind="audit"))
        assert ended.items[0].source["actor"] == "key:1"
        assert ended.items[0].highlights
        of_stream = await index.search(ACME, Query(q=str(UUID(int=5)), kind="audit", limit=1))
        assert of_stream.total == 2
        assert len(await every(index, ACME, kind="audit")) == 13

    async def test_suggestions(self, index: SearchIndex) -> None:
        """Complete the last word, most frequent first, in documents that have the words before it."""
        counted = [(c.value, c.count) for c in await index.suggest(ACME, "re")]
        assert counted == [("reminder", 2), ("report", 2), ("rewritten", 1)]
        assert [c.value for c in await index.suggest(ACME, "billing inv")] == ["invoice", "invoices"]
        assert [c.value for c in await index.suggest(ACME, "Wee")] == ["weekly"]
        assert await index.suggest(ACME, "report ") == []
        assert await index.suggest(ACME, "") == []
        assert [c.value for c in await index.suggest(ACME, "dead", "occurrence")] == []
        assert [c.value for c in await index.suggest(ACME, "appoint", "occurrence")] == ["appointment"]

    @pytest.mark.covers("LIF-10")
    @pytest.mark.parametrize(
        "query",
        [
            {"q": "secret"},
            {"q": "secret OR weekly"},
            {"q": "secret) | (tenant:another"},
            {"q": 'weekly" OR tenant:"another'.replace('"', "")},
            {"tags": ("secret",)},
            {"q": "sec*"},
            {"type": "another"},
            {"zone": "*"},
            {"channel": "log:*"},
            {"q": str(UUID(int=100)), "kind": "audit"},
            {"q": "another", "kind": "occurrence"},
        ],
    )
    async def test_no_tenant_gets_round_its_own(self, index: SearchIndex, query: dict[str, Any]) -> None:
        """Whatever is asked: neither hits, nor counts, nor facets, nor words of another tenant."""
        found = await index.search(ACME, Query(**query))
        assert (found.items, found.total, found.facets.due_hours) == ((), 0, ())
        assert not any(found.facets.values.values())

    async def test_another_tenant_s_cursor_and_words_show_nothing(self, index: SearchIndex) -> None:
        """A cursor is a place, not a permission; completions come from one's own documents."""
        cursor = (await index.search(OTHER, Query(q="re*", limit=1))).next
        assert cursor is not None
        theirs = await index.search(ACME, Query(q="re*", limit=50, cursor=cursor))
        assert not {100, 101} & set(numbers(theirs))
        assert await index.suggest(ACME, "secr") == []
        assert [c.value for c in await index.suggest(OTHER, "secr")] == ["secret"]
        for nobody in ("", "nobody", "*", "acme,another"):
            assert (await index.search(nobody, Query())).total == 0
        assert numbers(await index.search(OTHER, Query(sort="created"))) == [101, 100]

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ({"q": 'an "open phrase'}, "q"),
            ({"q": "-only -without"}, "q"),
            ({"q": "x*"}, "q"),
            ({"q": "word " * 100}, "q"),
            ({"q": "w" * 501}, "q"),
            ({"limit": 0}, "limit"),
            ({"limit": 201}, "limit"),
            ({"cursor": "garbage"}, "cursor"),
            ({"cursor": "W10"}, "cursor"),
            ({"kind": "audit", "tags": ("x",)}, "tag"),
            ({"kind": "audit", "recipient_ref": "x"}, "recipient"),
            ({"kind": "audit", "sort": "due"}, "sort"),
            ({"kind": "occurrence", "created_from": NOW}, "created_from"),
        ],
    )
    async def test_what_cannot_be_asked_is_refused(self, index: SearchIndex, query: dict[str, Any], field: str) -> None:
        """The refusal names the field and says what to do."""
        with pytest.raises(Invalid) as refused:
            await index.search(ACME, Query(**query))
        assert refused.value.field == field
        assert refused.value.hint

    async def test_a_cursor_belongs_to_its_question(self, index: SearchIndex) -> None:
        """Another order or kind with it is refused, not answered wrongly."""
        cursor = (await index.search(ACME, Query(sort="created", limit=1))).next
        for other in (Query(sort="due", cursor=cursor), Query(kind="audit", cursor=cursor)):
            with pytest.raises(Invalid, match="cursor"):
                await index.search(ACME, other)

    async def test_odd_characters_are_words_or_nothing(self, index: SearchIndex) -> None:
        """Whatever is typed is answered: operators of any engine mean nothing here."""
        for q in (
            "'",
            "\\",
            "a:b",
            "(((",
            "&|!<->",
            "/.*/",
            "~2",
            "^3",
            "[1 TO 2]",
            "%",
            "_",
            "🎉",
            "\u0301",
            "ﬁ",
            "½",
        ):
            assert (await index.search(ACME, Query(q=q))).served_by == index.name

    async def test_far_instants(self, index: SearchIndex) -> None:
        """The ends of time are instants like others."""
        first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
        assert (await index.search(ACME, Query(due_from=first, due_to=last))).total == 6
