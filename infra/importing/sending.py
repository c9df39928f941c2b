"""Items to the service, and what it said of each; or, for a dry run, what the same rules say here.

Each item travels with its own idempotency key, so that an import that broke off is simply run again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Protocol
from uuid import UUID

from pydantic import ValidationError

from horae.commands.importing import Item, Reject
from horae.domain import timing as t
from horae.domain.draft import Draft, check_draft
from horae.domain.errors import HoraeError, Invalid
from horae.infra.problems import Refused

#: Items in one bulk request.
CHUNK = 500

#: What ends a schedule as it is made, so that it has no slots to leave out.
_ENDED = ("merged", "given_way")


class Poster(Protocol):
    """POST to the API: raises `Refused` on a problem document, gives the parsed answer."""

    def post(self, path: str, body: Any = None, *, headers: dict[str, str] | None = None) -> Any:
        """POST a JSON body."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An item that the service has (or, in a dry run, would take)."""

    item: Item
    id: str | None = None
    due_at: str | None = None
    #: True: it was there already, from an earlier import.
    replayed: bool = False
    #: What was decided among others, as the service told it; None: it did not ask.
    settled: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Report:
    """What became of a file. `rows` = accepted rows + rejected rows."""

    accepted: list[Accepted] = field(default_factory=list)
    rejected: list[Reject] = field(default_factory=list)

    @property
    def created(self) -> int:
        """Schedules that did not exist before."""
        return sum(not accepted.replayed for accepted in self.accepted)

    @property
    def rows(self) -> int:
        """Rows of the file; several items of one row count once."""
        return len({entry.item.row for entry in self.accepted} | {reject.row for reject in self.rejected})


Progress = Callable[[int], None]


def send(api: Poster, entries: Iterable[Item | Reject], progress: Progress) -> Report:
    """Send all items; `progress` is told how many entries are done. Raises what the client raises, also half-way.

    Then nothing is lost: a second run takes up where the first broke off.
    """
    report = Report()
    source = iter(entries)
    while chunk := list(islice(source, CHUNK)):
        report.rejected.extend(entry for entry in chunk if isinstance(entry, Reject))
        items = [entry for entry in chunk if isinstance(entry, Item)]
        if items:
            _send_chunk(api, items, report)
        progress(len(chunk))
    report.rejected.sort(key=lambda reject: reject.row)
    return report


def _send_chunk(api: Poster, items: Sequence[Item], report: Report) -> None:
    bodies = [{**item.body, "idempotency_key": item.idempotency_key} for item in items]
    for item, result in zip(items, api.post("/v1/schedules/bulk", bodies)["items"], strict=True):
        problem = result.get("error")
        if problem is not None and result["status"] >= 500:
            # Not the row's fault: the import breaks off, and run again it takes up here.
            raise Refused(str(problem.get("detail")), problem.get("hint"), problem)
        if problem is not None:
            report.rejected.append(_rejected(item, problem))
            continue
        settled = result.get("settled")
        replayed = bool(result.get("replayed"))
        report.accepted.append(Accepted(item, result["id"], result.get("next_due_at"), replayed, settled))
        if settled is not None and settled["action"] in _ENDED:
            continue
        for slot in item.skips:
            _skip(api, item, result["id"], slot, report)


def _skip(api: Poster, item: Item, schedule: str, slot: str, report: Report) -> None:
    headers = {"Idempotency-Key": item.skip_key(slot)}
    try:
        api.post(f"/v1/schedules/{schedule}/skip", {"slot": slot, "fold": 0}, headers=headers)
    except Refused as refused:
        code = refused.problem.get("code")
        if code == "already_claimed":
            # It lies behind the series, like most exceptions of an old calendar: there is nothing left to take out.
            return
        if code != "invalid":
            raise
        reason = f"The schedule was made, but it has no slot {slot} that could be left out."
        report.rejected.append(Reject(item.row, item.line, "EXDATE", reason, str(refused.hint or ""), item.label))


def _rejected(item: Item, problem: dict[str, Any]) -> Reject:
    what = str(problem.get("detail") or problem.get("title"))
    if others := problem.get("conflicts"):
        what += f" It meets {', '.join(each['schedule'] for each in others)}."
    hint = str(problem.get("hint") or "")
    return Reject(item.row, item.line, item.place(str(problem.get("field") or "row")), what, hint, item.label)


def _path(location: tuple[int | str, ...]) -> str:
    # The second part of a place in the timing is the union's tag, which the body does not have.
    parts = location[:1] + location[2:] if location[0] == "timing" and len(location) > 2 else location
    return ".".join(str(part) for part in parts)


def check(entries: Iterable[Item | Reject], *, now: datetime, default_zone: str) -> Iterator[Accepted | Reject]:
    """What the service would say at `now`, without it: the same models, limits and timing rules."""
    for entry in entries:
        if isinstance(entry, Reject):
            yield entry
            continue
        try:
            due_at = _due_at(entry, now, default_zone)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            yield _rejected(entry, {"detail": first["msg"].removeprefix("Value error, "), "field": _path(first["loc"])})
        except HoraeError as error:
            yield _rejected(entry, {"detail": error.message, "field": error.field, "hint": error.hint})
        else:
            yield Accepted(entry, due_at=due_at)


def _due_at(item: Item, now: datetime, default_zone: str) -> str:
    draft = Draft.model_validate_json(json.dumps(item.body))
    check_draft(draft)
    context = t.Context(now=now, schedule_id=UUID(int=0), default_zone=default_zone)
    timing = t.normalise(draft.timing, context)
    first = t.first(timing, context)
    if first is None:
        raise Invalid("The timing has no slot from now on.", field="timing", hint="Choose a later end.")
    return first.due_at.isoformat().replace("+00:00", "Z")
