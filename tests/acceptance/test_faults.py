import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

import psutil
import pytest
from support.eventually import eventually
from support.flights_month import assert_equal_to_oracle
from support.flights_oracle import FlightsOracle, read
from support.shell import START, Shell, ended
from support.steps import read_parquet

from datamcp.storage.roots import PACKAGE_ROOT

DATA = PACKAGE_ROOT / "data"
LIMIT = 150  # seconds in which a demo ends on a busy machine, whatever is killed


def process(name: str, *, child: bool = False) -> Callable[[psutil.Process], psutil.Process | None]:
    """Return how to find one process of a demo: by a word of its command, or as that one's child."""

    def find(demo: psutil.Process) -> psutil.Process | None:
        for one in demo.children():
            with suppress(psutil.NoSuchProcess):  # a zombie, too
                if name in " ".join(one.cmdline()) and "leash" not in " ".join(one.cmdline()):
                    return next(iter(one.children()), None) if child else one
        return None

    return find


KINDS = {
    "pipelines": process("--agent pipelines"),
    "a child of pipelines": process("--agent pipelines", child=True),
    "research": process("--agent research"),
    "the child of research": process("--agent research", child=True),
    "beat": process("celery -A datamcp beat"),
    "the broker": process("valkey-server"),
}


@pytest.mark.parametrize(
    "kinds",
    [
        ("a child of pipelines", "research"),
        pytest.param(("pipelines", "the child of research"), marks=pytest.mark.thorough),
        pytest.param(("beat", "the broker"), marks=pytest.mark.thorough),
    ],
    ids=" and ".join,
)
def test_whatever_is_killed_the_demo_ends(user: Shell, kinds: tuple[str, ...]) -> None:
    """It ends in time: with the right numbers, or with a line that names the run and its steps.

    The moments follow from the seed that pytest-randomly prints.
    """
    demo = user.start("datamcp", "demo", "flights", "--json")
    with ended(demo):
        assert demo.stderr is not None
        eventually(lambda: demo.stderr.readline().startswith("run "), timeout=START)
        for kind in kinds:
            kill(demo, KINDS[kind], after=random.uniform(0, 1.5))
        stdout, stderr = demo.communicate(timeout=LIMIT)
    assert user.left() == []
    (run,) = user.run("datamcp", "pipeline", "runs", "--json").json
    if demo.returncode == 0:
        steps = user.run("datamcp", "pipeline", "status", run["run_id"], "--json").json["tasks"]
        oracle = FlightsOracle(read(DATA / "flights_2013_01.csv.gz"), DATA)
        assert_equal_to_oracle(lambda step: read_parquet(steps[step]["output"]), oracle)
        assert run["state"] == "succeeded"
        assert stdout
    else:
        assert demo.returncode == 1
        assert f"Error: run {run['run_id']} " in stderr
        assert "step" in stderr.splitlines()[-1]
        assert run["state"] in {"failed", "cancelled"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_nothing_survives_a_demo_that_is_killed(user: Shell) -> None:
    """Linux ends its processes with it, and its folder is free for the next."""
    demo = user.start("datamcp", "demo")
    with ended(demo), demo:
        assert demo.stdout is not None
        eventually(lambda: demo.stdout.readline().startswith("run "), timeout=START)
        demo.kill()
    assert user.left() == []
    (broker,) = [
        one for one in user.run("datamcp", "check", "--json").json if one["name"] == "broker"
    ]
    assert "none is configured" in broker["message"]


def kill(
    demo: "subprocess.Popen[str]",
    find: Callable[[psutil.Process], psutil.Process | None],
    *,
    after: float,
) -> None:
    """Kill a process of a demo with -9, so many seconds from now, if both are still there."""
    try:
        demo.wait(after)
    except subprocess.TimeoutExpired:
        found = find(psutil.Process(demo.pid))
        if found is not None:
            found.kill()
