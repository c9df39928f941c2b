"""The table of hard cases in docs/time.md: what Horae answers now is what it says there, and no network is needed."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from benchmarks.hard_cases import table
from benchmarks.hard_cases.__main__ import peer, quartz_text, versions
from benchmarks.hard_cases.cases import Case, Resolved, policies, read, right

CASES = read()
TOLD = table.recorded()


@pytest.mark.covers("TZ-29", "TZ-02", "REC-04")
@pytest.mark.parametrize(("place", "case"), list(enumerate(CASES)), ids=[case.what for case in CASES])
def test_horae_gives_the_right_answer(place: int, case: Case) -> None:
    """The local times that the rule names, written by hand, at the instants that java.time gives them."""
    wanted = right(case, TOLD["resolved"][place])
    assert table.horae(case) == (wanted or "refused")
    assert len(wanted) == (3 if case.local else 0)


def test_the_page_has_what_is_answered_now() -> None:
    """Horae is asked anew, the peers as they were when they were last run: `make hard-cases` writes it."""
    assert len(CASES) == 40
    assert table.on_the_page() == table.table()


def test_what_was_recorded_is_of_the_peers_that_are_named() -> None:
    """Another version in `requirements.in` or `pom.xml` is to be run; every case has an answer of each."""
    assert TOLD["versions"] == versions()
    assert {who: len(answers) for who, answers in TOLD["answers"].items()} == dict.fromkeys(table.PEERS, len(CASES))
    assert [len(times) for times in TOLD["resolved"]] == [len(case.readings()) for case in CASES]
    assert {name for case in CASES for name in (*case.lacks, *case.written)} <= set(table.PEERS)


@pytest.mark.skipif(version("cronsim") != versions()["cronsim"], reason="another cronsim is installed beside Horae")
def test_a_peer_that_is_at_hand_still_says_so() -> None:
    """cronsim is installed for other tests: run anew, it answers as it is recorded."""
    assert peer("cronsim", CASES) == TOLD["answers"]["cronsim"]


CASE = Case(what="", cron="30 2 * * *", zone="Europe/Berlin", after=0, local=("", "", ""), why="")
#: A gap that ends at 100 moves its time to 130; an overlap at 200 and 230; an ordinary time.
TIMES = [[Resolved(0, 130, 130, 100), Resolved(2, 200, 230, 200), Resolved(1, 300, 300, 300)]]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ([130, 200, 300], ("right", "right")),
        ([100, 200, 300], ("policy", "at the gap's end")),
        ([200, 300], ("policy", "skipped")),
        ([130, 230, 300], ("policy", "second passing")),
        ([200, 230, 300], ("policy", "skipped, both passings")),
        ([130, 201, 300], ("wrong", "**wrong**: 1970-01-01 00:03:21Z")),
        ([130, 200], ("wrong", "**wrong**: ends")),
        ("stalls", ("wrong", "**stalls**")),
        ("refused", ("wrong", "**refused**")),
    ],
)
def test_an_answer_is_judged_by_the_right_one_and_by_policies(answer: table.Answer, told: tuple[str, str]) -> None:
    """Another policy is no error; a refusal is one, unless the peer's documentation never offered it."""
    assert table.judged(CASE, "quartz", answer, TIMES) == told
    lacking = Case(what="", cron="", zone="", after=0, local=("",), why="", lacks=("quartz",))
    assert table.judged(lacking, "quartz", "refused", [TIMES[0][:1]])[0] == "unsupported"
    never = Case(what="", cron="", zone="", after=0, local=(), why="")
    assert [table.judged(never, "quartz", said, [[]])[0] for said in ("refused", [], [9])] == [
        "right",
        "right",
        "wrong",
    ]


def test_a_rule_that_follows_the_clock_has_one_right_answer() -> None:
    """Both passings, nothing for a gap; an hour that is left out is no policy."""
    case = Case(what="", cron="30 * * * *", zone="", after=0, local=("", "", ""), why="", clock=True)
    assert right(case, TIMES) == [200, 230, 300]
    assert policies(case, TIMES) == {}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("30 2 * * *", "0 30 2 * * ?"),
        ("0 9 * * 7", "0 0 9 ? * 1"),
        ("0 9 * * 1#5", "0 0 9 ? * 2#5"),
        ("0 9 * * 5L", "0 0 9 ? * 6L"),
        ("*/20 59 23 * * *", "*/20 59 23 * * ?"),
        ("0 9 13 * FRI", "0 0 9 13 * FRI"),
    ],
)
def test_what_quartz_writes_otherwise_is_rewritten(ours: str, theirs: str) -> None:
    """Seconds first, one of the day fields `?`, Sunday is 1."""
    assert quartz_text(ours) == theirs
