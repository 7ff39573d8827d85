from typing import Any

import pytest

from datamcp.errors import Problem
from datamcp.pipelines.check import check
from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.deliveries import expand, wrong_destinations
from datamcp.pipelines.graph import Graph


def definition(*destinations: str, **more: Any) -> PipelineDefinition:
    """Return a pipeline of two steps, of which the first has destinations."""
    first = {"task_id": "a", "processor": "x.y", "output_destinations": destinations, **more}
    return PipelineDefinition.model_validate(
        {
            "pipeline_id": "p",
            "parameters": {"month": {"default": "1"}},
            "tasks": [first, {"task_id": "b", "processor": "x.y", "input_sources": ["a"]}],
        }
    )


def test_a_file_and_a_database() -> None:
    """Each destination is a step that takes the output and that nobody waits for."""
    given = definition("s3://bucket/${parameters.month}.csv", "warehouse")
    whole = expand(given).definition
    file, table = whole.tasks[2:]
    assert (file.task_id, file.processor, file.input_sources) == ("a.to1", "file.deliver", ("a",))
    assert file.configuration == {"path": "s3://bucket/${parameters.month}.csv"}
    assert (table.task_id, table.processor) == ("a.to2", "sql.write")
    assert table.configuration == {"connection": "warehouse", "table": "a", "mode": "replace"}
    assert Graph.of(whole).upstreams["b"] == ("a",)
    assert whole.tasks[:2] == given.tasks
    assert check(given) == []


def test_without_destinations_nothing_changes() -> None:
    """The definition is the same object."""
    given = definition()
    assert expand(given).definition is given


def test_to_expand_twice_is_to_expand_once() -> None:
    """What was registered can be registered again."""
    once = expand(definition("/srv/a.csv", "warehouse")).definition
    again = PipelineDefinition.model_validate_json(once.model_dump_json(exclude_unset=True))
    assert expand(again).definition == again
    assert check(again) == []


def test_a_delivery_is_retried_as_its_step() -> None:
    """And left out where the step failed and was forgiven."""
    policy = {"max_attempts": 3, "continue_on_error": True}
    given = definition("/srv/a.csv", retry_policy=policy)
    delivery = expand(given).definition.tasks[2]
    assert delivery.retry_policy == given.tasks[0].retry_policy
    assert delivery.when == "outputs.a.state == 'succeeded'"
    assert check(given) == []


@pytest.mark.parametrize("name", ["by-carrier", "by.carrier", "4_all"])
def test_names_of_steps(name: str) -> None:
    """Whatever a step may be called, its delivery can name it."""
    step = {"task_id": name, "processor": "x.y", "output_destinations": ["/srv/", "warehouse"]}
    step |= {"retry_policy": {"continue_on_error": True}}
    given = PipelineDefinition.model_validate({"pipeline_id": "p", "tasks": [step]})
    assert check(given) == []


def test_steps_of_finally() -> None:
    """Their deliveries are of `finally`, too."""
    last = {"task_id": "z", "processor": "x.y", "output_destinations": ["/srv/"]}
    given = PipelineDefinition.model_validate(
        {"pipeline_id": "p", "tasks": [{"task_id": "a", "processor": "x.y"}], "finally": [last]}
    )
    assert [step.task_id for step in expand(given).definition.finally_] == ["z", "z.to1"]
    assert check(given) == []


@pytest.mark.parametrize(
    ("destination", "told"),
    [
        ("out/a.csv", "'out/a.csv' is neither a URL, an absolute path, nor a name"),
        ("Warehouse", "is neither a URL, an absolute path, nor a name of `integrations`"),
        ("https://example.org/a", "a server is no place for files; send to it with a step of"),
        ("sftp://me:secret@host/a.csv", "may not hold a password"),
        ("s3://bucket/../a.csv", "may not have empty parts"),
        ("s3://bucket/*.csv", r"may not have any of * ? ["),
        ("s3://bucket/${parameters.mont}.csv", "unknown parameter 'mont'; did you mean 'month'?"),
        ("s3://bucket/${outputs.c}.csv", "unknown step 'c'"),
        ("s3://bucket/${what}.csv", "is no reference"),
    ],
)
def test_what_is_refused(destination: str, told: str) -> None:
    """Told at the destination's place, without a secret."""
    (problem,) = check(definition("/srv/a.csv", destination))
    assert problem.path == "tasks[0].output_destinations[1]"
    assert told in problem.message
    assert "secret" not in problem.message


def test_more_that_is_refused() -> None:
    """One destination twice, a list for a table, a name that is taken or too long."""

    def found(given: PipelineDefinition) -> list[str]:
        return [one.message for one in wrong_destinations(given)]

    assert found(definition("/a", "/a")) == ["'/a' is named twice"]
    mapped = definition("warehouse", map={"over": "${parameters.month}"})
    assert found(mapped)[0].startswith("a step with `map` leaves a list")
    taken = definition("/a").model_copy(
        update={"tasks": (*definition("/a").tasks, definition(task_id="a.to1").tasks[0])}
    )
    assert found(taken) == ["its delivery is called 'a.to1', and so is another step; rename that"]
    assert "too long" in found(definition("/a", task_id="a" * 99))[0]


def test_a_problem_of_a_delivery_is_one_of_its_destination() -> None:
    """Others stay where they are."""
    expanded = expand(definition("/srv/a.csv"))
    assert expanded.as_written(Problem("tasks[2].configuration.path", "x")) == Problem(
        "tasks[0].output_destinations[0]", "x"
    )
    other = Problem("tasks[1].processor", "x")
    assert expanded.as_written(other) == other
