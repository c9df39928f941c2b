"""Timings that happen once: at once, at an instant or wall-clock time, after a delay, or told in words."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horae.domain import errors
from horae.domain import timing as t
from tests.domain.timing.cases import at, context, locals_of, take, timing

NOW = "2026-03-27T12:00:30.123456Z"
CTX = context(NOW)
BERLIN = context(NOW, recipient_zone="Europe/Berlin", default_zone="America/New_York")


def _due(ctx: t.Context, **fields: object) -> t.Next:
    (slot,) = take(t.normalise(timing(**fields), ctx), ctx, 2)
    return slot


@pytest.mark.covers("SCH-01")
def test_now_is_due_at_once() -> None:
    """Its slot is the present in the recipient's zone, to the millisecond, and never later than the present."""
    slot = _due(BERLIN, kind="now")
    assert slot.due_at == at("2026-03-27T12:00:30.123Z")
    assert locals_of([slot]) == ["2026-03-27T13:00:30.123000"]


def test_a_settled_timing_does_not_move_with_the_present() -> None:
    """What `normalise` filled in holds: asked later, or for a recipient who moved, the slot is the same."""
    for fields in ({"kind": "now"}, {"kind": "in", "delay": "P1DT2H"}, {"kind": "phrase", "text": "in 2 hours"}):
        settled = t.normalise(timing(**fields), BERLIN)
        later = context("2026-05-01T00:00Z", recipient_zone="Asia/Tokyo")
        assert t.first(settled, later) == t.first(settled, BERLIN)


@pytest.mark.covers("SCH-02", "PRF-06")
@given(st.integers(1, 5 * 365 * 24 * 60))
def test_a_delay_in_minutes_is_exact_up_to_five_years(minutes: int) -> None:
    """Any number of minutes up to five years is waited to the millisecond."""
    slot = _due(BERLIN, kind="in", delay=f"PT{minutes}M")
    assert slot.due_at == at("2026-03-27T12:00:30.123Z") + timedelta(minutes=minutes)


@pytest.mark.covers("SCH-04")
def test_a_wall_clock_time_follows_its_recipient() -> None:
    """`local` with zone "recipient" is nine o'clock where the recipient is, whenever it is asked."""
    settled = t.normalise(timing(kind="at", local="2026-12-01T09:00", zone="recipient"), BERLIN)
    berlin, tokyo = t.first(settled, BERLIN), t.first(settled, context(NOW, recipient_zone="Asia/Tokyo"))
    nobody = t.first(settled, context(NOW, default_zone="America/New_York"))
    assert berlin is not None
    assert tokyo is not None
    assert nobody is not None
    assert berlin.slot == tokyo.slot == nobody.slot
    assert [n.due_at for n in (berlin, tokyo, nobody)] == [
        at("2026-12-01T08:00Z"),
        at("2026-12-01T00:00Z"),
        at("2026-12-01T14:00Z"),
    ]
    assert [n.plan.zone_source for n in (berlin, tokyo, nobody)] == ["recipient", "recipient", "tenant"]
    assert [n.plan.reasons[0].code for n in (berlin, nobody)] == ["zone_from_recipient", "zone_from_tenant"]


def test_a_plan_says_why() -> None:
    """Zone, database version, branch and every decision stand in the plan."""
    plan = _due(CTX, kind="at", local="2026-03-29T02:30", zone="Europe/Berlin").plan
    assert (plan.zone, plan.zone_source, plan.tzdata) == ("Europe/Berlin", "timing", t.tzdata_version())
    assert plan.branch == "gap_shifted"
    assert plan.reasons[0].text == "2026-03-29 02:30 does not exist in Europe/Berlin: moved on by the gap of PT1H."


@pytest.mark.covers("SCH-03")
@pytest.mark.parametrize(
    ("text", "zone", "locale", "local"),
    [
        ("in 30 minutes", "Asia/Tokyo", "en", "2026-03-27T21:30:30.123000"),
        ("in half an hour", "Asia/Tokyo", "en", "2026-03-27T21:30:30.123000"),
        ("in 2 hours and 30 minutes", "Asia/Tokyo", "en", "2026-03-27T23:30:30.123000"),
        ("in 2 days", "Europe/Berlin", "en", "2026-03-29T13:00:30.123000"),
        ("tomorrow at 9 AM", "Asia/Tokyo", "en", "2026-03-28T09:00"),
        ("tomorrow at 9 AM", "America/New_York", "en", "2026-03-28T09:00"),
        ("the day after tomorrow at 8 AM", "Asia/Tokyo", "en", "2026-03-29T08:00"),
        ("tomorrow at 13", "Asia/Tokyo", "en", "2026-03-28T13:00"),
        ("today at 8", "Europe/Berlin", "en", "2026-03-27T20:00"),
        ("on the 5th at 10:00", "Europe/Berlin", "en", "2026-04-05T10:00"),
        ("the 5th of May at 10:00", "Europe/Berlin", "en", "2026-05-05T10:00"),
        ("13/4/2027 10:00", "Europe/Berlin", "en", "2027-04-13T10:00"),
        ("friday 9:00", "Europe/Berlin", "en", "2026-04-03T09:00"),
        ("morgen um 9", "Europe/Berlin", "de", "2026-03-28T09:00"),
        ("next friday 18:00", "Europe/Berlin", "en", "2026-04-03T18:00"),
        ("next monday at noon", "Europe/Berlin", "en", "2026-03-30T12:00"),
        ("11:00", "Europe/Berlin", "en", "2026-03-28T11:00"),
        ("25 December 2026 at 10:00", "Europe/Berlin", "en", "2026-12-25T10:00"),
        ("3/4/2027 10:00", "Europe/Berlin", "en-GB", "2027-04-03T10:00"),
        ("3/4/2027 10:00", "Europe/Berlin", "en-US", "2027-03-04T10:00"),
        ("morgen um 9 Uhr", "Europe/Berlin", "de", "2026-03-28T09:00"),
        ("demain à 9h30", "Europe/Paris", "fr", "2026-03-28T09:30"),
    ],
)
def test_words_are_understood_in_their_zone_and_language(text: str, zone: str, locale: str, local: str) -> None:
    """The slot is the time meant, and the accepted timing echoes it as `understood`."""
    settled = t.normalise(timing(kind="phrase", text=text, zone=zone, locale=locale), CTX)
    assert isinstance(settled, t.Phrase)
    assert settled.understood is not None
    assert settled.understood.zone == zone
    assert locals_of(take(settled, CTX, 2)) == [local]


@pytest.mark.covers("SCH-03")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("blah", "No time"),
        ("1", "No time"),
        ("every day", "No time"),
        ("yesterday", "has passed"),
        ("today at 5 AM", "has passed"),
        ("tomorrow at 25:00", "25"),
        ("in 10 years", "more than 5 years"),
    ],
)
def test_words_that_are_not_clear_or_have_passed_are_refused(text: str, said: str) -> None:
    """Nothing is guessed: the refusal tells what was not understood and shows words that would be."""
    with pytest.raises(errors.Invalid, match=said) as refused:
        t.normalise(timing(kind="phrase", text=text, zone="Europe/Berlin"), CTX)
    assert refused.value.field == "timing.text"
    assert refused.value.value == text


@pytest.mark.covers("SCH-03")
@pytest.mark.parametrize(
    ("text", "candidates"),
    [
        ("tomorrow at 8", ["2026-03-28T08:00:00", "2026-03-28T20:00:00"]),
        ("at 7", ["2026-03-27T19:00:00", "2026-03-28T07:00:00"]),
        ("3/4/2027 10:00", ["2027-03-04T10:00:00", "2027-04-03T10:00:00"]),
        ("friday 18:00", ["2026-03-27T18:00:00", "2026-04-03T18:00:00"]),
        (
            "3/4/2027 at 7",
            ["2027-03-04T07:00:00", "2027-03-04T19:00:00", "2027-04-03T07:00:00", "2027-04-03T19:00:00"],
        ),
    ],
)
def test_words_that_may_mean_several_times_are_refused_with_each(text: str, candidates: list[str]) -> None:
    """It is Friday, 13:00 in Berlin. Each candidate, given as the words, is what it says."""
    with pytest.raises(errors.Invalid, match="may mean") as refused:
        t.normalise(timing(kind="phrase", text=text, zone="Europe/Berlin", locale="en"), CTX)
    assert (refused.value.field, refused.value.extra["candidates"]) == ("timing.text", candidates)
    for each in candidates:
        settled = t.normalise(timing(kind="phrase", text=each.replace("T", " "), zone="Europe/Berlin"), CTX)
        assert locals_of(take(settled, CTX, 1)) == [each[:16]]


@pytest.mark.covers("SCH-03")
@pytest.mark.parametrize(
    ("theirs", "text", "read_in", "local"),
    [
        ("de_AT", "morgen um 9", "de-AT", "2026-03-28T09:00"),
        ("en-GB", "3/4/2027 10:00", "en-GB", "2027-04-03T10:00"),
        ("en-US", "3/4/2027 10:00", "en-US", "2027-03-04T10:00"),
        ("de-AT", "tomorrow at 9 AM", "en", "2026-03-28T09:00"),
        ("xx-XX", "tomorrow at 9 AM", "en", "2026-03-28T09:00"),
        (None, "tomorrow at 9 AM", "en", "2026-03-28T09:00"),
    ],
)
def test_words_are_read_in_the_recipients_language(theirs: str | None, text: str, read_in: str, local: str) -> None:
    """Else in English; which it was is echoed."""
    ctx = context(NOW, recipient_zone="Europe/Berlin", recipient_locale=theirs)
    settled = t.normalise(timing(kind="phrase", text=text), ctx)
    assert isinstance(settled, t.Phrase)
    assert settled.locale == read_in
    assert locals_of(take(settled, ctx, 1)) == [local]


def test_a_delay_of_hours_in_words_is_elapsed_time() -> None:
    """Half an hour before the clocks fall back, two hours later shows one hour later on the wall."""
    ctx = context("2026-10-25T00:40Z")
    slot = t.preview(timing(kind="phrase", text="in 2 hours", zone="Europe/Berlin"), 1, ctx).slots[0]
    assert slot.due_at == at("2026-10-25T02:40Z")


@pytest.mark.covers("SCH-04", "PRF-06")
@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"kind": "at", "at": "2026-03-27T12:00:30Z"}, "timing.at", "has passed"),
        ({"kind": "at", "local": "2026-03-27T13:00", "zone": "Europe/Berlin"}, "timing.local", "has passed"),
        ({"kind": "at", "at": "2031-04-01T00:00Z"}, "timing.at", "more than 5 years"),
        ({"kind": "at"}, "timing.at", "says when"),
        ({"kind": "at", "at": "2026-12-01T00:00Z", "local": "2026-12-01T00:00"}, "timing.local", "exclude"),
        ({"kind": "at", "at": "2026-12-01T00:00Z", "zone": "UTC"}, "timing.zone", "no zone"),
        ({"kind": "at", "local": "2026-12-01T00:00", "zone": "Europe/Berlim"}, "timing.zone", "not a zone"),
        ({"kind": "in", "delay": "PT0S"}, "timing.delay", "more than zero"),
        ({"kind": "in", "delay": "P6Y"}, "timing.delay", "more than 5 years"),
        ({"kind": "in", "delay": "P9999Y"}, "timing.delay", "calendar"),
        ({"kind": "phrase", "text": "tomorrow", "locale": "xx"}, "timing.locale", "not a language"),
    ],
)
def test_refusals_name_field_and_value(fields: dict[str, str], field: str, said: str) -> None:
    """Contradictions, times that have passed and horizons beyond five years are refused with the field at fault."""
    with pytest.raises(errors.Invalid, match=said) as refused:
        t.normalise(timing(**fields), CTX)
    assert refused.value.field == field
    assert refused.value.hint is not None or field == "timing.at"


def test_a_one_off_is_found_skipped_and_ended() -> None:
    """`find` knows its slot, `following` has none, an exception removes it, `after` respects its instant."""
    settled = t.normalise(timing(kind="at", local="2026-12-01T09:00", zone="UTC"), CTX)
    slot = t.first(settled, CTX)
    assert slot is not None
    assert t.find(settled, slot.slot, CTX) == slot
    assert t.find(settled, t.Slot(local=slot.slot.local + timedelta(hours=1)), CTX) is None
    assert t.following(settled, slot, CTX) is None
    assert t.after(settled, slot.due_at, CTX) is None
    assert t.after(settled, slot.due_at - timedelta(seconds=1), CTX) == slot
    assert t.first(settled, context(NOW, exceptions=frozenset({slot.slot}))) is None
