"""CSV rows to items. The columns are listed in `COLUMNS`; others become members of the content.

Idempotent by the `key` column, or without one by the row's hash and its ordinal among equal rows, so that
two equal rows are two messages, yet a second import of the file adds nothing.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

from horae.commands.importing import ImportFileError, Item, Reject, policy_of

#: Columns with a meaning of their own; `subject`, `body` and every other column go into the content.
TIMING_COLUMNS = ("at", "local", "zone", "delay", "phrase", "cron", "rrule", "starts_at", "ends_at", "count")
COLUMNS = ("key", "recipient", "channel", *TIMING_COLUMNS, "priority", "tags", "metadata", "conflicts")

_KINDS = ("at", "local", "delay", "phrase", "cron", "rrule")


class _RowError(Exception):
    def __init__(self, field: str, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.field, self.reason, self.hint = field, reason, hint


def read_table(text: str, *, channel: str) -> Iterator[Item | Reject]:
    """Every data row, in order, as an item or a reject; `channel` is used where the row names none.

    Raises `ImportFileError` when the first line does not name the columns.
    """
    csv.field_size_limit(1 << 20)
    reader = csv.reader(io.StringIO(text, newline=""), dialect=_dialect(text))
    table = _Table(_header(next(reader, [])), channel)
    row, line = 0, reader.line_num + 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            row += 1
            yield Reject(row, line, "row", f"The row cannot be read: {error}.", "Check its quotes.")
        else:
            if cells:
                row += 1
                yield table.read(row, line, cells)
        line = reader.line_num + 1


class _Table:
    """What must be remembered from row to row."""

    def __init__(self, header: list[str], channel: str) -> None:
        self._header = header
        self._channel = channel
        self._keys: dict[str, tuple[int, list[str]]] = {}
        self._equals: Counter[str] = Counter()

    def read(self, row: int, line: int, cells: list[str]) -> Item | Reject:
        try:
            return self._item(row, line, cells)
        except _RowError as error:
            label = dict(zip(self._header, cells, strict=False)).get("key", "")
            return Reject(row, line, error.field, error.reason, error.hint, label, tuple(cells))

    def _item(self, row: int, line: int, cells: list[str]) -> Item:
        if len(cells) != len(self._header):
            counts = f"{len(cells)} fields, the header {len(self._header)}"
            raise _RowError("row", f"The row has {counts}.", "Check commas and quotes.")
        values = dict(zip(self._header, cells, strict=True))
        key = values.get("key", "").strip()
        if key in self._keys:
            first, earlier = self._keys[key]
            same = "the same" if earlier == cells else "another"
            raise _RowError("key", f"The key {key!r} stands in row {first} already, with {same} text.", "Keep one.")
        body = _body(values, self._channel)
        if key:
            self._keys[key] = (row, cells)
            return Item(row, line, f"import:key:{_short(key)}", body, label=key)
        digest = _digest("\x1f".join(cells))
        self._equals[digest] += 1
        return Item(row, line, f"import:row:{digest}:{self._equals[digest]}", body, label=f"row {row}")


def _digest(text: str) -> str:
    return blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def _short(key: str) -> str:
    # An Idempotency-Key has its own limit and alphabet.
    return key if len(key) <= 100 and key.isascii() and key.isprintable() else _digest(key)


def _dialect(text: str) -> type[csv.Dialect] | csv.Dialect:
    first = text.split("\n", 1)[0]
    dialect = csv.excel()
    # The header tells: it has no quoted text in it.
    dialect.delimiter = max(",;\t|", key=first.count) if first else ","
    return dialect


def _header(cells: list[str]) -> list[str]:
    header = [cell.strip().lower() for cell in cells]
    if "recipient" not in header:
        raise ImportFileError(
            f"The first line must name the columns, among them `recipient`; it reads {', '.join(header)[:120]!r}. "
            f"Known columns: {', '.join(COLUMNS)}; all others become content."
        )
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise ImportFileError(f"The column {twice[0]!r} stands there twice: rename one.")
    return header


def _body(values: Mapping[str, str], channel: str) -> dict[str, Any]:
    if not values["recipient"].strip():
        raise _RowError("recipient", "The row names no recipient.", "Fill the column.")
    body: dict[str, Any] = {
        "recipient": values["recipient"].strip(),
        "channel": values.get("channel", "").strip() or channel,
        "content": {name: text for name, text in values.items() if name not in COLUMNS and text},
        "timing": _timing(values),
    }
    if values.get("priority", "").strip():
        body["priority"] = _int(values, "priority")
    if values.get("tags", "").strip():
        body["tags"] = [tag.strip() for tag in values["tags"].split(";") if tag.strip()]
    if values.get("metadata", "").strip():
        body["metadata"] = _metadata(values["metadata"])
    if values.get("conflicts", "").strip():
        body["conflicts"] = _conflicts(values["conflicts"])
    return body


def _timing(values: Mapping[str, str]) -> dict[str, Any]:
    given = {name: values[name].strip() for name in TIMING_COLUMNS if values.get(name, "").strip()}
    kinds = [name for name in _KINDS if name in given]
    if len(kinds) != 1:
        what = f"{' and '.join(kinds)} at once" if kinds else "no time"
        raise _RowError("timing", f"The row names {what}.", f"Fill exactly one of {', '.join(_KINDS)}.")
    match kinds[0]:
        case "at":
            return {"kind": "at", **given}
        case "local":
            given["local"] = given["local"].replace(" ", "T", 1)
            return {"kind": "at", "zone": "recipient", **given}
        case "delay":
            return {"kind": "in", **given}
        case "phrase":
            text = given.pop("phrase")
            return {"kind": "phrase", "text": text, **given}
        case _:
            timing: dict[str, Any] = {"kind": "every", "zone": "recipient", **given}
            if "count" in given:
                timing["count"] = _int(values, "count")
            return timing


def _int(values: Mapping[str, str], name: str) -> int:
    try:
        return int(values[name])
    except ValueError:
        raise _RowError(name, f"{values[name]!r} is not a whole number.", "Write it in digits.") from None


def _metadata(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _RowError("metadata", f"It is not JSON: {error}.", 'Write an object: {"type": "reminder"}.') from None
    if not isinstance(value, dict):
        raise _RowError("metadata", "It is not a JSON object.", 'Write an object: {"type": "reminder"}.')
    return value


def _conflicts(text: str) -> dict[str, Any]:
    try:
        return policy_of(text)
    except ValueError as error:
        hint = 'Write a strategy such as reject, or {"strategy": "shift", "window": "PT1H"}.'
        raise _RowError("conflicts", str(error), hint) from None
