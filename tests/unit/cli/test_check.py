import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from datamcp.cli.check import Finding
from datamcp.cli.tree import tree
from datamcp.infra.migrate import upgrade


def check(*options: str) -> tuple[int, list[Finding]]:
    """Run the command, and return its exit code and findings."""
    result = CliRunner().invoke(tree, [*options, "check", "--json"])
    assert result.stderr == ""
    return result.exit_code, [Finding.model_validate(one) for one in json.loads(result.stdout)]


def found(name: str, findings: list[Finding]) -> Finding:
    """Return what was found of one thing."""
    (one,) = [one for one in findings if one.name == name]
    return one


def test_a_check_changes_nothing(tmp_path: Path) -> None:
    """A ledger that is not there yet is told of, and not made."""
    code, findings = check()
    database = found("database", findings)
    assert (database.level, database.exit_code) == ("ok", 0)
    assert database.message.endswith("/.datamcp/ledger.db, will be made at its first use")
    assert list(tmp_path.iterdir()) == []
    assert code == 3  # no broker


def test_what_answers_is_ok(broker_url: str, key_prefix: str, tmp_path: Path) -> None:
    """The environment, the agents' capabilities, the ledger's version and the messages are told."""
    upgrade(f"sqlite:///{tmp_path}/.datamcp/ledger.db")
    code, findings = check(
        "--set", f"broker.url={broker_url}", "--set", f"broker.key_prefix={key_prefix}"
    )
    assert code == 0
    assert {one.level for one in findings} == {"ok"}
    assert "development: " in found("configuration", findings).message
    assert found("agent research", findings).message == "search, summarize, report"
    trading = "analyze_market, generate_signals, assess_risk"
    assert found("agent trading", findings).message == trading
    assert "ledger version " in found("database", findings).message
    assert found("broker", findings).message.endswith(", 0 messages waiting")


def test_a_database_without_a_ledger_is_a_warning(tmp_path: Path) -> None:
    """It says what to run."""
    (tmp_path / "empty.db").touch()
    _, findings = check("--set", f"storage.database_url=sqlite:///{tmp_path}/empty.db")
    assert found("database", findings).level == "warning"
    assert "`datamcp migrate`" in found("database", findings).message


def test_a_service_that_is_away_is_an_error() -> None:
    """The exit code of the worst finding is the command's."""
    code, findings = check("--set", "storage.database_url=postgresql://127.0.0.1:1/x")
    assert code == 3
    assert found("database", findings).exit_code == 3
    assert "is unreachable" in found("database", findings).message


@pytest.mark.parametrize(
    ("setting", "name", "level", "said"),
    [
        ("security.key_file=gone.key", "key file", "error", "gone.key is no file that can be read"),
        ("storage.allowed_roots=gone", "files", "warning", "there is no folder "),
        ("system.state_dir=/dev/null/state", "state folder", "error", "can't be written to"),
        ("agents.lab.module=no.such:Lab", "agent lab", "error", "no module named 'no'"),
    ],
)
def test_what_a_setting_names_and_is_not_there(
    setting: str, name: str, level: str, said: str
) -> None:
    """Files, folders and modules are looked for."""
    _, findings = check("--set", setting)
    assert found(name, findings).level == level
    assert said in found(name, findings).message


def test_a_warning_of_the_configuration_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is no setting is told of here, too."""
    monkeypatch.setenv("DATAMCP_PORT", "1")
    _, findings = check()
    warnings = [one.message for one in findings if one.level == "warning"]
    assert warnings == ["DATAMCP_PORT: is no setting; ignored"]


def test_people_get_a_table() -> None:
    """One line for each finding, its level first."""
    lines = CliRunner().invoke(tree, ["check"]).stdout.splitlines()
    levels = [line.split()[0] for line in lines if not line.startswith(" ")]  # others go on
    assert levels == ["ok", "ok", "ok", "ok", "ok", "error"]
