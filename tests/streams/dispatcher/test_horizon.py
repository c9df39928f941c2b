"""The rows in memory: everything up to the edge, however changes and pages meet."""

from datetime import timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from horae.domain.timing import Slot
from horae.projections.due import DueRow
from horae.streams.dispatcher.horizon import BEGINNING, Edge, Horizon
from tests.streams.worker import NOON

LAST = UUID(int=(1 << 128) - 1)


def row(key: int, minute: int, version: int = 1, *, held: bool = False) -> DueRow:
    due_at = NOON + timedelta(minutes=minute)
    slot = Slot(local=due_at.replace(tzinfo=None))
    id_ = UUID(int=key)
    return DueRow("slot", id_, 1, "acme", due_at, 2, id_, version, id_, 0, slot, None, None, "slot", held)


def edge(minute: int) -> Edge:
    return (NOON + timedelta(minutes=minute), LAST)


def load(horizon: Horizon, index: dict[int, DueRow], until: int, limit: int) -> bool:
    """Read one page as the dispatcher does; True if there is more."""
    after = horizon.edge
    horizon.begin_load(edge(until)[0])
    rows = sorted((r for r in index.values() if not r.held), key=lambda r: (r.due_at, r.key))
    page = [r for r in rows if (r.due_at, r.key) > after and r.due_at <= edge(until)[0]][:limit]
    full = len(page) >= limit
    horizon.end_load(page, (page[-1].due_at, page[-1].key) if full else edge(until))
    return full


def test_a_change_during_the_reading_of_a_page_wins() -> None:
    """The page may be older: what it says of that key does not count."""
    horizon = Horizon(10)
    horizon.begin_load(edge(5)[0])
    horizon.changed(UUID(int=1), None)
    horizon.changed(UUID(int=2), row(2, 4))
    horizon.end_load([row(1, 1), row(3, 2)], edge(5))
    assert [r.key.int for r in horizon.pop_due(edge(9)[0])] == [3, 2]


def test_what_was_taken_is_not_offered_again_by_a_page_that_has_not_caught_up() -> None:
    """Until the projection says what waits under its key now."""
    horizon = Horizon(10)
    index = {1: row(1, 1)}
    load(horizon, index, 5, 10)
    (due,) = horizon.pop_due(edge(1)[0])
    assert horizon.take(due)
    horizon.edge = (NOON, LAST)
    load(horizon, index, 5, 10)
    assert len(horizon) == 0
    horizon.changed(UUID(int=1), row(1, 3))
    assert [r.due_at for r in horizon.pop_due(edge(9)[0])] == [NOON + timedelta(minutes=3)]


changes = st.lists(
    st.tuples(st.integers(1, 12), st.one_of(st.none(), st.integers(0, 20)), st.booleans()), min_size=1, max_size=60
)


@given(changes, st.integers(2, 8), st.integers(1, 5))
def test_everything_that_waits_is_taken_once_at_its_instant(
    steps: list[tuple[int, int | None, bool]], capacity: int, limit: int
) -> None:
    """Whatever changes, in whatever order, however little fits: in the end each row that waits comes out, once."""
    horizon, index = Horizon(capacity), dict[int, DueRow]()
    for version, (key, minute, look) in enumerate(steps):
        changed = None if minute is None else row(key, minute, version)
        if changed is None:
            index.pop(key, None)
        else:
            index[key] = changed
        horizon.changed(UUID(int=key), changed)
        if look and horizon.room:
            load(horizon, index, 10, min(limit, horizon.room))
    taken: list[DueRow] = []
    for _ in range(100):
        if horizon.room:
            load(horizon, index, 30, min(limit, horizon.room))
        taken.extend(due for due in horizon.pop_due(edge(30)[0]) if horizon.take(due))
    assert sorted(taken) == sorted(index.values())


def test_a_rewind_during_the_reading_of_a_page_is_not_forgotten() -> None:
    """The page's end would put the edge behind rows that nobody has read."""
    horizon = Horizon(10)
    horizon.begin_load(edge(5)[0])
    horizon.rewind()
    horizon.end_load([row(1, 1)], edge(5))
    assert horizon.edge == BEGINNING
    load(horizon, {1: row(1, 1), 2: row(2, 2)}, 5, 10)
    assert horizon.edge == edge(5)
    assert [r.key.int for r in horizon.pop_due(edge(9)[0])] == [1, 2]
