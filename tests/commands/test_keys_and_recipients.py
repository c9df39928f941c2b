"""Keys and recipients: issued, rotated, revoked; put and got."""

from datetime import timedelta
from hashlib import sha256

import pytest

from horae.domain.errors import Conflict, IdempotencyMismatch, Invalid, NotFound
from horae.domain.key import KeyIssued, Scope
from horae.domain.recipient import RecipientProfile
from tests.commands.stage import NOW, OTHER, TENANT, Stage, call


async def test_a_key_is_shown_once_and_stored_as_its_hash() -> None:
    """256 random bits behind `hk_`; the log holds nothing that opens a door."""
    stage = Stage()
    issued = await stage.keys.issue(call("k", "d"), label="app", scope=Scope.WRITE)
    assert issued.text is not None
    assert issued.text.startswith("hk_")
    assert len(issued.text) == 46
    [event] = await stage.store.load(issued.answer.id)
    assert isinstance(event.body, KeyIssued)
    assert event.body.sha256 == sha256(issued.text.encode()).hexdigest()
    assert issued.text not in event.body.model_dump_json()
    again = await stage.keys.issue(call("k", "d"), label="app", scope=Scope.WRITE)
    assert (again.text, again.answer.id, again.answer.replayed) == (None, issued.answer.id, True)
    with pytest.raises(IdempotencyMismatch):
        await stage.keys.issue(call("k", "other"), label="app", scope=Scope.ADMIN)


async def test_a_rotated_key_lives_on_for_the_overlap() -> None:
    """The successor has its label and scope; both events are one commit."""
    stage = Stage()
    old = (await stage.keys.issue(call(), label="app", scope=Scope.READ)).answer.id
    new = await stage.keys.rotate(call("k", "d"), old, overlap=timedelta(hours=2))
    assert (new.answer.state.label, new.answer.state.scope) == ("app", Scope.READ)
    rotated = (await stage.store.load(old))[-1]
    assert rotated.body.model_dump()["expires_at"] == NOW + timedelta(hours=2)
    again = await stage.keys.rotate(call("k", "d"), old, overlap=timedelta(hours=2))
    assert (again.answer.id, again.text, again.answer.replayed) == (new.answer.id, None, True)
    with pytest.raises(Conflict):
        await stage.keys.rotate(call(), old)


async def test_a_revoked_key_stays_revoked() -> None:
    """Again is so already; a revoked key has no successor."""
    stage = Stage()
    key = (await stage.keys.issue(call(), label="app", scope=Scope.READ)).answer.id
    assert (await stage.keys.revoke(call(), key, reason="leaked")).state.revoked
    assert (await stage.keys.revoke(call(), key)).version == 2
    with pytest.raises(Conflict):
        await stage.keys.rotate(call(), key)
    with pytest.raises(NotFound):
        await stage.keys.revoke(call(tenant=OTHER), key)


async def test_an_operators_own_text_becomes_a_key_once() -> None:
    """Starting again with the same text finds the same key."""
    stage = Stage()
    first = await stage.keys.adopt(call(), "hk_local_development", label="run", scope=Scope.ADMIN)
    again = await stage.keys.adopt(call(), "hk_local_development", label="run", scope=Scope.ADMIN)
    assert (again.id, again.replayed, await stage.store.head()) == (first.id, True, 1)
    short = await stage.keys.adopt(call(), "secret", label="run", scope=Scope.ADMIN)
    [event] = await stage.store.load(short.id)
    assert "secret" not in event.body.model_dump_json()
    for unsendable in ("", "two words", "sm\u00f8rrebr\u00f8d", "a\n"):
        with pytest.raises(Invalid):
            await stage.keys.adopt(call(), unsendable, label="run", scope=Scope.ADMIN)


async def test_a_key_that_has_expired_is_not_issued() -> None:
    """It would open nothing; neither would one without a label be found again."""
    stage = Stage()
    with pytest.raises(Invalid):
        await stage.keys.issue(call(), label="app", scope=Scope.READ, expires_at=NOW)
    with pytest.raises(Invalid):
        await stage.keys.issue(call(), label="", scope=Scope.READ)


async def test_a_recipient_is_put_and_got() -> None:
    """Putting the same again stores nothing; another tenant sees nobody."""
    stage = Stage()
    profile = RecipientProfile(id="user-17", zone="Europe/Berlin", locale="de-DE", attributes={"plan": "pro"})
    first = await stage.recipients.put(call(), profile)
    again = await stage.recipients.put(call(), profile)
    assert (again.answer.version, first.answer.version) == (1, 1)
    # Their schedules are looked at for a new zone, and when the same is asked again, which finishes what broke off.
    assert (first.look, again.look) == (True, True)
    assert (await stage.recipients.get(TENANT, "user-17")).state.profile == profile
    moved = await stage.recipients.put(call(), profile.model_copy(update={"zone": "Asia/Tokyo"}))
    assert (moved.answer.version, await stage.recipients.zone(TENANT, "user-17")) == (2, "Asia/Tokyo")
    other = moved.answer.state.profile.model_copy(update={"locale": "ja-JP"})
    assert not (await stage.recipients.put(call(), other)).look
    with pytest.raises(NotFound):
        await stage.recipients.get(OTHER, "user-17")
    assert await stage.recipients.zone(OTHER, "user-17") is None


@pytest.mark.parametrize(
    ("profile", "field"),
    [
        (RecipientProfile(id="a", zone="Mars/Olympus"), "zone"),
        (RecipientProfile(id="a", attributes={"x": "\x00"}), "attributes.x"),
        (RecipientProfile(id="a", attributes={"x": "y" * 17_000}), "attributes"),
        (RecipientProfile(id="\x00"), "id"),
    ],
)
async def test_profiles_that_cannot_be_are_refused(profile: RecipientProfile, field: str) -> None:
    """The error names the field."""
    with pytest.raises(Invalid) as refused:
        await Stage().recipients.put(call(), profile)
    assert refused.value.field == field
