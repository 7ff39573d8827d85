import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from datamcp.cli.config import config
from datamcp.config import Loaded, load
from datamcp.errors import ConfigError


@dataclass(frozen=True)
class Top:
    """What the top-level command hands to its groups."""

    environ: dict[str, str]
    cwd: Path

    def load(self) -> Loaded:
        """Return the configuration."""
        return load(environ=self.environ, cwd=self.cwd)


def run(tmp_path: Path, *arguments: str, **environ: str) -> Result:
    """Run a command with these settings in an empty folder."""
    return CliRunner().invoke(config, arguments, obj=Top(environ, tmp_path))


def test_show_prints_every_section_within_80_columns(tmp_path: Path) -> None:
    """The table fits a plain terminal; its origins are whole."""
    result = run(tmp_path, "show")
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "storage" in result.stdout
    assert "development.yaml:10" in result.stdout


def test_show_json_is_one_object_without_secrets(tmp_path: Path) -> None:
    """Standard output is the configuration and nothing else."""
    result = run(tmp_path, "show", "--json", DATAMCP_BROKER__URL="redis://:hunter2@h")
    shown = json.loads(result.stdout)
    assert shown["broker"]["url"] == "redis://:********@h"
    assert shown["system"]["environment"] == "development"


def test_show_json_of_a_section(tmp_path: Path) -> None:
    """A section is the object of that section."""
    shown = json.loads(run(tmp_path, "show", "agents.research", "--json").stdout)
    assert shown["module"] == "datamcp.agent_types.research:ResearchAgent"


def test_warnings_go_to_standard_error(tmp_path: Path) -> None:
    """What is only a warning does not disturb the result."""
    result = run(tmp_path, "show", "--json", DATAMCP_PORT="1")
    assert json.loads(result.stdout)
    assert "warning: DATAMCP_PORT: is no setting; ignored" in result.stderr


def test_validate_says_what_is_valid(tmp_path: Path) -> None:
    """A good configuration is named by its environment and files."""
    result = run(tmp_path, "validate")
    assert result.exit_code == 0
    assert result.stdout.startswith("The configuration is valid (development: ")


def test_validate_lists_every_problem_and_ends_with_2(tmp_path: Path) -> None:
    """One line for each, on standard error, and no traceback."""
    wrong = {"DATAMCP_BROKER__ULR": "x", "DATAMCP_SCHEDULER__MAX_RETRIES": "x"}
    result = run(tmp_path, "validate", **wrong)
    assert (result.exit_code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 3
    assert "broker.ulr: unknown setting; did you mean 'broker.url'?" in result.stderr


def test_validate_json_holds_the_findings(tmp_path: Path) -> None:
    """Programs read errors and warnings from one object, whatever the exit code."""
    good = json.loads(run(tmp_path, "validate", "--json").stdout)
    assert (good["valid"], good["errors"], good["environment"]) == (True, [], "development")
    result = run(tmp_path, "validate", "--json", DATAMCP_BROKER__ULR="x")
    bad = json.loads(result.stdout)
    assert (result.exit_code, bad["valid"]) == (2, False)
    assert [error["path"] for error in bad["errors"]] == ["broker.ulr"]


def test_validate_reports_an_error_without_a_list(tmp_path: Path) -> None:
    """A folder that does not exist is one problem as well."""
    result = run(tmp_path, "validate", DATAMCP_CONFIG_DIR="gone")
    assert result.exit_code == 2
    assert "DATAMCP_CONFIG_DIR=gone" in result.stderr


def test_explain_says_where_a_value_came_from(tmp_path: Path) -> None:
    """Meaning, default, variable and sources are shown."""
    result = run(
        tmp_path, "explain", "storage.cache_backend", DATAMCP_STORAGE__CACHE_BACKEND="none"
    )
    assert result.exit_code == 0
    assert "storage.cache_backend = none" in result.stdout
    assert "DATAMCP_STORAGE__CACHE_BACKEND" in result.stdout
    assert "development.yaml:11" in result.stdout


def test_explain_json_is_one_object(tmp_path: Path) -> None:
    """The same as data, with the name that an agent is read as."""
    result = run(tmp_path, "explain", "agents.research_agent.timeout", "--json")
    explained = json.loads(result.stdout)
    assert explained["path"] == "agents.research.timeout"
    assert explained["note"] == "agents.research_agent is read as agents.research"
    assert explained["variable"] == "DATAMCP_AGENTS__RESEARCH__TIMEOUT"


def test_an_unknown_setting_is_the_callers_mistake(tmp_path: Path) -> None:
    """The error that the top-level command prints suggests the right name."""
    error = run(tmp_path, "explain", "storage.database_ulr").exception
    assert isinstance(error, ConfigError)
    assert str(error).endswith("did you mean 'storage.database_url'?")


def test_without_a_top_level_command_the_process_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The group also works on its own, as a plug-in of another program."""
    monkeypatch.setenv("DATAMCP_SCHEDULER__MAX_RETRIES", "7")
    result = CliRunner().invoke(config, ["show", "scheduler", "--json"])
    assert json.loads(result.stdout)["max_retries"] == 7


def test_schema_describes_every_section(tmp_path: Path) -> None:
    """What is printed is a JSON Schema that refuses unknown sections."""
    schema = json.loads(run(tmp_path, "schema").stdout)
    assert schema["additionalProperties"] is False
    assert {"system", "broker", "agents", "storage"} <= schema["properties"].keys()


@pytest.mark.parametrize("command", ["", "show", "validate", "explain", "schema"])
def test_help_teaches_by_example(tmp_path: Path, command: str) -> None:
    """Every help text shows how the command is used."""
    arguments = [command, "--help"] if command else ["--help"]
    assert "datamcp config" in run(tmp_path, *arguments).stdout
