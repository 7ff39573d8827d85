"""Every kind of fault at least once, on real processes, and then the judgement of `chaos`.

`make chaos SEED=… FAULTS=…` makes longer runs of the same.
"""

import random
from pathlib import Path

import pytest

from chaos.crew import Post
from chaos.run import FAULTS, Plan, Run
from chaos.stage import PROCESSES, THREADS, Ledger, set_stage

LEASE = 4  # seconds
CREW = (
    Post("processes-1", PROCESSES, ("--max-tasks-per-child", "25")),
    Post("processes-2", PROCESSES, ("--autoscale", "3,1")),
    Post("threads-1", THREADS),
    Post("beat-1", None),
)


NOT_OF_SQLITE = 4  # kinds that take a server


@pytest.mark.parametrize(("ledger", "tasks"), [("postgresql", 350), ("sqlite", 150)])
def test_whatever_happens_each_task_ends_once(tmp_path: Path, ledger: Ledger, tasks: int) -> None:
    """Nothing is lost, stuck, finished twice or done twice; a cancel holds; nothing is left."""
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")  # noqa: T201  see above
    faults = len(FAULTS) - (NOT_OF_SQLITE if ledger == "sqlite" else 0)
    plan = Plan(seed=seed, tasks=tasks, faults=faults, pace=0.6, posts=CREW)
    with set_stage(tmp_path, ledger=ledger, lease=LEASE) as stage:
        found = Run(plan, stage, print).go()
    assert found.tasks == tasks
    assert {*found.faults_by_kind, *found.skipped} == {fault.name for fault in FAULTS}
    assert found.shown == {}, f"seed {seed}"
    assert found.is_good
