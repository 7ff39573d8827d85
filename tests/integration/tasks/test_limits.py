"""Limits hold across workers."""

import os
import signal
from datetime import timedelta

import pytest
from support.eventually import eventually
from support.workers import SOON, Installation, words_in

from datamcp import Task
from datamcp.tasks.limit import NAP
from datamcp.tasks.states import State

pytestmark = pytest.mark.parametrize(
    "installed",
    ["sqlite", "postgresql", pytest.param("rabbitmq", marks=pytest.mark.thorough)],
    indirect=True,
    scope="module",
)
"""Places and rates are kept in the ledger, which `contract` tests on each database."""


def test_one_at_a_time_for_each_account(installed: Installation) -> None:
    """Two workers with two slots each run two accounts beside each other, and each in turn."""
    other = installed.start_worker("lab")
    path, gate = installed.file(), installed.gate()
    tasks = installed.runtime.tasks
    accounts = [account for _ in range(4) for account in ("a", "b")]
    ids = [
        tasks.enqueue(
            Task(
                task_type="lab.book",
                parameters={"account": account, "path": str(path), "gate": str(gate)},
            )
        )
        for account in accounts
    ]
    eventually(lambda: {"+a", "+b"} <= set(words_in(path)), timeout=SOON)
    eventually(
        lambda: sum(tasks.status(one).blocked_on is not None for one in ids) == 6, timeout=SOON
    )
    assert sorted(words_in(path)) == ["+a", "+b"]
    assert {tasks.status(one).blocked_on for one in ids} == {
        None,
        'lab.book account="a"',
        'lab.book account="b"',
    }
    # A slot is free for others.
    assert installed.run("lab.echo", value=1).success
    gate.open()
    assert all(tasks.result(one, timeout=SOON).success for one in ids)
    for account in ("a", "b"):
        noted = [word for word in words_in(path) if word[1:] == account]
        assert noted == [f"+{account}", f"-{account}"] * 4
    assert other.stop(SOON).code == 0


def test_the_place_of_a_dead_process_is_given_away(installed: Installation) -> None:
    """A child that is killed leaves its place to its task, and then to the next one."""
    path, gate = installed.file(), installed.gate()
    tasks = installed.runtime.tasks
    parameters = {"account": "c", "path": str(path)}
    first = tasks.enqueue(Task(task_type="lab.book", parameters={**parameters, "gate": str(gate)}))
    gate.await_arrival()
    second = tasks.enqueue(Task(task_type="lab.book", parameters=parameters))
    eventually(lambda: tasks.status(second).blocked_on is not None, timeout=SOON)
    os.kill(int(path.with_suffix(".pid").read_text()), signal.SIGKILL)
    gate.open()
    assert tasks.result(first, timeout=SOON).success
    assert tasks.result(second, timeout=SOON).success
    assert words_in(path) == ["+c", "+c", "-c", "+c", "-c"]


def test_a_cancelled_task_gives_its_place_up(installed: Installation) -> None:
    """The next one starts; and one that is cancelled while it waits takes none."""
    path, gate = installed.file(), installed.gate()
    tasks = installed.runtime.tasks
    parameters = {"account": "d", "path": str(path), "gate": str(gate)}
    first, second, third = (
        tasks.enqueue(Task(task_type="lab.book", parameters=parameters)) for _ in range(3)
    )
    eventually(
        lambda: (
            sorted(tasks.status(one).state for one in (first, second, third)).count(State.QUEUED)
            == 2
            and gate.is_reached
        ),
        timeout=SOON,
    )
    running = next(
        one for one in (first, second, third) if tasks.status(one).state is State.RUNNING
    )
    waiting = [one for one in (first, second, third) if one != running]
    assert tasks.cancel(waiting[0])
    assert tasks.cancel(running)
    gate.open()
    assert tasks.result(running, timeout=SOON).state is State.CANCELLED
    assert tasks.result(waiting[0], timeout=SOON).state is State.CANCELLED
    assert tasks.result(waiting[1], timeout=SOON).success


def test_starts_are_spaced_by_a_rate(installed: Installation) -> None:
    """As many as there are, and none before its turn."""
    tasks = installed.runtime.tasks
    ids = [tasks.enqueue(Task(task_type="lab.tick")) for _ in range(12)]
    assert all(tasks.result(one, timeout=SOON).success for one in ids)
    started = sorted(tasks.status(one).started_at for one in ids)
    least = timedelta(seconds=11 * 0.2 - NAP)
    assert started[-1] - started[0] >= least
