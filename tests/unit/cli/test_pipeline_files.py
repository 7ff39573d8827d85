"""`datamcp pipeline validate` and `register`: what they say of files that are wrong."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from datamcp.cli.tree import tree

AGENT = """
from datamcp import BaseAgent, capability


class Bench(BaseAgent):
    agent_type = "bench"

    @capability
    def add(self, a: int, b: int = 0) -> int:
        return a + b
"""

WRONG = """\
pipeline_id: p
tasks:
- {task_id: a, processor: file.rad}
- {task_id: b, processor: file.read, configuration: {format: xls}}
- {task_id: c, processor: bench.add, configuration: {a: many}}
- {task_id: d, processor: bench.ad, retry_policy: {max_attempts: 900}}
- {task_id: e, processor: elsewhere.work, input_sources: [z]}
"""

TOLD = [
    "  w.yaml:3 tasks[0].processor: unknown processor 'file.rad'; did you mean 'file.read'?",
    "  w.yaml:4 tasks[1].configuration.path: is required",
    "  w.yaml:4 tasks[1].configuration.format: must be 'csv', 'parquet' or 'jsonl', got 'xls'",
    "  w.yaml:5 tasks[2].configuration.a: must be a whole number, got 'many'",
    "  w.yaml:6 tasks[3].processor: unknown processor 'bench.ad'; did you mean 'bench.add'?",
    "  w.yaml:7 tasks[4].input_sources[0]: unknown step 'z'",
]


@pytest.fixture(autouse=True)
def _agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have an agent, and a file that is wrong, in the current folder; no service is there."""
    (tmp_path / "bench_of_files.py").write_text(AGENT)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("DATAMCP_AGENTS__BENCH__MODULE", "bench_of_files:Bench")
    (tmp_path / "w.yaml").write_text(WRONG)


def run(*words: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(tree, ["pipeline", *words], prog_name="datamcp")


def test_validate_tells_all_that_can_be_known_here() -> None:
    """An agent that is not configured may be elsewhere; whatever is here is looked at."""
    result = run("validate", "w.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[1:] == TOLD


def test_register_tells_all_at_once() -> None:
    """With lines, before any service is asked; all has to be here."""
    result = run("register", "w.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    told = result.stderr.splitlines()[1:]
    assert [line for line in told if line in TOLD] == TOLD
    (retries, elsewhere) = (line for line in told if line not in TOLD)
    assert retries.startswith("  w.yaml:6 tasks[3].retry_policy.max_attempts: must be at most ")
    assert elsewhere.startswith("  w.yaml:7 tasks[4].processor: unknown processor 'elsewhere.work'")


def test_register_asks_processors_too(tmp_path: Path) -> None:
    """What the form alone can't tell, unless it depends on references."""
    (tmp_path / "f.yaml").write_text("""\
pipeline_id: p
parameters: {x: {default: "["}}
tasks:
- task_id: a
  processor: data.validate
  configuration:
    columns:
      c: {pattern: "["}
- task_id: b
  processor: data.validate
  configuration: {columns: {c: {pattern: "${parameters.x}"}}}
- {task_id: d, processor: sql.read, configuration: {connection: none, query: q, table: t}}
""")
    told = run("register", "f.yaml").stderr.splitlines()
    assert told[1].startswith("  f.yaml:8 tasks[0].configuration.columns.c: ")
    assert told[2] == "  f.yaml:12 tasks[2].configuration: give either query or table"
    assert run("validate", "f.yaml").exit_code == 0


def test_validate_takes_an_agent_that_is_broken_as_one_that_is_not_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is no fault of the file."""
    monkeypatch.setenv("DATAMCP_AGENTS__BENCH__MODULE", "nowhere:Bench")
    told = run("validate", "w.yaml").stderr.splitlines()[1:]
    assert told == [line for line in TOLD if "[2]" not in line and "[3]" not in line]


def test_validate_goes_without_a_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """And says what it could not look at."""
    monkeypatch.setenv("DATAMCP_SYSTEM__ENVIRONMNT", "production")
    result = run("validate", "w.yaml")
    warning, *told = result.stderr.splitlines()
    assert warning.startswith("warning: what processors accept was not checked: ")
    assert told == [
        "Error: pipeline w.yaml is not valid: w.yaml:7 tasks[4].input_sources[0]: unknown step 'z'"
    ]
