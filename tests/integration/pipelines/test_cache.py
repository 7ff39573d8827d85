"""Outputs that later runs take over."""

from pathlib import Path

from sqlalchemy import select
from support.lab import Laboratory

from datamcp.pipelines.ledger import PipelineLedger
from datamcp.pipelines.tables import signals

CACHED = """
pipeline_id: cached
parameters: {k: {type: string, default: a}, fail: {type: boolean, default: false}}
tasks:
  - {task_id: a, processor: lab.work, cache: {key: "${parameters.k}", ttl: 100}, configuration: {value: "${run.run_id}", fail: "${parameters.fail}"}}
  - {task_id: z, processor: lab.work, configuration: {value: "${outputs.a.value}"}}
"""


def value(lab: Laboratory, text: str, **parameters: object) -> object:
    """Run a pipeline, and return what its step `z` has left."""
    run = lab.run(text, **parameters)
    assert lab.state(run) == "succeeded"
    return lab.outputs(run)["z"]


def test_is_taken_over_under_the_same_key(labs: Laboratory) -> None:
    """The step is not run again; its status says whose output it has."""
    first = labs.run(CACHED)
    second = labs.run(CACHED)
    assert labs.outputs(second)["z"] == first
    assert labs.executions() == {"a": 1, "z": 2}
    assert labs.step(second, "a").adopted_from == labs.step(first, "a").task_id


def test_is_not_under_another_key(lab: Laboratory) -> None:
    """Also where long keys begin alike."""
    assert value(lab, CACHED) != value(lab, CACHED, k="b")
    assert value(lab, CACHED, k="x" * 300 + "1") != value(lab, CACHED, k="x" * 300 + "2")


def test_is_for_so_many_seconds(lab: Laboratory) -> None:
    """And not for one more; taking it over makes it no younger."""
    first = value(lab, CACHED)
    lab.runtime.clock.advance(seconds=99)
    assert value(lab, CACHED) == first
    lab.runtime.clock.advance(seconds=1)
    second = value(lab, CACHED)
    assert second != first
    assert value(lab, CACHED) == second


def test_is_not_that_of_a_step_that_was_changed(lab: Laboratory) -> None:
    """Nor that of another pipeline, or another step."""
    first = value(lab, CACHED)
    changed = CACHED.replace('value: "${run.run_id}"', 'value: "${run.run_id} "')
    assert str(value(lab, changed)).strip() != first
    assert value(lab, CACHED.replace("cached", "other")) != first
    assert value(lab, CACHED) == first


def test_is_not_kept_of_a_failure(lab: Laboratory) -> None:
    """The next run has its own try."""
    run = lab.run(CACHED, fail=True)
    assert lab.state(run) == "failed"
    lab.run(CACHED)
    assert lab.executions()["a"] == 2


def test_key_may_be_another_step_s_output(lab: Laboratory) -> None:
    """As known when the step is looked at."""
    text = """
pipeline_id: chained
parameters: {k: {type: string}}
tasks:
  - {task_id: k, processor: lab.work, configuration: {value: {n: "${parameters.k}"}}}
  - {task_id: a, processor: lab.work, cache: {key: "${outputs.k.value}"}, configuration: {value: "${run.run_id}"}}
  - {task_id: z, processor: lab.work, configuration: {value: "${outputs.a.value}"}}
"""
    assert value(lab, text, k="1") == value(lab, text, k="1")
    assert value(lab, text, k="1") != value(lab, text, k="2")


def test_file_that_is_gone_is_made_again(lab: Laboratory) -> None:
    """A path to nothing helps nobody."""
    text = """
pipeline_id: files
tasks:
  - {task_id: a, processor: lab.work, cache: {key: k}, configuration: {value: 1}}
  - {task_id: f, processor: file.write, cache: {key: k}, input_sources: [r], configuration: {path: "DEST"}}
  - {task_id: r, processor: file.read, cache: {key: k}, configuration: {path: "in.csv"}}
"""
    Path("in.csv").write_text("a,b\n1,2\n")
    text = text.replace("DEST", str(Path("out.csv").absolute()))
    first, second = lab.run(text), lab.run(text)
    assert lab.state(first) == lab.state(second) == "succeeded"
    assert lab.step(second, "r").adopted_from == lab.step(first, "r").task_id
    Path(str(lab.step(first, "r").output)).unlink()
    third = lab.run(text)
    assert lab.state(third) == "succeeded"
    assert lab.step(third, "r").adopted_from is None
    assert lab.step(third, "a").adopted_from is not None


def test_of_each_element_is_its_own(lab: Laboratory) -> None:
    """Also where its author's key does not tell them apart."""
    text = """
pipeline_id: elements
parameters: {xs: {type: array}}
tasks:
  - {task_id: m, processor: lab.work, cache: {key: v1}, map: {over: "${parameters.xs}"}, configuration: {value: "of ${item}"}}
  - {task_id: z, processor: lab.work, configuration: {value: "${outputs.m.value}"}}
"""
    assert value(lab, text, xs=[1, 2]) == ["of 1", "of 2"]
    assert value(lab, text, xs=[3, 2, 1]) == ["of 3", "of 2", "of 1"]
    assert lab.executions() == {"m[0]": 2, "m[1]": 1, "z": 2}


def test_of_no_value_is_an_output_too(lab: Laboratory) -> None:
    """Null is kept as well."""
    text = CACHED.replace('value: "${run.run_id}", ', "")
    assert value(lab, text) is value(lab, text) is None
    assert lab.executions() == {"a": 1, "z": 2}


def test_goes_with_the_run_that_made_it(lab: Laboratory) -> None:
    """When that is removed, as it is old; so do its signals."""
    text = CACHED.replace(", ttl: 100", "")
    run = lab.trigger(text)
    lab.pipelines.signal(run, "go")
    lab.drain()
    lab.runtime.clock.advance(days=1)
    assert value(lab, text) == run
    database = lab.runtime.database
    assert PipelineLedger(database, now=lab.runtime.clock.sql).prune(3600, 1000)
    assert value(lab, text) != run
    with database.autocommit() as connection:
        assert not connection.execute(select(signals)).all()


def test_ends_a_step_before_limits_do(lab: Laboratory) -> None:
    """What is not run needs no room."""
    text = CACHED.replace("lab.work, cache", "lab.work, concurrency_key: k, cache", 1)
    lab.run(text)
    holder = lab.trigger(text, k="other")
    assert lab.states(holder)["a"] == "queued"
    assert lab.states(lab.trigger(text))["a"] == "succeeded"
