import json
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

ADD = ', "parameters": {"a": %d}}'

NOWHERE = "redis://127.0.0.1:1/0"  # nothing listens on port 1


@pytest.fixture(autouse=True)
def _agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have an agent in the current folder, on a broker that is away."""
    (tmp_path / "bench_of_mistakes.py").write_text(AGENT)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("DATAMCP_AGENTS__BENCH__MODULE", "bench_of_mistakes:Bench")
    monkeypatch.setenv("DATAMCP_BROKER__URL", NOWHERE)


def run(*words: str, stdin: str | None = None) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(tree, words, input=stdin, prog_name="datamcp")


def refused(*words: str, stdin: str | None = None) -> str:
    """Run a command that is refused as wrong input, and return its one line."""
    result = run(*words, stdin=stdin)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    return line.removeprefix("Error: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("taks list", "there is no command 'taks'; did you mean 'task'? (see datamcp --help)"),
        ("task lst", "there is no command 'lst'; did you mean 'list'? (see datamcp task --help)"),
        ("task enqueue", "missing argument 'TASK_TYPE' (see datamcp task enqueue --help)"),
        ("task list --limt 3", "no such option '--limt'"),
        ("task list --limit many", "invalid value for '--limit': 'many' is not a valid integer"),
        ("task list --state no", "invalid value for '--state': 'no' is not one of 'scheduled', "),
        ("--set broker.url", "missing command (see datamcp --help)"),
        ("--set broker.url check", "--set takes SECTION.KEY=VALUE, got 'broker.url'"),
        ("worker bnch", "no agent type 'bnch' is switched on; did you mean 'bench'?"),
        ("up --only bnch", "no agent type 'bnch' is switched on; did you mean 'bench'?"),
        ("status --watch --json", "--watch shows pages, no JSON; give one of the two"),
        ("task enqueue bench.add -p a", "-p takes NAME=VALUE, got 'a'"),
        ("task enqueue bench.add -p a=1 -p a=2", "parameter 'a' is given twice"),
        ("task enqueue bench.add --parameters {", "--parameters is not JSON: "),
        ("task enqueue bench.add --parameters [1]", "--parameters must be a JSON object"),
        ("task enqueue bench.add --parameters @no.json", "--parameters: No such file"),
        ("task enqueue bench.add --parameters @.", "--parameters: Is a directory: '.'"),
        ("task enqueue bench.add -p a=1 --at noon", "--at takes an ISO 8601 instant, got 'noon'"),
        ("task enqueue bench.add -p a=1 --timeout nan", "invalid value for '--timeout': "),
        ("task enqueue bench.add -p a=1 --timeout -1", "invalid value for '--timeout': "),
        ("task enqueue bench.add -p a=1 --task-timeout inf", "invalid value for '--task-timeout'"),
        ("task enqueue bench.add -p a=1 --priority 10", "invalid value for '--priority': "),
    ],
)
def test_a_wrong_command_line_is_told_in_a_line(words: str, said: str) -> None:
    """With what is wrong, and where to read how it should be."""
    assert refused(*words.split(" ")).startswith(said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("task enqueue bench.ad", "unknown task type 'bench.ad'; did you mean 'bench.add'?"),
        ("task enqueue bnch.add", "unknown task type 'bnch.add'; did you mean 'bench.add'?"),
        ("task enqueue file.raed", "unknown task type 'file.raed'; did you mean 'file.read'?"),
        ("task enqueue other.job", "unknown task type 'other.job'; switch its agent on with "),
        ("task enqueue job", "unknown task type 'job'; it is an agent type and a capability, "),
        ("task enqueue bench.add", "invalid parameters for bench.add: a: is required"),
        ("task enqueue bench.add -p a=1 -p c=1", "invalid parameters for bench.add: c: is not a"),
        ("task status no", "no task 'no' in the ledger"),
        ("task history no", "no task 'no' in the ledger"),
        ("task cancel no", "no task 'no' in the ledger"),
        ("pipeline status no", "no pipeline run 'no' in the ledger"),
        ("pipeline cancel no", "no pipeline run 'no' in the ledger"),
        ("pipeline trigger no", "no pipeline 'no' is registered"),
        ("pipeline register no.yaml", "pipeline no.yaml is not valid: there is no such file"),
        ("pipeline validate .", "pipeline . is not valid: can't be read: Is a directory"),
        ("--set broker.ulr=x check", "invalid configuration: broker.ulr: unknown setting; did you"),
        ("--set scheduler.max_retries=x check", "invalid configuration: scheduler.max_retries: "),
        ("--set agents.bench.module=no.such:Agent task enqueue bench.add", "agents.bench.module: "),
        ("config explain broker.ulr", "broker.ulr: unknown setting; did you mean 'broker.url'?"),
    ],
)
def test_what_is_not_there_is_told_in_a_line(words: str, said: str) -> None:
    """Nothing is written before the mistake is noticed."""
    assert refused(*words.split(" ")).startswith(said)
    assert json.loads(run("task", "list", "--json").stdout) == []


def test_a_key_that_is_too_long_is_told_in_a_line() -> None:
    """What the task's own model refuses is wrong input, too."""
    assert "at most 255" in refused("task", "enqueue", "bench.add", "-p", "a=1", "--key", "x" * 300)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("{", "line 1: not JSON: "),
        ("\n[1]", "line 2: a task is a JSON object; nothing was enqueued"),
        ("{}", "line 1: task_type: Field required; nothing was enqueued"),
        ('{"task_type": "bench.add", "prio": 1}', "line 1: prio: Extra inputs are not permitted"),
        (
            '{"task_type": "bench.add", "parameters": {"a": 1}}\n\n{"task_type": "bench.ad"}',
            "line 3: unknown task type 'bench.ad'; did you mean 'bench.add'?; nothing was enqueued",
        ),
        (
            '{"task_type": "bench.add", "idempotency_key": "k"}\n'.replace("}", ADD % 1)
            + '{"task_type": "bench.add", "idempotency_key": "k"}'.replace("}", ADD % 2),
            "line 2: idempotency key 'k' of bench.add already belongs to task ",
        ),
    ],
)
def test_a_line_of_a_file_that_is_wrong_is_named(lines: str, said: str, tmp_path: Path) -> None:
    """Then none of its tasks is enqueued."""
    (tmp_path / "tasks.jsonl").write_text(lines)
    assert refused("task", "enqueue", "--from", "tasks.jsonl").startswith(f"tasks.jsonl, {said}")
    told = refused("task", "enqueue", "--from", "-", stdin=lines)
    assert told.startswith(f"stdin, {said}")
    assert json.loads(run("task", "list", "--json").stdout) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--from no.jsonl", "--from: No such file or directory: 'no.jsonl'"),
        ("--from - --wait", "--wait can't be given together with --from"),
        ("bench.add --from - -p a=1", "--parameter can't be given together with --from"),
    ],
)
def test_what_does_not_go_with_a_file_of_tasks_is_refused(words: str, said: str) -> None:
    """In a line, as ever."""
    assert refused("task", "enqueue", *words.split()).startswith(said)


def test_a_broker_that_is_away_keeps_all_tasks_of_a_file() -> None:
    """Their ids are told, in order, and the exit code is 3."""
    lines = '{"parameters": {"a": 1}}\n{"parameters": {"a": 2}, "priority": 9}\n'
    result = run("task", "enqueue", "bench.add", "--from", "-", "--json", stdin=lines)
    assert result.exit_code == 3
    assert result.stderr.startswith("Error: broker redis://")
    assert result.stderr.endswith("the tasks are kept and will be sent once the broker is back\n")
    first, second = json.loads(result.stdout)
    tasks = {task["task_id"]: task for task in json.loads(run("task", "list", "--json").stdout)}
    assert (tasks[first]["priority"], tasks[second]["priority"]) == (5, 9)


def test_several_problems_are_a_line_each() -> None:
    """After a line that counts them."""
    result = run("task", "enqueue", "bench.add", "-p", "a=x", "-p", "c=1")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "Error: invalid parameters for bench.add: 2 problems",
        "  a: input should be a valid integer, got 'x'",
        "  c: is not a parameter",
    ]


def test_the_problems_of_several_files_are_told_at_once(tmp_path: Path) -> None:
    """Each with its file and line."""
    (tmp_path / "one.yaml").write_text("pipeline_id: one\ntasks: []\n")
    (tmp_path / "two.yaml").write_text("pipeline_id: two\nname: Two\ntaks: []\n")
    result = run("pipeline", "validate", "one.yaml", "two.yaml", "three.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    assert lines[0].startswith("Error: pipeline files (3) is not valid: ")
    assert {line.split(":")[0].strip() for line in lines[1:]} == {
        "one.yaml",
        "two.yaml",
        "three.yaml",
    }


def test_a_broker_that_is_away_keeps_the_task_and_says_so() -> None:
    """The exit code is 3, stdout the task that waits, stderr one line."""
    result = run("task", "enqueue", "bench.add", "-p", "a=1", "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["state"] == "queued"
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: broker redis://")
    assert line.endswith("the task is kept and will be sent once the broker is back")


@pytest.mark.parametrize("command", ["task enqueue bench.add -p a=1", "pipeline trigger flights"])
def test_without_a_broker_nothing_is_enqueued(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where none is configured, one line says what to set."""
    monkeypatch.delenv("DATAMCP_BROKER__URL")
    result = run(*command.split())
    assert (result.exit_code, result.stdout) == (3, "")
    assert "none is configured; set DATAMCP_BROKER__URL, such as redis://" in result.stderr
    assert json.loads(run("task", "list", "--json").stdout) == []


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://127.0.0.1:1/x",
        "postgresql://someone:hunter2@nowhere.invalid/x",
        "sqlite:////dev/null/ledger.db",
    ],
)
@pytest.mark.parametrize("command", ["task list", "pipeline list", "migrate", "demo"])
def test_a_database_that_is_away_ends_a_command_with_3(
    url: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line names it, without its password."""
    monkeypatch.setenv("DATAMCP_STORAGE__DATABASE_URL", url)
    result = run(*command.split())
    assert (result.exit_code, result.stdout) == (3, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: database {url.replace('hunter2', '***')} is unreachable: ")


def test_a_demo_whose_broker_is_away_begins_nothing() -> None:
    """It ends with 3 before it starts any process."""
    result = run("demo")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith("Error: broker redis://")
    assert json.loads(run("pipeline", "runs", "--json").stdout) == []


def test_a_state_folder_that_cannot_be_written_to_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line names the setting."""
    monkeypatch.setenv("DATAMCP_SYSTEM__STATE_DIR", "/dev/null/state")
    assert refused("demo").startswith("system.state_dir: /dev/null/state can't be written to: ")


@pytest.mark.parametrize("group", ["", "task", "pipeline", "config"])
def test_a_group_alone_shows_its_help(group: str) -> None:
    """Commands and examples, where a command is missing."""
    result = run(*group.split())
    assert result.exit_code == 2
    assert "Usage: datamcp" in result.output
    assert "Commands:" in result.output


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--prot=8080", "flower has no option 'prot'; did you mean 'port'?"),
        ("8080", "flower's options have the form --name=value, got '8080'"),
    ],
)
def test_flower_s_options_are_checked(option: str, said: str) -> None:
    """Flower itself ignores what it does not know."""
    assert refused("flower", option).startswith(said)
