"""What a worker sends once a step has ended, beside what the canvas brings."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from datamcp.pipelines.compiled import Compiled, RunInfo
from datamcp.pipelines.definition import PipelineDefinition
from datamcp.pipelines.plan import Unit
from datamcp.pipelines.run import Runs
from datamcp.tasks.ledger import Hint
from datamcp.tasks.ports import FollowUp, Released
from datamcp.telemetry import Telemetry

DIAMOND = {"b1": ["a"], "b2": ["a"], "z": ["b1", "b2"], "end": ["z"]}


@dataclass
class Sent:
    """Notes what is sent."""

    hints: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)

    def send_unit(self, _run: RunInfo, unit: Unit) -> None:
        """Note the first steps of a canvas."""
        self.heads += unit.heads

    def send_hints(self, hints: Sequence[Hint]) -> None:
        """Note single messages."""
        self.hints += [hint.task_id for hint in hints]


@dataclass(frozen=True)
class Memory:
    """Knows which steps were tried again, or sent by themselves."""

    again: Collection[str]

    def any_apart(self, _run_id: str, step_ids: Collection[str]) -> bool:
        """Tell whether one of them was."""
        return not set(self.again).isdisjoint(step_ids)


@dataclass(frozen=True)
class OneRun:
    """Knows one run."""

    compiled: Compiled

    def run(self, run_id: str) -> RunInfo:
        """Return it."""
        return RunInfo(run_id, json.dumps({}), "", self.compiled)


def sent(released: str, *, again: Collection[str], is_carried: bool) -> Sent:
    """Return what is sent when a step of a diamond has been released."""
    steps = [{"task_id": name, "processor": "x.y"} for name in ("a", *DIAMOND)]
    definition = PipelineDefinition.model_validate(
        {"pipeline_id": "p", "tasks": steps, "dependencies": DIAMOND}
    )
    note, compiled = Sent(), Compiled(definition, 1, chords=True)
    parts: dict[str, Any] = {
        "ledger": Memory(again),
        "catalogue": OneRun(compiled),
        "types": None,
        "sender": note,
        "memory": None,
        "crowd": None,
    }
    runs = Runs(**cast("Any", parts), telemetry=Telemetry())
    step = Released(released, Hint(released, "x.y", "x", 5, step_id=released))
    runs.carry_on(FollowUp({"r": [step]}), is_carried=is_carried)
    return note


@pytest.mark.parametrize("again", [("b1",), ("b2",), ("a",), ("b1", "b2")])
def test_a_body_is_sent_where_a_step_before_it_left_the_canvas(again: tuple[str, ...]) -> None:
    """The chord has not counted that one, whoever comes last."""
    assert sent("z", again=again, is_carried=True).hints == ["z"]


def test_what_the_canvas_brings_is_not_sent_again() -> None:
    """The body of a chord that was counted, and the next step of a row."""
    assert sent("z", again=(), is_carried=True).hints == []
    assert sent("end", again=("b1",), is_carried=True).hints == []


def test_what_left_the_canvas_sends_what_follows() -> None:
    """Its message carried nothing."""
    for step in ("z", "end"):
        assert sent(step, again=(), is_carried=False).hints == [step]
