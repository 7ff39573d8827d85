"""When a step is looked at, and what its rule then says: the whole table."""

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Any, get_args

import pytest

from datamcp.pipelines.definition import PipelineDefinition, TaskDefinition, TriggerRule
from datamcp.pipelines.gate import SLOTLESS, Gate, Verdict, gate_of, judge, rule_of
from datamcp.tasks.states import State

S, F, K, U = State.SUCCEEDED, State.FAILED, State.SKIPPED, State.UPSTREAM_FAILED
GO, WAIT, SKIP, FAIL = Verdict.GO, Verdict.WAIT, Verdict.SKIP, Verdict.FAIL
RULES: Sequence[TriggerRule] = get_args(TriggerRule)


@pytest.mark.parametrize(
    ("ended", "verdicts"),
    [
        # all_success, all_done, one_success, one_failed, none_failed
        ((), (GO, GO, GO, SKIP, GO)),
        ((S,), (GO, GO, GO, SKIP, GO)),
        ((F,), (FAIL, GO, FAIL, GO, FAIL)),
        ((U,), (FAIL, GO, FAIL, GO, FAIL)),
        ((K,), (SKIP, GO, SKIP, SKIP, GO)),
        ((S, S), (GO, GO, GO, SKIP, GO)),
        ((S, F), (FAIL, GO, GO, GO, FAIL)),
        ((S, K), (SKIP, GO, GO, SKIP, GO)),
        ((F, K), (FAIL, GO, FAIL, GO, FAIL)),
        ((S, F, K), (FAIL, GO, GO, GO, FAIL)),
        ((State.TIMED_OUT,), (FAIL, GO, FAIL, GO, FAIL)),
        ((State.CANCELLED, S), (FAIL, GO, GO, GO, FAIL)),
    ],
)
def test_rules_once_all_have_ended(ended: Sequence[State], verdicts: Sequence[Verdict]) -> None:
    """In whichever order they did."""
    names = ("all_success", "all_done", "one_success", "one_failed", "none_failed")
    for rule, verdict in zip(names, verdicts, strict=True):
        assert judge(rule, ended, 0) is verdict  # type: ignore[arg-type]
        assert judge(rule, ended[::-1], 0) is verdict  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", RULES)
def test_rules_before_all_have_ended(rule: TriggerRule) -> None:
    """One that may be early goes once it can be told, and none of them gives up before the last."""
    for count in range(4):
        for ended in combinations_with_replacement([S, F, K, U], count):
            early = {"one_success": S in ended, "one_failed": F in ended or U in ended}
            expected = GO if early.get(rule) else WAIT
            assert judge(rule, ended, 1) is expected
            if expected is GO:
                assert judge(rule, ended, 0) is GO


def step(**fields: Any) -> TaskDefinition:
    """Return a step."""
    return TaskDefinition(**{"task_id": "s", "processor": "lab.work", **fields})


@pytest.mark.parametrize(
    ("fields", "gate"),
    [
        ({}, Gate.OPEN),
        ({"retry_policy": {"continue_on_error": True}, "timeout": 3}, Gate.OPEN),
        ({"when": "1 == 1"}, Gate.LAST),
        ({"map": {"over": "${parameters.xs}"}}, Gate.LAST),
        ({"cache": {"key": "k"}}, Gate.LAST),
        ({"concurrency_key": "k"}, Gate.LAST),
        ({"trigger_rule": "all_done"}, Gate.LAST),
        ({"trigger_rule": "none_failed"}, Gate.LAST),
        ({"trigger_rule": "one_success"}, Gate.EACH),
        ({"trigger_rule": "one_failed", "when": "1 == 1"}, Gate.EACH),
        *[({"processor": one}, Gate.LAST) for one in sorted(SLOTLESS)],
    ],
)
def test_gates(fields: dict[str, Any], gate: Gate) -> None:
    """What more than success decides about stands behind one."""
    one = step(**fields)
    assert gate_of(PipelineDefinition(pipeline_id="p", tasks=[one]), one) is gate


def test_all_steps_stand_behind_one_where_they_are_limited() -> None:
    """Each has to be let in."""
    one = step()
    definition = PipelineDefinition(pipeline_id="p", tasks=[one], limits={"steps": 2})
    assert gate_of(definition, one) is Gate.LAST


def test_the_last_steps_run_however_the_others_ended() -> None:
    """Unless they name another rule."""
    one, last, picky = step(), step(task_id="l"), step(task_id="f", trigger_rule="one_failed")
    definition = PipelineDefinition(pipeline_id="p", tasks=[one], finally_=[last, picky])
    assert [rule_of(definition, each) for each in definition.steps] == [
        "all_success",
        "all_done",
        "one_failed",
    ]
