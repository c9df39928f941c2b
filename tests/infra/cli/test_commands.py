"""The command line without a service: help, settings, previews, and errors that say what to do."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from horae.infra.cli import main as cli
from horae.infra.setting_sources import named
from horae.infra.settings import Settings

Outcome = tuple[int, str, str]
Horae = Callable[..., Outcome]


@pytest.fixture
def horae(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Horae:
    """Runs a command line in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    for field in Settings.model_fields.values():
        monkeypatch.delenv(named(field).env, raising=False)

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["horae", *arguments])
        try:
            cli.main()
            code = 0
        except SystemExit as left:
            code = int(left.code or 0)
        written = capsys.readouterr()
        return code, written.out, written.err

    return run


def test_the_help_names_every_command(horae: Horae) -> None:
    """Whichever module a command lives in."""
    code, out, _ = horae("--help")
    assert code == 0
    for commands in cli.GROUPS.values():
        for command in commands:
            assert f" {command} " in out


def test_each_command_is_in_the_module_that_it_is_looked_for(horae: Horae) -> None:
    """A command is found although only its own module is imported."""
    for commands in cli.GROUPS.values():
        for command in commands:
            assert horae(command, "--help")[0] == 0, command


def test_explain_says_what_an_id_is_before_it_asks_anybody(horae: Horae) -> None:
    """The error names the value, and where ids are found."""
    code, _, err = horae("explain", "nonsense")
    said = " ".join(err.replace("│", " ").split())
    assert (code, "'nonsense' is no id" in said, "`horae list`" in said) == (2, True, True), err


def test_config_shows_values_and_origins_with_secrets_masked(
    horae: Horae,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Everything effective, and nothing that must not be seen."""
    monkeypatch.setenv("ENCRYPTION_KEY", "ab" * 32)
    monkeypatch.setenv("SCHEDULING_ENGINE_PORT", "9999")
    for name, value in {"SECURITY": "SASL_SSL", "USERNAME": "horae", "PASSWORD": "word-of-kafka"}.items():
        monkeypatch.setenv(f"HORAE_KAFKA_{name}", value)
    code, out, _ = horae("config", "--json")
    assert code == 0
    facts = json.loads(out)
    assert facts["port"] == {"value": 9999, "from": "environment", "name": "SCHEDULING_ENGINE_PORT"}
    assert facts["encryption_key"] == {"value": "********", "from": "environment", "name": "ENCRYPTION_KEY"}
    assert facts["host"] == {"value": "127.0.0.1", "from": "default", "name": None}
    assert facts["kafka_password"]["value"] == "********"
    for secret in ("abab", "word-of-kafka"):
        assert secret not in out + horae("config")[1]


def test_preview_marks_the_shifted_slot(horae: Horae) -> None:
    """02:30 on the day on which clocks go forward is 03:30, and says so."""
    arguments = ("--cron", "30 2 * * *", "--zone", "Europe/Berlin", "--after", "2027-03-27T12:00:00Z", "-n", "2")
    code, out, _ = horae("preview", *arguments)
    assert code == 0
    shifted, normal, told = out.splitlines()[1:]
    assert shifted.split()[:6] == ["2027-03-28", "02:30", "shifted", "2027-03-28", "03:30", "Europe/Berlin"]
    assert "2027-03-28 01:30" in shifted
    assert "moved on by the gap of PT1H" in shifted
    assert "shifted" not in normal
    assert told.strip() == "2 to send; marked: shifted (1)."


def test_preview_marks_doubled_and_skipped_slots(horae: Horae) -> None:
    """Both passings of a repeated hour when asked for, and what a gap swallows."""
    doubled = '{"kind": "every", "cron": "30 2 * * *", "zone": "Europe/Berlin", "overlap": "both", "gap": "skip"}'
    _, out, _ = horae("preview", doubled, "--after", "2027-10-30T12:00:00Z", "-n", "2")
    first, second = out.splitlines()[1:3]
    assert first.split("  ")[:2] == ["2027-10-31 02:30", "1st of 2"]
    assert second.split("  ")[:2] == ["2027-10-31 02:30", "2nd of 2"]
    _, out, _ = horae("preview", doubled, "--after", "2027-03-27T12:00:00Z", "-n", "2")
    skipped = out.splitlines()[1]
    assert skipped.split("  ")[:3] == ["2027-03-28 02:30", "skipped", "not sent"]


@pytest.mark.covers("REC-20")
@pytest.mark.parametrize(
    ("cron", "move", "marks"),
    [
        ("0 9 * * SAT", "forward", ["moved on", "moved on"]),
        ("0 9 * * SAT", "back", ["moved back", "moved back"]),
        ("0 9 * * FRI-MON", "drop", ["", "dropped", "dropped", ""]),
        ("0 9 * * SUN,MON", "forward", ["merged", "", "merged", ""]),
    ],
)
def test_preview_marks_what_a_calendar_does(horae: Horae, cron: str, move: str, marks: list[str]) -> None:
    """Moved, dropped, or sent once with another; the table says where each goes instead."""
    timing = {"kind": "every", "cron": cron, "zone": "UTC", "calendar": {"skip_weekends": True, "move": move}}
    _, out, _ = horae("preview", json.dumps(timing), "--after", "2026-12-03T12:00:00Z", "-n", "2")
    rows = [line for line in out.splitlines()[1:] if line.startswith("2026")]
    assert [line[18:].split("  ")[0].strip() for line in rows] == marks, out


def test_preview_as_json_is_what_the_api_would_say(horae: Horae) -> None:
    """For programs: slots with due instants and reasons."""
    code, out, _ = horae("preview", "--every", "6 hours", "--after", "2027-01-01T00:00:00Z", "-n", "3", "--json")
    assert code == 0
    assert len(json.loads(out)["slots"]) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("preview", "--cron", "61 * * * *"), "timing.cron"),
        (("preview", "--cron", "0 9 * * *", "--zone", "Europe/Berln"), "Did you mean Europe/Berlin"),
        (("preview", '{"kind": "every", "corn": "0 9 * * *"}'), "corn"),
        (("list",), "--api-key"),
        (("run", "--clock", "yesterday"), "flag --clock"),
        (("run", "--port", "0"), "flag --port"),
        (("run", "--config", "nowhere.yaml"), "nowhere.yaml"),
        (("list", "--api-key", "hk_some", "--url", "http://127.0.0.1:9"), "Is `horae run` running?"),
    ],
)
def test_errors_leave_with_1_and_say_what_to_do(horae: Horae, arguments: tuple[str, ...], words: str) -> None:
    """On standard error, without a traceback."""
    code, out, err = horae(*arguments)
    assert code == 1
    assert out == ""
    assert words in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("command", "settings", "words"),
    [
        (
            ("run", "--profile", "stack"),
            {"SECURITY": "SASL_PLAINTEXT", "USERNAME": "horae", "PASSWORD": "word-of-kafka"},
            "Name your cluster by KAFKA_BROKERS",
        ),
        (("api",), {"SECURITY": "SSL", "CA_FILE": "bad.pem"}, "kafka_ca_file is 'bad.pem'"),
        (("relay",), {"SECURITY": "SSL", "CA_FILE": "gone.pem"}, "environment: HORAE_KAFKA_CA_FILE"),
    ],
)
def test_what_cannot_secure_kafka_is_told_before_anything_starts(
    horae: Horae, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], settings: dict[str, str], words: str
) -> None:
    """A process that ran without would look healthy to everybody but those who wait for its messages."""
    Path("bad.pem").write_text("no certificate")
    for name, value in settings.items():
        monkeypatch.setenv(f"HORAE_KAFKA_{name}", value)
    code, _, err = horae(*command)
    assert code == 1
    assert words in err
    assert "word-of-kafka" not in err
    assert "Traceback" not in err


def test_wrong_usage_leaves_with_2(horae: Horae) -> None:
    """As the shell's own commands do."""
    assert horae("preview")[0] == 2
    assert horae("preview", "not json")[0] == 2


def test_the_signing_secret_needs_no_service(horae: Horae, tmp_path: Path) -> None:
    """It is derived from the master key, the same each time."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "master-key").write_text("cd" * 32)
    code, out, _ = horae("keys", "signing-secret", "--data", "data")
    assert code == 0
    assert out.startswith("whsec_")
    assert horae("keys", "signing-secret", "--data", "data")[1] == out
    assert horae("keys", "signing-secret", "--data", "elsewhere")[0] == 1


def test_commands_find_the_service_by_its_data_folder(horae: Horae, tmp_path: Path) -> None:
    """Whichever port it was given; `--url` wins, and an address that does not answer is named with what to do."""
    (tmp_path / "api-key").write_text("hk_key\n")
    (tmp_path / "url").write_text("http://127.0.0.1:1\n")
    code, _, err = horae("list", "--data", str(tmp_path))
    assert code == 1
    assert "http://127.0.0.1:1/v1/schedules" in err
    assert "Is `horae run` running?" in err
    assert "http://127.0.0.1:2/" in horae("list", "--data", str(tmp_path), "--url", "http://127.0.0.1:2")[2]
