"""Steps that are repeated for each element of a list."""

import pytest
from support.lab import Laboratory

MAPPED = """
pipeline_id: mapped
parameters: {xs: {type: array, default: [1, 2, 3]}}
tasks:
  - {task_id: m, processor: lab.work, map: {over: "${parameters.xs}"}, configuration: {value: "v${item}"}}
  - {task_id: z, processor: lab.work, configuration: {value: "${outputs.m.value}"}}
"""


class TestElements:
    def test_come_from_parameters(self, labs: Laboratory) -> None:
        """One step each, and a list of what they left."""
        run = labs.run(MAPPED)
        assert labs.state(run) == "succeeded"
        assert labs.outputs(run)["z"] == ["v1", "v2", "v3"]
        assert list(labs.states(run)) == ["m", "m[0]", "m[1]", "m[2]", "z"]
        assert labs.executions(run) == {"m[0]": 1, "m[1]": 1, "m[2]": 1, "z": 1}

    def test_may_be_none(self, lab: Laboratory) -> None:
        """An empty list in, an empty list out."""
        run = lab.run(MAPPED, xs=[])
        assert lab.state(run) == "succeeded"
        assert lab.outputs(run)["z"] == []

    def test_come_from_other_steps_and_have_parts(self, lab: Laboratory) -> None:
        """`${item.key}` is a part of an element, with its type."""
        run = lab.run(
            """
pipeline_id: parts
tasks:
  - {task_id: a, processor: lab.work, configuration: {value: [{k: {n: 1}, s: x}, {k: {n: [2]}, s: y}]}}
  - task_id: m
    processor: lab.work
    map: {over: "${outputs.a.value}", as: row}
    configuration: {value: {whole: "${row}", part: "${row.k.n}", text: "is ${row.s}"}}
"""
        )
        assert lab.outputs(run)["m"] == [
            {"whole": {"k": {"n": 1}, "s": "x"}, "part": 1, "text": "is x"},
            {"whole": {"k": {"n": [2]}, "s": "y"}, "part": [2], "text": "is y"},
        ]

    def test_must_be_a_list(self, lab: Laboratory) -> None:
        """What is none fails the step, and says so."""
        run = lab.run(
            """
pipeline_id: none
tasks:
  - {task_id: a, processor: lab.work, configuration: {value: {no: list}}}
  - {task_id: m, processor: lab.work, map: {over: "${outputs.a.value}"}}
  - {task_id: z, processor: lab.work, configuration: {value: "${outputs.m.value}"}}
"""
        )
        assert lab.states(run) == {"a": "succeeded", "m": "failed", "z": "upstream_failed"}
        assert lab.step(run, "m").error_message == "map.over must be a list, got dict"

    def test_a_part_that_is_not_there_fails_that_element(self, lab: Laboratory) -> None:
        """The others run, and the message names it."""
        run = lab.run(MAPPED.replace("v${item}", "${item.k}"), xs=[{"k": 1}, {"j": 2}, {"k": 3}])
        states = lab.states(run)
        assert (states["m[0]"], states["m[1]"], states["m[2]"]) == (
            "succeeded",
            "failed",
            "succeeded",
        )
        assert "1 of 3 did not succeed (m[1])" in str(lab.step(run, "m").error_message)

    def test_hold_what_no_database_takes_as_it_is(self, labs: Laboratory) -> None:
        """NUL among it."""
        run = labs.run(MAPPED, xs=["a\0b", "é", "'; drop table tasks; --"])
        assert labs.outputs(run)["z"] == ["va\0b", "vé", "v'; drop table tasks; --"]


FAILING = """
pipeline_id: failing
tasks:
  - task_id: m
    processor: lab.fail_on
    map: {over: "${parameters.xs}"}
    retry_policy: {max_attempts: 1, continue_on_error: FORGIVE}
    configuration: {value: "${item}", bad: 2}
  - {task_id: z, processor: lab.work, configuration: {value: "${outputs.m.value}"}}
parameters: {xs: {type: array, default: [1, 2, 3]}}
"""


class TestFailures:
    def test_of_one_fails_all(self, lab: Laboratory) -> None:
        """Once all of them have ended."""
        run = lab.run(FAILING.replace("FORGIVE", "false"))
        assert lab.state(run) == "failed"
        assert lab.executions(run) == {"m[0]": 1, "m[1]": 1, "m[2]": 1}
        step = lab.step(run, "m")
        assert (step.state, step.error_code) == ("failed", "map_failed")
        assert step.error_message == "1 of 3 did not succeed (m[1]): no 2, please"
        assert lab.step(run, "z").state == "upstream_failed"
        assert str(lab.status(run).error_message).startswith("step m")

    def test_that_are_forgiven_leave_null(self, labs: Laboratory) -> None:
        """In their place in the list."""
        run = labs.run(FAILING.replace("FORGIVE", "true"))
        assert labs.state(run) == "succeeded"
        assert labs.outputs(run)["z"] == [1, None, 3]

    def test_at_once_of_all(self, lab: Laboratory) -> None:
        """Where none of them can even start."""
        run = lab.run(
            MAPPED.replace("lab.work, map", 'lab.work, concurrency_key: "${item.k}", map', 1)
        )
        assert lab.state(run) == "failed"
        assert lab.executions(run) == {}
        assert lab.step(run, "m").error_code == "map_failed"


@pytest.mark.parametrize("most", [1, 2, 5])
def test_at_no_time_are_more_under_way_than_max_parallel(lab: Laboratory, most: int) -> None:
    """And as many as that, as long as there are."""
    run = lab.trigger(
        MAPPED.replace(
            'over: "${parameters.xs}"', f'over: "${{parameters.xs}}", max_parallel: {most}'
        ),
        xs=[*range(12)],
    )
    seen: list[int] = []
    lab.drain_watched(lambda: seen.append(lab.under_way("m[")))
    assert lab.state(run) == "succeeded"
    assert max(seen) == most
    assert seen[1 : 12 - most] == [most] * (11 - most)


def test_max_parallel_is_kept_where_keys_keep_some_out(lab: Laboratory) -> None:
    """Those whose key is taken leave their place to others."""
    run = lab.trigger(
        """
pipeline_id: both
tasks:
  - task_id: m
    processor: lab.work
    map: {over: "${parameters.xs}", max_parallel: 2}
    concurrency_key: "${item}"
parameters: {xs: {type: array, default: [a, a, a, b]}}
"""
    )
    states = lab.states(run)
    assert [states[f"m[{n}]"] for n in range(4)] == ["queued", "scheduled", "scheduled", "queued"]
    lab.drain()
    assert lab.state(run) == "succeeded"


def test_those_that_fail_to_start_take_no_place_and_give_none(lab: Laboratory) -> None:
    """The place is for the next one that can, and for no more."""
    run = lab.trigger(
        """
pipeline_id: places
tasks:
  - task_id: m
    processor: lab.work
    map: {over: "${parameters.xs}", max_parallel: 1}
    concurrency_key: "${item.k}"
    retry_policy: {max_attempts: 1, continue_on_error: true}
parameters: {xs: {type: array, default: [1, {k: 2}, 3, {k: 4}]}}
"""
    )
    states = lab.states(run)
    assert [states[f"m[{n}]"] for n in range(4)] == ["failed", "queued", "failed", "scheduled"]


@pytest.mark.parametrize("rule", ["one_success", "one_failed"])
def test_an_early_step_waits_for_all_that_it_was_made_to(lab: Laboratory, rule: str) -> None:
    """Also where it is looked at with the end of each."""
    run = lab.run(
        f"""
pipeline_id: early
tasks:
  - {{task_id: bad, processor: lab.work, configuration: {{fail: true}}}}
  - {{task_id: a, processor: lab.work}}
  - {{task_id: w, processor: wait.signal, configuration: {{name: go}}}}
  - {{task_id: m, processor: lab.work, trigger_rule: {rule}, map: {{over: "${{parameters.xs}}"}}, configuration: {{value: "${{item}}"}}}}
dependencies: {{m: [bad, a, w]}}
parameters: {{xs: {{type: array, default: [1, 2, 3]}}}}
"""
    )
    assert lab.step(run, "m").state == "succeeded"
    assert lab.outputs(run)["m"] == [1, 2, 3]
    assert lab.pipelines.signal(run, "go")
    lab.drain()
    assert lab.executions(run) == {"bad": 1, "a": 1, "m[0]": 1, "m[1]": 1, "m[2]": 1}


def test_an_upstream_s_end_between_does_not_end_an_early_one(lab: Laboratory) -> None:
    """It was looked at for another reason."""
    run = lab.trigger(
        """
pipeline_id: between
tasks:
  - {task_id: a, processor: lab.work}
  - {task_id: w, processor: wait.signal, configuration: {name: go}}
  - {task_id: s, processor: wait.signal, trigger_rule: one_success, map: {over: "${parameters.xs}"}, configuration: {name: "${item}"}}
dependencies: {s: [a, w]}
parameters: {xs: {type: array, default: [x, y]}}
"""
    )
    lab.drain()
    assert lab.pipelines.signal(run, "go", 1)
    assert lab.step(run, "s").state == "scheduled"
    assert lab.pipelines.signal(run, "x", 2)
    assert lab.pipelines.signal(run, "y", 3)
    lab.drain()
    assert lab.outputs(run)["s"] == [2, 3]
    assert lab.state(run) == "succeeded"


def test_runs_are_mapped_too_and_max_parallel_is_kept(labs: Laboratory) -> None:
    """A run that a step waits for is under way as well."""
    labs.register(
        """
pipeline_id: child
parameters: {n: {type: integer}}
tasks:
  - {task_id: x, processor: lab.work, configuration: {value: "${parameters.n}"}}
"""
    )
    run = labs.trigger(
        """
pipeline_id: parent
parameters: {ns: {type: array, default: [1, 2, 3, 4, 5]}}
tasks:
  - task_id: m
    processor: pipeline.run
    map: {over: "${parameters.ns}", max_parallel: 2}
    configuration: {pipeline: child, parameters: {n: "${item}"}}
"""
    )
    seen: list[int] = []
    labs.drain_watched(lambda: seen.append(labs.under_way("m[")))
    assert labs.state(run) == "succeeded"
    assert [one["outputs"] for one in labs.outputs(run)["m"]] == [{"x": n} for n in range(1, 6)]
    assert max(seen) == 2
