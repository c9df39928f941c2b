"""Keys: issued, rotated, revoked."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest

from horae.domain import key as k
from horae.domain.errors import Conflict
from tests.domain.makers import DAY, NOW

SUCCESSOR = UUID(int=9)


def key(*events: k.KeyEvent, expires_at: datetime | None = None) -> k.Key:
    issued = k.issue(k.Issue(sha256="ab", prefix="hk_", label="app", scope=k.Scope.READ, expires_at=expires_at))
    state = k.evolve(None, issued)
    for event in events:
        state = k.evolve(state, event)
    return state


ROTATE = k.Rotate(successor=SUCCESSOR, expires_at=NOW + DAY)


def test_a_rotated_key_ends_when_the_overlap_does() -> None:
    """Or when it would have ended anyway, whichever is first."""
    assert k.decide(ROTATE, key()) == [k.KeyRotated(successor=SUCCESSOR, expires_at=NOW + DAY)]
    soon = NOW + timedelta(hours=1)
    assert k.decide(ROTATE, key(expires_at=soon)) == [k.KeyRotated(successor=SUCCESSOR, expires_at=soon)]


def test_a_key_has_one_successor() -> None:
    """Rotating what is rotated or revoked is a conflict."""
    rotated = k.KeyRotated(successor=SUCCESSOR, expires_at=NOW + DAY)
    for state in (key(rotated), key(k.KeyRevoked())):
        with pytest.raises(Conflict):
            k.decide(ROTATE, state)


def test_revoking_ends_a_key_once() -> None:
    """Also one that is on its way out."""
    rotated = k.KeyRotated(successor=SUCCESSOR, expires_at=NOW + DAY)
    assert k.decide(k.Revoke(reason="leaked"), key(rotated)) == [k.KeyRevoked(reason="leaked")]
    assert k.decide(k.Revoke(), key(k.KeyRevoked())) == []
    state = key(rotated, k.KeyRevoked())
    assert (state.revoked, state.successor, state.version) == (True, SUCCESSOR, 3)


def test_a_stream_begins_with_the_issue() -> None:
    """Anything else is a broken log."""
    with pytest.raises(ValueError, match="does not begin"):
        k.evolve(None, k.KeyRevoked())
