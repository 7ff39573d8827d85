import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from pydantic import ValidationError
from support.source import REPOSITORY

from datamcp.cli.tree import tree
from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.document import read
from datamcp.pipelines.json_schema import SCHEMA_ID, json_schema

SHIPPED = sorted((REPOSITORY / "config" / "pipelines").glob("*.yaml"))

GRAMMAR = """
pipeline_id: flights
name: Flight delays
version: "1"
parameters: {month: {type: string, default: "2013-01"}, n: {type: integer, required: false}}
schedule: {schedule: "@daily", timezone: Europe/Vienna, start: "2026-01-01T00:00:00Z"}
timeout: 900
limits: {runs: 1, steps: 4}
tasks:
  - task_id: signals
    processor: trading.generate_signals
    input_sources: [flights]
    configuration: {prices: "${outputs.prices}", deep: [{x: null}, 1.5]}
    retry_policy: {max_attempts: 3, delay: 1, strategy: exponential, continue_on_error: false}
    timeout: 60
    trigger_rule: all_done
    when: "outputs.prices.records_out > 0"
    map: {over: "${outputs.months.value}", as: month, max_parallel: 4}
    concurrency_key: "${parameters.month}"
dependencies: {report: [by_carrier, signals]}
"""


def complaints(value: Any, **options: Any) -> list[str]:
    """Return the paths at which a value does not fit the schema."""
    validator = Draft202012Validator(json_schema(**options))
    return sorted(error.json_path for error in validator.iter_errors(value))


def test_it_is_a_schema_of_the_newest_draft() -> None:
    """It says so, has an id, and describes itself."""
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == SCHEMA_ID
    assert schema["title"] == "Pipeline of datamcp"
    assert schema["description"].startswith("A directed acyclic graph of steps.")
    assert schema["additionalProperties"] is False


def test_keys_tell_what_they_are_for() -> None:
    """What the model's description says of a key stands at the key."""
    schema = json_schema()
    step = schema["$defs"]["TaskDefinition"]["properties"]
    assert step["timeout"]["description"] == "`timeout` is seconds."
    assert step["processor"]["description"] == (
        "`processor` names the data processor or the agent's capability that does the work"
    )
    assert "description" not in step["task_id"]
    assert "title" not in step["timeout"]


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_the_shipped_pipelines_fit(file: Path) -> None:
    """All of them, as they are read."""
    assert complaints(read(file.read_text(encoding="utf-8")).value) == []


def test_all_of_the_grammar_fits() -> None:
    """Each key that a file may have."""
    value = read(GRAMMAR).value
    assert complaints(value) == []
    assert complaints({**value, "schedule": "@daily"}) == []
    assert complaints({**value, "schedule": None, "timeout": None}) == []
    PipelineDefinition.model_validate(value)


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ({"taks": []}, "$"),
        ({"tasks": []}, "$.tasks"),
        ({"tasks": {}}, "$.tasks"),
        ({"tasks": [{"task_id": "a"}]}, "$.tasks[0]"),
        ({"tasks": [{"task_id": "a b", "processor": "x.y"}]}, "$.tasks[0].task_id"),
        ({"tasks": [{"task_id": "a", "processor": "x y"}]}, "$.tasks[0].processor"),
        ({"tasks": [{"task_id": 1, "processor": "x.y"}]}, "$.tasks[0].task_id"),
        ({"tasks": [{"task_id": "a", "processor": "x.y", "config": {}}]}, "$.tasks[0]"),
        ({"version": 1}, "$.version"),
        ({"timeout": 0}, "$.timeout"),
        ({"timeout": "soon"}, "$.timeout"),
        ({"limits": {"steps": 0}}, "$.limits.steps"),
        ({"limits": {"step": 1}}, "$.limits"),
        ({"schedule": {"timezone": "UTC"}}, "$.schedule"),
        ({"schedule": 5}, "$.schedule"),
        ({"parameters": {"a b": {}}}, "$.parameters"),
        ({"parameters": {"a": {"type": "text"}}}, "$.parameters.a.type"),
        ({"parameters": {"a": "x"}}, "$.parameters.a"),
        ({"dependencies": {"a": "b"}}, "$.dependencies.a"),
        ({"dependencies": {"a b": []}}, "$.dependencies"),
    ],
)
def test_typical_mistakes_are_refused(wrong: dict[str, Any], path: str) -> None:
    """By the schema at the place of the mistake, and by the model as well."""
    value = {"pipeline_id": "p", "tasks": [{"task_id": "a", "processor": "x.y"}]}
    assert complaints(value) == []
    assert complaints({**value, **wrong}) == [path]
    with pytest.raises(ValidationError):
        PipelineDefinition.model_validate({**value, **wrong})


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("trigger_rule", "always"),
        ("when", True),
        ("map", {"as": "x"}),
        ("map", {"over": "x", "max_parallel": 0}),
        ("retry_policy", {"max_attempts": 0}),
        ("retry_policy", {"strategy": "sometimes"}),
        ("retry_policy", {"retries": 3}),
        ("input_sources", "a"),
        ("configuration", []),
    ],
)
def test_mistakes_in_a_step_are_refused(key: str, wrong: Any) -> None:
    """At the step's own key."""
    value = {"pipeline_id": "p", "tasks": [{"task_id": "a", "processor": "x.y", key: wrong}]}
    (path,) = complaints(value)
    assert path.startswith(f"$.tasks[0].{key}")


def test_processors_are_proposed_or_required() -> None:
    """A name that is not known is refused only where that is asked for."""
    value = {"pipeline_id": "p", "tasks": [{"task_id": "a", "processor": "x.y"}]}
    known = {"sql.read", "file.read"}
    processor = json_schema(known)["$defs"]["TaskDefinition"]["properties"]["processor"]
    assert processor["examples"] == ["file.read", "sql.read"]
    assert complaints(value, processors=known) == []
    assert complaints(value, processors=known, strict=True) == ["$.tasks[0].processor"]


def test_the_command_knows_what_is_configured(tmp_path: Path) -> None:
    """It prints the schema, without a server, with the names of all that can run here."""
    for words, key in [((), "examples"), (("--strict",), "enum")]:
        result = CliRunner().invoke(tree, ("pipeline", "schema", *words), prog_name="datamcp")
        assert (result.exit_code, result.stderr) == (0, "")
        schema = json.loads(result.stdout)
        names = schema["$defs"]["TaskDefinition"]["properties"]["processor"][key]
        assert {"file.read", "sql.transform"} <= set(names)
    assert list(tmp_path.iterdir()) == []
