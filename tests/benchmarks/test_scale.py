"""What a schedule takes on disk, of what was seen before and after many were added."""

from __future__ import annotations

from benchmarks.scale import Size, bytes_each


def test_what_was_added_counts_and_not_what_was_there() -> None:
    """The rounds before have left their events, which are nobody's who waits."""
    before, after = {"log.events": 500_000, "read.due": 1_000}, {"log.events": 1_400_000, "read.due": 91_000}
    each = bytes_each(before, after, 100, 1_000)
    assert each == {"log.events": 1_000, "read.due": 100}
    size = Size(1_000, bytes_by_table=each)
    assert (size.bytes_each, size.bytes_in("log"), size.bytes_in("read")) == (1_100, 1_000, 100)


def test_where_nothing_was_added_the_whole_is_divided_by_all_that_wait() -> None:
    """As when a run goes on from what an earlier one has filled."""
    tables = {"log.events": 2_000_000}
    assert bytes_each(tables, tables, 1_000, 1_000) == {"log.events": 2_000}
    assert bytes_each(tables, tables, 4_000, 1_000) == {"log.events": 500}
