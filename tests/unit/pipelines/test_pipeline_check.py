from typing import Any

from datamcp.pipelines.check import check
from datamcp.pipelines.definition import PipelineDefinition


def problems(*tasks: dict[str, Any], known: set[str] | None = None, **more: Any) -> list[str]:
    """Return what is wrong with a pipeline of these tasks."""
    filled = [{"processor": "x.y", **task} for task in tasks]
    definition = PipelineDefinition.model_validate({"pipeline_id": "p", "tasks": filled, **more})
    return [str(problem) for problem in check(definition, known)]


def test_sound_definition_has_no_problem() -> None:
    """A definition in which every name exists may be registered."""
    configuration = {"a": "${outputs.a.path} ${parameters.m} ${run.run_id} $${x}"}
    assert not problems(
        {"task_id": "a"},
        {"task_id": "b", "input_sources": ["a"], "configuration": configuration},
        known={"x.y"},
        parameters={"m": {}},
        dependencies={"b": ["a"]},
    )


def test_unknown_steps_are_named() -> None:
    """Inputs and both sides of dependencies must be steps."""
    assert problems(
        {"task_id": "flights", "input_sources": ["flights2", "xyz"]},
        dependencies={"fligts": ["flights"], "flights": ["flihts"]},
    ) == [
        "tasks[0].input_sources[0]: unknown step 'flights2'; did you mean 'flights'?",
        "tasks[0].input_sources[1]: unknown step 'xyz'",
        "dependencies.fligts: unknown step 'fligts'; did you mean 'flights'?",
        "dependencies.flights[0]: unknown step 'flihts'; did you mean 'flights'?",
    ]


def test_wrong_references_are_named() -> None:
    """A reference must be well formed and name a parameter, a step, a field."""
    configuration = {
        "a": "${parameters.mnth}",
        "b": ["${outputs.bb.path}", "${outputs.a.pth}"],
        "c": "${run.id}",
    }
    found = problems(
        {"task_id": "a"}, {"task_id": "b", "configuration": configuration}, parameters={"month": {}}
    )
    assert found[:3] == [
        "tasks[1].configuration.a: unknown parameter 'mnth'; did you mean 'month'?",
        "tasks[1].configuration.b[0]: unknown step 'bb'; did you mean 'b'?",
        "tasks[1].configuration.b[1]: an output has value, path, records_out, not 'pth'; did you mean 'path'?",
    ]
    assert found[3].startswith("tasks[1].configuration.c: '${run.id}' is no reference")
    assert len(found) == 4


def test_duplicates_and_cycles_are_named() -> None:
    """A step is defined once and never waits for itself, not even through a reference."""
    assert problems(
        {"task_id": "a", "input_sources": ["b"]},
        {"task_id": "b", "configuration": {"x": "${outputs.a.value}"}},
        {"task_id": "c", "input_sources": ["b"]},
        {"task_id": "c"},
        {"task_id": "d", "input_sources": ["d"]},
    ) == [
        "tasks[3].task_id: step 'c' is already defined by tasks[2]",
        "tasks[0]: cycle: a -> b -> a",
        "tasks[4]: cycle: d -> d",
    ]


def test_a_step_that_waits_for_the_last_ones_is_named_once() -> None:
    """And not as a cycle, too; nor is one that is defined in both sections."""
    last = [{"task_id": "end", "processor": "x.y"}]
    assert problems(
        {"task_id": "a", "input_sources": ["end"]}, {"task_id": "b"}, **{"finally": last}
    ) == ["tasks[0]: can't wait for 'end': it stands in `finally`, and runs after all others"]
    assert problems({"task_id": "end"}, **{"finally": last}) == [
        "finally[0].task_id: step 'end' is already defined by tasks[0]"
    ]
    last = [{**last[0], "input_sources": ["more"]}, {"task_id": "more", "processor": "x.y"}]
    last[1]["input_sources"] = ["end"]
    assert problems({"task_id": "a"}, **{"finally": last}) == [
        "finally[0]: cycle: end -> more -> end"
    ]


def test_processors_are_checked_where_they_are_known() -> None:
    """Without the set of task types any processor passes; what is unsupported is told once."""
    tasks = {"task_id": "a", "processor": "file.rad"}, {"task_id": "b", "processor": "memory.store"}
    unsupported = "tasks[1].processor: `memory.store` is not available in this version"
    assert problems(*tasks) == [unsupported]
    assert problems(*tasks, known={"file.read"}) == [
        unsupported,
        "tasks[0].processor: unknown processor 'file.rad'; did you mean 'file.read'?",
    ]


def test_a_step_may_ask_for_so_many_retries() -> None:
    """Where there is a limit, one more is refused, with the setting that allows it."""
    steps = [
        {"task_id": f"s{attempts}", "processor": "x.y", "retry_policy": {"max_attempts": attempts}}
        for attempts in (1, 3, 4)
    ]
    definition = PipelineDefinition.model_validate({"pipeline_id": "p", "tasks": steps})
    assert check(definition) == []
    assert [str(problem) for problem in check(definition, most_retries=2)] == [
        (
            "tasks[2].retry_policy.max_attempts: must be at most 3, got 4: "
            "`pipelines.max_retry_attempts` allows a step 2 retries"
        )
    ]


def test_a_query_takes_no_references() -> None:
    """What starts a run is bound to a query, and never written into it; other SQL is not a server's."""
    read = {"task_id": "a", "processor": "sql.read"}
    query = "select 1 as a where b = '${parameters.m}'"
    [found] = problems({**read, "configuration": {"query": query}}, parameters={"m": {}})
    assert found.startswith(
        "tasks[0].configuration.query: a query takes no references: write :name"
    )
    last = {**read, "configuration": {"query": query}}
    [found] = problems({"task_id": "b"}, parameters={"m": {}}, **{"finally": [last]})
    assert found.startswith("finally[0].configuration.query: a query takes no references")
    bound = {"query": "select '$${x}', :b", "parameters": {"b": "${parameters.m}"}}
    assert not problems({**read, "configuration": bound}, parameters={"m": {}})
    transform = {"task_id": "a", "processor": "sql.transform", "configuration": {"sql": query}}
    assert not problems(transform, parameters={"m": {}})
