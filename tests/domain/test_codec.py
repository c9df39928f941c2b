"""Events to bytes and back: what was ever written can be read, and nothing is lost on the way."""

import json
import types
from pathlib import Path
from typing import Any, Union, get_args, get_origin
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horae.domain import codec, personal
from horae.domain.envelope import Event
from horae.domain.errors import Invalid
from horae.domain.personal import DEPTH_LIMIT, Personal, refuse_unstorable
from tests.domain.samples import GOLDENS, META, PERSONAL, SAMPLES, STREAM, sample

GOLDEN = Path(__file__).parents[1] / "golden"


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.json").read_bytes()


def test_every_event_has_a_golden_file() -> None:
    """No event goes into the log whose bytes are not on record, old versions included; and no name is used twice."""
    names = [event.name for event in codec.EVENTS]
    assert len(names) == len(set(names))
    assert {path.stem for path in GOLDEN.glob("*.json")} == {*GOLDENS, *codec.UPCASTERS}
    assert {type(body) for body in SAMPLES} == set(codec.EVENTS)


@pytest.mark.parametrize("stem", GOLDENS)
def test_golden_files_are_read_and_written_as_ever(stem: str) -> None:
    """What a released version wrote means the same today, and today's code writes the same."""
    body = GOLDENS[stem]
    recorded = codec.load(body.name, golden(stem), STREAM, 1, 7)
    assert recorded.body == body
    assert (recorded.meta, recorded.stream, recorded.version, recorded.position) == (META, STREAM, 1, 7)
    name, state = codec.dump(sample(body))
    assert name == body.name
    assert json.loads(state) == json.loads(golden(stem))


def test_samples_fill_every_field() -> None:
    """A field that every golden file of its event leaves out could be renamed without anybody noticing."""
    for event in codec.EVENTS:
        bodies = [body for body in GOLDENS.values() if type(body) is event]
        left_out = [n for n in event.model_fields if all(getattr(body, n) is None for body in bodies)]
        assert left_out == [], event.name


@pytest.mark.parametrize("event", codec.EVENTS, ids=lambda event: event.name)
def test_what_may_be_none_may_be_absent(event: type[Event]) -> None:
    """None is stored as absence, so a field that may be None must read back from nothing."""
    for name, field in event.model_fields.items():
        if get_origin(field.annotation) in (Union, types.UnionType) and type(None) in get_args(field.annotation):
            assert field.default is None, name


def test_an_old_version_is_brought_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    """An upcaster per step, one after the other, until the present shape is reached."""

    def renamed(body: dict[str, Any]) -> dict[str, Any]:
        return {"why": body["cause"]}

    def again(body: dict[str, Any]) -> dict[str, Any]:
        return {"reason": body["why"]}

    monkeypatch.setitem(codec.UPCASTERS, "key.revoked.v0", (again, "key.revoked.v1"))
    monkeypatch.setitem(codec.UPCASTERS, "key.revoked.v00", (renamed, "key.revoked.v0"))
    state = json.dumps({"meta": META.model_dump(mode="json"), "body": {"cause": "leaked"}}).encode()
    assert codec.load("key.revoked.v00", state, STREAM, 1, 1).body.model_dump() == {"reason": "leaked"}


def test_an_event_of_a_newer_version_is_not_guessed_at() -> None:
    """The error names it and its position."""
    with pytest.raises(codec.UnknownEvent, match=r"'schedule\.created\.v9' at position 7"):
        codec.load("schedule.created.v9", golden("schedule.created.v1"), STREAM, 1, 7)


free_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(content=st.dictionaries(st.text(), free_json, max_size=4))
def test_free_json_that_is_accepted_survives(content: dict[str, Any]) -> None:
    """Whatever passes the door reads back as it was, and is UTF-8 that PostgreSQL's jsonb can hold."""
    try:
        refuse_unstorable(content, "content")
    except Invalid:
        return
    body = next(body for body in SAMPLES if body.name == "schedule.created.v1")
    event = body.model_copy(update={"personal": PERSONAL.model_copy(update={"content": content})})
    name, state = codec.dump(sample(event))
    assert "\\u0000" not in state.decode().replace("\\\\", "")
    assert codec.load(name, state, UUID(int=1), 1, 1).body == event


unstorable = st.sampled_from(["\x00", "a\ud800", 2**63, -(2**63) - 1, float("nan"), float("inf"), {"\x00": 1}])


@given(value=st.recursive(free_json | unstorable, lambda inner: st.lists(inner, max_size=3)))
def test_what_the_quick_look_lets_pass_the_close_one_would_let_pass_too(value: Any) -> None:
    """The look that names the place, and the one before it that only says whether there is one."""
    try:
        personal._refuse(value, "content", 0)
    except Invalid:
        assert not personal._storable(value, DEPTH_LIMIT)
    else:
        assert personal._storable(value, DEPTH_LIMIT)


def test_nesting_has_an_end() -> None:
    """Parsers and stores downstream recurse, so what is nested without end is refused."""
    nested: Any = "x"
    for _ in range(DEPTH_LIMIT):
        nested = [nested]
    refuse_unstorable(nested, "content")
    with pytest.raises(Invalid):
        refuse_unstorable([nested], "content")


def test_tags_are_a_set_in_order() -> None:
    """A tag that is given twice is one tag."""
    assert Personal(recipient="a", channel="log:", tags=("b", "a", "b")).tags == ("b", "a")
