"""The world is a judge: it knows nothing of the model, nor the model of it, and it is not changed to suit anybody."""

import ast
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from tests.simulation.world.running import NEVER, World
from tests.simulation.world.spec import COLD, DRIFT, NONE, STRONG, STRONG_SILENT, WEAK, WINDOW, WORLDS, WorldSpec

ROOT: Final = Path(__file__).parents[3]
PRODUCT: Final = ("domain", "commands", "projections", "streams", "api", "infra")

# What each world's first ten days look like when everybody is written to at noon. A change is another judge: say so.
FINGERPRINTS: Final[dict[str, str]] = {
    "strong": "06337ebf4df533cc",
    "strong, no activity": "129aaa076d0b8a11",
    "weak": "6cce7d33b42500a2",
    "none": "9241b872cf82ad7c",
    "none, no activity": "94e52f630f86094c",
    "drift": "06337ebf4df533cc",
    "cold start": "66ca4c67fe4a69c8",
}


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


def fingerprint(spec: WorldSpec) -> str:
    """Rounded, so that another processor's last bit is not another world."""
    world = World(replace(spec, people=200), seed=7)
    digest = blake2b(digest_size=8)
    for day in range(10):
        calls = world.calls(day)
        answers = world.send(calls, np.full(len(calls.who), 720))
        digest.update(np.round(answers.chance * 1e6).astype(np.int64).tobytes())
        digest.update(answers.engaged.tobytes() + answers.machine_known.tobytes())
        digest.update(len(world.activity(day)[0]).to_bytes(4, "big"))
    return digest.hexdigest()


def mean_chance(spec: WorldSpec, minute: int | None) -> float:
    """What everybody answers on average at one local minute, or at the oracle's (`None`)."""
    world = World(replace(spec, people=400), seed=3)
    total, messages = 0.0, 0
    for day in range(spec.history_days, spec.history_days + 14):
        calls = world.calls(day)
        minutes = world.best_minutes(calls) if minute is None else np.full(len(calls.who), minute)
        total += float(world.send(calls, minutes).chance.sum())
        messages += len(calls.who)
    return total / messages


@pytest.mark.parametrize("spec", WORLDS, ids=lambda spec: spec.name)
def test_a_world_stays_as_it_was_written(spec: WorldSpec) -> None:
    """Each world is what it was before the model was tuned."""
    assert fingerprint(spec) == FINGERPRINTS[spec.name]


def test_the_product_cannot_see_the_world() -> None:
    """No module of Horae imports anything of the tests, and the world imports nothing of Horae."""
    product = {name for folder in PRODUCT for path in (ROOT / folder).rglob("*.py") for name in imported(path)}
    world = {name for path in Path(__file__).parent.glob("*.py") for name in imported(path)}
    assert not [name for name in product if name.split(".")[0] == "tests"]
    assert not [name for name in world if name.split(".")[0] == "horae"]


def test_the_moment_matters_as_much_as_the_world_says() -> None:
    """Between 9:00 and the oracle lies much in the strong world, less in the weak, and nothing in none."""
    gaps = {spec.name: mean_chance(spec, None) / mean_chance(spec, 540) for spec in (STRONG, WEAK, NONE)}
    assert gaps["strong"] > 1.5
    assert 1.15 < gaps["weak"] < gaps["strong"]
    assert gaps["none"] == pytest.approx(1.0, abs=1e-3)


def test_luck_does_not_depend_on_what_was_sent() -> None:
    """Two ways of choosing meet the same people, calls and dice."""
    one = World(replace(STRONG, people=100), seed=1)
    other = one.again()
    calls = one.calls(0)
    one.send(calls, one.best_minutes(calls))
    for day in (1, 2):
        assert (one.calls(day).who == other.calls(day).who).all()
        assert (one.activity(day)[1] == other.activity(day)[1]).all()


def test_a_world_shows_what_makes_learning_hard() -> None:
    """Late answers, lost ones, machines that say so and machines that do not, and no activity where there is none."""
    world = World(replace(STRONG, base_alpha=9.0, base_beta=1.0), seed=1)
    calls = world.calls(0)
    answers = world.send(calls, world.best_minutes(calls))
    assert (answers.engaged & (answers.opened_at == NEVER)).any()
    assert ((answers.opened_at - answers.sent_at > 86_400) & (answers.opened_at < NEVER)).any()
    assert answers.machine_known.any()
    assert ((answers.machine_at < NEVER) & ~answers.machine_known).any()
    assert len(World(replace(STRONG_SILENT, people=50), seed=1).activity(0)[0]) == 0


def test_half_of_the_people_drift_by_three_hours() -> None:
    """From the named day on, and not before."""
    spec = replace(DRIFT, people=400)
    moved = World(spec, 1).people.shift - World(replace(spec, drift_after=None), 1).people.shift
    day = spec.history_days + (spec.drift_after or 0)
    assert (moved[:, :day] == 0).all()
    assert 0.4 < (moved[:, day] == 3.0).mean() < 0.6


def test_a_cold_world_has_no_past() -> None:
    """Nobody was written to before the judged days, and half of the people come later."""
    world = World(replace(COLD, people=400), seed=1)
    assert world.days == COLD.judged_days
    assert 0.4 < (world.people.joined > 0).mean() < 0.6


def test_a_moment_outside_the_window_is_refused() -> None:
    """Nobody wins by sending when nobody may."""
    world = World(replace(STRONG, people=10), seed=1)
    calls = world.calls(0)
    with pytest.raises(ValueError, match="minutes must lie in"):
        world.send(calls, np.full(len(calls.who), WINDOW[1]))
