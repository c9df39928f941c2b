"""The indices: what each kind's documents look like there, their names, and which of them are read and written.

`PREFIX-schedules-000001` holds documents; the alias `PREFIX-schedules` says which index is read, the alias
`PREFIX-schedules-write` which ones are written: one, or while a new one is being filled two. Each is written through an
alias of its own, so that a document for an index that was just deleted makes no new one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from elasticsearch import AsyncElasticsearch, BadRequestError

from horae.infra.elasticsearch.connection import BULK_TIMEOUT_S, found_or, told
from horae.projections.search.documents import Document, Kind, micros

_PLURAL: Final[Mapping[Kind, str]] = {"schedule": "schedules", "occurrence": "occurrences", "audit": "audit"}
#: Words of one document that completions come from.
_COMPLETED = 200

_KEYWORD: Final = {"type": "keyword"}
_SHOWN: Final = {"type": "keyword", "index": False, "doc_values": False}
_LONG: Final = {"type": "long"}
_COMMON: Final[dict[str, Any]] = {
    "id": _KEYWORD,
    "tenant": _KEYWORD,
    "version": _LONG,
    "deleted": {"type": "boolean"},
    "words": {"type": "text", "analyzer": "whitespace", "similarity": "BM25"},
    "completions": _KEYWORD,
    # As it was, for showing and comparing: neither read nor indexed by the server.
    "body": {"type": "object", "enabled": False},
    "type": _KEYWORD,
    "created_us": _LONG,
}
_SCHEDULED: Final[dict[str, Any]] = {
    "status": _KEYWORD,
    "recipient_ref": _KEYWORD,
    "channel": _KEYWORD,
    "channel_kind": _KEYWORD,
    "priority": {"type": "byte"},
    "tags": _KEYWORD,
    "zone": _KEYWORD,
    "due_us": _LONG,
    "due_at": {"type": "date", "format": "strict_date_optional_time"},
}
_MAPPINGS: Final[Mapping[Kind, dict[str, Any]]] = {
    "schedule": {**_COMMON, **_SCHEDULED},
    "occurrence": {**_COMMON, **_SCHEDULED, "schedule": _KEYWORD},
    "audit": {**_COMMON, "actor": _KEYWORD, "stream": _KEYWORD},
}
#: Of a document's fields those that are filtered by, counted, or sorted by.
_INDEXED: Final[Mapping[Kind, tuple[str, ...]]] = {
    "schedule": (
        "type", "status", "recipient_ref", "channel", "channel_kind", "priority", "tags", "zone", "due_at",
    ),
    "occurrence": (
        "type", "status", "recipient_ref", "channel", "channel_kind", "priority", "tags", "zone", "due_at", "schedule",
    ),
    "audit": ("type", "actor", "stream"),
}  # fmt: skip
_SETTINGS: Final = {
    "number_of_shards": 1,
    # One node: none; more nodes: one.
    "auto_expand_replicas": "0-1",
    "refresh_interval": "1s",
    "max_result_window": 10_000,
}


def fingerprint(kind: Kind) -> str:
    """Of what this code puts into the kind's index: another one means that it must be filled anew."""
    text = json.dumps([_MAPPINGS[kind], _INDEXED[kind], _COMPLETED], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def as_stored(document: Document) -> dict[str, Any]:
    """The document as the server gets it."""
    stored: dict[str, Any] = {
        "id": document.id,
        "tenant": document.tenant,
        "version": document.version,
        "deleted": document.deleted,
    }
    if document.deleted:
        return stored
    fields, words = document.fields, document.words()
    stored["body"] = {"fields": dict(fields), "texts": [list(text) for text in document.texts]}
    stored["words"] = [text.strip() for text in _texts(words)]
    stored["completions"] = list(dict.fromkeys(word for word in words if len(word) > 1))[:_COMPLETED]
    for name in _INDEXED[document.kind]:
        if fields.get(name) is not None:
            stored[name] = fields[name]
    stored["created_us"] = micros(fields["created_at"])
    if fields.get("due_at") is not None:
        stored["due_us"] = micros(fields["due_at"])
    return stored


def _texts(words: list[str]) -> list[str]:
    texts: list[list[str]] = [[]]
    for word in words:
        if word:
            texts[-1].append(word)
        else:
            texts.append([])
    return [" ".join(text) for text in texts if text]


def as_document(kind: Kind, source: Mapping[str, Any]) -> Document:
    """The document as it was put."""
    body = source.get("body", {"fields": {}, "texts": []})
    return Document(
        kind,
        source["id"],
        source["tenant"],
        source["version"],
        body["fields"],
        tuple((path, text) for path, text in body["texts"]),
        source["deleted"],
    )


class Indices:
    """Names, aliases and life of one installation's indices. Every method raises `Unavailable`."""

    def __init__(self, client: AsyncElasticsearch, prefix: str) -> None:
        self._client = client
        self._slow = client.options(request_timeout=BULK_TIMEOUT_S)
        self._prefix = prefix

    def read_alias(self, kind: Kind) -> str:
        """What questions go to."""
        return f"{self._prefix}-{_PLURAL[kind]}"

    def write_alias(self, kind: Kind) -> str:
        """What documents go to."""
        return f"{self.read_alias(kind)}-write"

    @staticmethod
    def writer(index: str) -> str:
        """The alias through which this index is written."""
        return f"{index}-writer"

    async def written(self, kind: Kind) -> list[str]:
        """The indices that documents are put into at this moment; none: they were never made, or were lost."""
        found = await found_or(self._client.indices.get_alias(name=self.write_alias(kind)), {})
        return sorted(found)

    async def read(self, kind: Kind) -> list[str]:
        """The index that questions go to; none: there is none."""
        found = await found_or(self._client.indices.get_alias(name=self.read_alias(kind)), {})
        return sorted(found)

    async def is_current(self, kind: Kind) -> bool:
        """Is the index that is read one that this code fills?"""
        found = await found_or(self._client.indices.get_mapping(index=self.read_alias(kind)), {})
        prints = {index["mappings"].get("_meta", {}).get("fingerprint") for index in found.values()}
        return prints == {fingerprint(kind)}

    async def ensure(self, kind: Kind) -> bool:
        """Make the kind's first index if there is none; True if it was made, and is empty."""
        if await self.read(kind):
            return False
        index = await self.make(kind)
        await self._actions([{"add": {"index": index, "alias": self.read_alias(kind)}}])
        return True

    async def make(self, kind: Kind) -> str:
        """A new, empty index, which from now on is written to; nobody reads it yet."""
        base = self.read_alias(kind)
        numbered = re.compile(re.escape(base) + r"-(\d{6})")
        found = await found_or(self._client.indices.get(index=f"{base}-*"), {})
        last = max((int(match[1]) for name in found if (match := numbered.fullmatch(name))), default=0)
        index = f"{base}-{last + 1:06d}"
        mapping = {
            "dynamic": "strict",
            "_meta": {"fingerprint": fingerprint(kind)},
            "properties": _MAPPINGS[kind],
        }
        with told():
            try:
                await self._slow.indices.create(
                    index=index,
                    settings=_SETTINGS,
                    mappings=mapping,
                    aliases={self.write_alias(kind): {}, self.writer(index): {}},
                )
            except BadRequestError as error:
                if error.error != "resource_already_exists_exception":
                    raise
        return index

    async def swap(self, kind: Kind, index: str) -> list[str]:
        """From now on `index` alone is read and written, in one step; gives the ones that are not any more."""
        old = [name for name in {*await self.read(kind), *await self.written(kind)} if name != index]
        aliases = (self.read_alias(kind), self.write_alias(kind))
        actions: list[dict[str, Any]] = [{"add": {"index": index, "alias": alias}} for alias in aliases]
        for name in old:
            actions += [{"remove": {"index": name, "alias": alias, "must_exist": False}} for alias in aliases]
        await self._actions(actions)
        return old

    async def drop(self, *names: str) -> None:
        """Delete indices, where they exist."""
        for name in names:
            await found_or(self._slow.indices.delete(index=name), None)

    async def names(self) -> list[str]:
        """Every index of this installation."""
        return sorted(await found_or(self._client.indices.get(index=f"{self._prefix}-*"), {}))

    async def _actions(self, actions: list[dict[str, Any]]) -> None:
        with told():
            await self._slow.indices.update_aliases(actions=actions)
