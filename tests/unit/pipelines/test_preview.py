from typing import Any

from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.preview import configuration_of, filled, remarks


def definition(**last: Any) -> PipelineDefinition:
    """Return a pipeline of a step, and a last one."""
    first = {
        "task_id": "a",
        "processor": "x.y",
        "when": "parameters.n > 1",
        "map": {"over": "${parameters.xs}", "as": "x", "max_parallel": 2},
        "configuration": {"n": "${parameters.n}", "text": "${parameters.n} ${x.id} ${run.run_id}"},
        "concurrency_key": "${parameters.n}/${x}",
    }
    return PipelineDefinition.model_validate(
        {
            "pipeline_id": "p",
            "parameters": {"n": {"type": "integer"}, "xs": {"type": "array"}},
            "tasks": [first],
            "finally": [{"task_id": "end", "processor": "x.y", **last}],
        }
    )


VALUES: Any = {"n": 3, "xs": [1, 2]}


def test_what_is_known_stands_in_a_configuration() -> None:
    """With its type; the rest stays as it is written."""
    first, _ = definition().steps
    assert configuration_of(first, VALUES) == {"n": 3, "text": "3 ${x.id} ${run.run_id}"}
    assert filled(["${outputs.a.path}", {"k": "$${x}", "m": "${oops"}, 4], VALUES) == [
        "${outputs.a.path}",
        {"k": "${x}", "m": "${oops"},
        4,
    ]


def test_remarks_say_what_decides_besides_upstreams() -> None:
    """Whether, when, and how often a step runs."""
    pipeline = definition()
    first, last = pipeline.steps
    assert list(remarks(pipeline, first, VALUES)) == [
        "when: parameters.n > 1",
        "map: for each x of ${parameters.xs}, 2 of them, 2 at once",
        "concurrency_key: one at a time with the key 3/${x}",
    ]
    assert list(remarks(pipeline, last, VALUES)) == [
        "finally: after all others",
        "trigger_rule: all_done",
    ]


def test_remarks_on_what_no_worker_runs() -> None:
    """It waits, or has another pipeline run."""
    pipeline = definition(processor="wait.signal", cache={"key": "k"}, trigger_rule="one_failed")
    assert list(remarks(pipeline, pipeline.steps[1], VALUES))[-2:] == [
        "cache: the output is taken over from a run with the key k",
        "waits, and holds no slot",
    ]
    pipeline = definition(processor="pipeline.run")
    assert list(remarks(pipeline, pipeline.steps[1], VALUES))[-1] == (
        "runs another pipeline, and waits for its end"
    )
