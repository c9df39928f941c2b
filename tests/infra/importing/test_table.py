"""CSV rows to items: encodings, delimiters, quotes, keys."""

from __future__ import annotations

import pytest

from horae.commands.importing import ImportFileError, Item, Reject, asking, policy_of
from horae.infra.importing.table import read_table
from horae.infra.importing.text import decode

HEADER = "recipient,subject,at\r\n"
ROW = "user-1,Grüße,2027-03-20T09:00:00Z\r\n"


def _items(text: str) -> list[Item]:
    entries = list(read_table(text, channel="log:"))
    assert all(isinstance(entry, Item) for entry in entries), entries
    return [entry for entry in entries if isinstance(entry, Item)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_marked_or_plain_unicode_file_is_read_as_it_is(encoding: str) -> None:
    """Byte order marks choose the encoding and never end up in the first column's name."""
    decoded = decode((HEADER + ROW).encode(encoding))
    assert not decoded.guessed
    assert _items(decoded.text)[0].body["content"] == {"subject": "Grüße"}


def test_a_western_file_is_guessed_and_said_to_be() -> None:
    """Bytes that are not UTF-8 are read by a guess, which the caller is told of."""
    decoded = decode((HEADER + "user-1,Schöne Grüße aus Köln und Zürich,2027-03-20T09:00:00Z\r\n").encode("cp1252"))
    assert decoded.guessed
    assert "Köln" in decoded.text


def test_a_named_encoding_that_does_not_fit_is_refused_with_the_byte() -> None:
    """Naming the encoding switches guessing off."""
    with pytest.raises(ImportFileError, match="byte 28 cannot be read"):
        decode((HEADER + "user-1").encode() + b"\xff", "utf-8")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_header_tells_the_delimiter(delimiter: str) -> None:
    """Exports of other countries' spreadsheets use semicolons or tabs."""
    text = (HEADER + ROW).replace(",", delimiter)
    assert _items(text)[0].body["timing"] == {"kind": "at", "at": "2027-03-20T09:00:00Z"}


def test_a_quoted_line_break_stays_in_its_cell_and_lines_are_counted_right() -> None:
    """The row after a cell of two lines is named by the line on which it starts."""
    text = HEADER + 'user-1,"two\r\nlines",2027-03-20T09:00:00Z\r\n' + ROW
    first, second = _items(text)
    assert first.body["content"] == {"subject": "two\r\nlines"}
    assert (second.row, second.line) == (2, 4)


def test_equal_rows_without_keys_are_two_messages_with_stable_keys() -> None:
    """Row hash and ordinal: the same file gives the same keys again, and equal rows differ in theirs."""
    keys = [item.idempotency_key for item in _items(HEADER + ROW + ROW)]
    assert len(set(keys)) == 2
    assert keys == [item.idempotency_key for item in _items(HEADER + ROW + ROW)]


def test_a_key_used_twice_is_refused_and_names_the_first_row() -> None:
    """The second of two rows under one key cannot be meant."""
    text = "key," + HEADER + "A-1," + ROW + "A-1," + ROW
    first, second = read_table(text, channel="log:")
    assert isinstance(first, Item)
    assert first.idempotency_key == "import:key:A-1"
    assert isinstance(second, Reject)
    assert (second.place, second.row) == ("key", 2)
    assert "row 1" in second.reason


def test_a_file_without_a_header_is_refused_with_the_known_columns() -> None:
    """The commonest mistake gets the most helpful words."""
    with pytest.raises(ImportFileError, match=r"must name the columns, among them `recipient`"):
        list(read_table(ROW, channel="log:"))


@pytest.mark.covers("SCH-05")
def test_a_row_says_what_becomes_of_conflicts() -> None:
    """By a strategy's name or as JSON; where it does not, the whole file's policy counts, if there is one."""
    rows = ["reject", '"{""strategy"": ""shift"", ""window"": ""PT2H""}"', ""]
    text = "recipient,at,conflicts\r\n" + "".join(f"user-1,2027-03-20T09:00:00Z,{cell}\r\n" for cell in rows)
    own = [{"strategy": "reject"}, {"strategy": "shift", "window": "PT2H"}, None]
    assert [item.body.get("conflicts") for item in _items(text)] == own
    merge = policy_of("merge")
    filled = [entry.body["conflicts"] for entry in asking(_items(text), merge) if isinstance(entry, Item)]
    assert filled == [*own[:2], {"strategy": "merge"}]
    (reject,) = read_table('recipient,at,conflicts\r\nuser-1,2027-03-20T09:00:00Z,"{shift}"\r\n', channel="log:")
    assert isinstance(reject, Reject)
    assert (reject.place, "not JSON" in reject.reason) == ("conflicts", True)
