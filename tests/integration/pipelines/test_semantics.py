"""Random pipelines against a model of what is to become of each step."""

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.lab import Laboratory, laboratory

from datamcp.pipelines.definition import PipelineDefinition, TaskDefinition
from datamcp.tasks.retry import RetryPolicy

RULES = ["all_success"] * 4 + ["all_done", "one_success", "one_failed", "none_failed"]
ONE_FILE = 10  # pipelines of one test: each test makes a ledger


@dataclass
class Made:
    """A step as it was made up: what it waits for, and what it does once it may."""

    ups: list[str] = field(default_factory=list)
    rule: str = "all_success"
    fails: bool = False
    is_forgiven: bool = False
    when: bool | None = None
    elements: list[bool] | None = None  # of a mapped step: which of them fail
    waits: bool = False  # for a signal that was sent before

    def definition(self, name: str) -> TaskDefinition:
        """Return it as its author would write it."""
        more: dict[str, Any] = {}
        configuration: dict[str, Any] = {"value": name, "fail": self.fails}
        if self.elements is not None:
            more["map"] = {"over": f"${{parameters.{name}}}"}
            configuration["fail"] = "${item}"
        if self.when is not None:
            more["when"] = "1 == 1" if self.when else "1 == 2"
        if self.waits:
            return TaskDefinition(
                task_id=name,
                processor="wait.signal",
                configuration={"name": "go"},
                trigger_rule=self.rule,
                **more,
            )
        return TaskDefinition(
            task_id=name,
            processor="lab.work",
            configuration=configuration,
            trigger_rule=self.rule,
            retry_policy=RetryPolicy(max_attempts=1, continue_on_error=self.is_forgiven),
            **more,
        )


def made_up(chance: random.Random) -> dict[str, Made]:
    """Return steps, upstreams first."""
    steps: dict[str, Made] = {}
    density = chance.choice([0.15, 0.35])
    for index in range(chance.randint(1, 14)):
        kind = chance.random()
        steps[f"s{index}"] = Made(
            ups=[name for name in steps if chance.random() < density],
            rule=chance.choice(RULES),
            fails=chance.random() < 0.25,
            is_forgiven=chance.random() < 0.3,
            when=chance.choice([None, None, None, True, False]),
            elements=[chance.random() < 0.2 for _ in range(chance.randint(0, 3))]
            if kind < 0.15
            else None,
            waits=kind > 0.9,
        )
    return steps


def expected(steps: dict[str, Made]) -> dict[str, str]:
    """Return the state in which each step ends."""
    states: dict[str, str] = {}
    for name, step in steps.items():
        states[name] = end_of(step, [seen(steps[up], states[up]) for up in step.ups])
    return states


def seen(step: Made, state: str) -> str:
    """Return how those that wait for a step see its end."""
    return "succeeded" if state == "failed" and step.is_forgiven and not step.waits else state


def end_of(step: Made, ups: list[str]) -> str:
    """Return how a step ends whose upstreams have ended so."""
    has_failed = "failed" in ups or "upstream_failed" in ups
    goes = {
        "all_success": all(up == "succeeded" for up in ups),
        "all_done": True,
        "one_success": "succeeded" in ups or not ups,
        "one_failed": has_failed,
        "none_failed": not has_failed,
    }[step.rule]
    if not goes:
        return "upstream_failed" if has_failed else "skipped"
    if step.when is False:
        return "skipped"
    if step.waits:
        return "succeeded"
    if step.elements is not None:
        return "failed" if any(step.elements) and not step.is_forgiven else "succeeded"
    return "failed" if step.fails else "succeeded"


def executed(steps: dict[str, Made], states: dict[str, str]) -> dict[str, int]:
    """Return which steps are run, once each."""
    ran: dict[str, int] = {}
    for name, step in steps.items():
        if states[name] not in {"succeeded", "failed"} or step.waits:
            continue
        if step.elements is None:
            ran[name] = 1
        else:
            ran |= {f"{name}[{index}]": 1 for index in range(len(step.elements))}
    return ran


def check(lab: Laboratory, seed: int) -> None:
    """Make a pipeline up, run it, and compare."""
    chance = random.Random(seed)
    steps = made_up(chance)
    last = {f"f{n}": Made(fails=chance.random() < 0.2) for n in range(chance.choice([0, 0, 1, 2]))}
    names = list(steps)
    chance.shuffle(names)
    definition = PipelineDefinition(
        pipeline_id=f"p{seed}",
        parameters={
            name: {"type": "array", "default": step.elements}
            for name, step in steps.items()
            if step.elements is not None
        },
        tasks=[steps[name].definition(name) for name in names],
        finally_=[step.definition(name) for name, step in last.items()],
        dependencies={name: tuple(step.ups) for name, step in steps.items() if step.ups},
        limits={"steps": chance.choice([None, None, 1, 2])},
    )
    lab.pipelines.register_pipeline(definition)
    run = lab.pipelines.trigger_pipeline(definition.pipeline_id)
    lab.pipelines.signal(run, "go") if not lab.status(run).is_final else None
    lab.drain()
    wanted = {
        **expected(steps),
        **{n: "failed" if f.fails else "succeeded" for n, f in last.items()},
    }
    found = {name: state for name, state in lab.states(run).items() if "[" not in name}
    assert found == wanted, f"seed {seed}: {steps}"
    everything = {**steps, **last}
    has_failed = any(
        state == "upstream_failed" or seen(everything[name], state) == "failed"
        for name, state in wanted.items()
    )
    assert lab.state(run) == ("failed" if has_failed else "succeeded"), f"seed {seed}"
    assert lab.executions(run) == executed(everything, wanted), f"seed {seed}"
    rows = {row.step_id: row for row in lab.rows(run)}
    for name, step in steps.items():
        if step.rule not in {"one_success", "one_failed"} and rows[name].started_at is not None:
            assert all(rows[up].finished_at <= rows[name].started_at for up in step.ups)


@pytest.mark.parametrize("first", range(0, 150, ONE_FILE))
def test_every_step_ends_as_its_rules_say(lab: Laboratory, first: int) -> None:
    """Each runs once, or never, and the run ends as it should."""
    for seed in range(first, first + ONE_FILE):
        check(lab, seed)


def test_on_postgresql_too(
    tmp_path: Path, postgresql_url: str, pytestconfig: pytest.Config
) -> None:
    """With fewer pipelines, unless the run is a thorough one."""
    with laboratory(tmp_path, postgresql_url) as lab:
        for seed in range(1000, 1200 if pytestconfig.option.thorough else 1015):
            check(lab, seed)


def test_many_more(lab: Laboratory, pytestconfig: pytest.Config) -> None:
    """In a thorough run."""
    if not pytestconfig.option.thorough:
        pytest.skip("takes --thorough")
    for seed in range(2000, 3000):
        check(lab, seed)
