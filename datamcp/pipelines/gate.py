"""When a step is looked at, and what its trigger rule then says. Pure.

Most steps start with the success of their last upstream; the ledger releases them in the statement
that counts it. The others stand behind a gate: somebody looks at them, and decides.
"""

from collections.abc import Collection
from enum import Enum, IntEnum

from datamcp.pipelines.definition import PipelineDefinition, TaskDefinition, TriggerRule
from datamcp.tasks.states import FAILURES, State

WAITS = frozenset({"wait.until", "wait.file", "wait.signal", "wait.approval"})
"""Processors that wait for something, and hold no slot while they do."""

RUN = "pipeline.run"
"""The processor that runs another pipeline, and holds no slot while it waits for that."""

SLOTLESS = WAITS | {RUN}
"""Processors that no worker runs."""

_EARLY = frozenset({"one_success", "one_failed"})

_BAD = FAILURES | {State.CANCELLED}


class Gate(IntEnum):
    """What a step's row says of when somebody has to look at it."""

    OPEN = 0
    """It starts once all upstreams have succeeded; it is looked at if one has not."""
    LAST = 1
    """It is looked at once all upstreams have ended."""
    EACH = 2
    """It is looked at with the end of each upstream."""


class Verdict(Enum):
    """What a trigger rule says."""

    GO = "go"
    WAIT = "wait"
    SKIP = "skip"
    FAIL = "fail"
    """What it waited for can't come any more, as something before it failed."""


def rule_of(definition: PipelineDefinition, step: TaskDefinition) -> TriggerRule:
    """Return the rule of a step; one of `finally` that names none runs however the others ended."""
    if step.trigger_rule == "all_success" and step in definition.finally_:
        return "all_done"
    return step.trigger_rule


def is_early(step: TaskDefinition) -> bool:
    """Tell whether a step may start before all of its upstreams have ended."""
    return step.trigger_rule in _EARLY


def gate_of(definition: PipelineDefinition, step: TaskDefinition) -> Gate:
    """Return the gate of a step."""
    if is_early(step):
        return Gate.EACH
    asks_more = (
        rule_of(definition, step) != "all_success"
        or step.processor in SLOTLESS
        or definition.limits.steps is not None
        or any(more is not None for more in (step.when, step.map, step.concurrency_key, step.cache))
    )
    return Gate.LAST if asks_more else Gate.OPEN


def judge(rule: TriggerRule, ended: Collection[State], left: int) -> Verdict:
    """Return what a rule says where upstreams have ended so, and so many are left.

    A failure that is forgiven counts as a success, and is given as one.
    """
    is_any_bad = any(state in _BAD for state in ended)
    is_any_good = State.SUCCEEDED in ended
    match rule:
        case "one_success" if is_any_good or (not ended and not left):
            return Verdict.GO
        case "one_failed" if is_any_bad:
            return Verdict.GO
    if left:
        return Verdict.WAIT
    match rule:
        case "all_done":
            return Verdict.GO
        case "none_failed":
            return Verdict.FAIL if is_any_bad else Verdict.GO
        case "all_success" if not is_any_bad and State.SKIPPED not in ended:
            return Verdict.GO
        case "one_failed":
            return Verdict.SKIP
    return Verdict.FAIL if is_any_bad else Verdict.SKIP
