"""Dead letters: as they came where that fits, and never more than a broker takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from horae.streams.deadletters import LARGEST, dead_letter
from horae.streams.inputs import Received

sizes = st.one_of(st.integers(0, 300), st.integers(0, 2_000_000))
headers = st.lists(st.tuples(st.text(max_size=20), sizes.map(bytes)), max_size=5)


@given(st.none() | sizes.map(bytes), st.none() | sizes.map(bytes), headers, sizes)
def test_a_letter_fits_and_says_what_is_not_as_it_came(
    key: bytes | None, value: bytes | None, given_headers: list[tuple[str, bytes]], reason: int
) -> None:
    """Key, value and headers together; who is told of no cut has all of the message."""
    message = Received("in", 0, 7, 0, key, value, (*given_headers, ("Secret", b"s")))
    letter = dead_letter("dead", message, {"dead-reason": "\u00fc" * reason}, {"secret"})
    whole = len(letter.key) + len(letter.value) + sum(len(n.encode()) + len(text) + 10 for n, text in letter.headers)
    assert whole <= LARGEST
    names = [name for name, _ in letter.headers]
    assert "dead-reason" in names
    assert "Secret" not in names
    if "dead-truncated" not in names:
        assert letter.key == (key if key is not None else b"in/0@7")
        assert letter.value == (value or b"")
        assert list(letter.headers)[:-1] == given_headers


def test_many_small_headers_are_bounded_too() -> None:
    """Each costs a few bytes beside what stands in it."""
    letter = dead_letter("dead", Received("in", 0, 7, 0, b"k", b"v", (("a", b""),) * 100_000), {}, ())
    assert dict(letter.headers)["dead-truncated"] == b"90910 headers"
    assert letter.value == b"v"
