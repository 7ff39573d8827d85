"""`context.transaction()` where many tasks share a process: each has its own, and its own end."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from sqlalchemy import text
from support.eventually import eventually
from support.workers import SOON, Gate, Installation, on_database

from datamcp import Task
from datamcp.tasks.ledger import Death, are_tasks
from datamcp.tasks.states import State

SLOTS = 8
LEASE = 4


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Have an installation with one worker of eight threads, and a table for effects."""
    with _with_effects(request.param, request, tmp_path_factory) as found:
        found.start_worker("lab", "--pool", "threads", "--concurrency", str(SLOTS))
        yield found


@contextmanager
def _with_effects(
    kind: str,
    request: pytest.FixtureRequest,
    folders: pytest.TempPathFactory,
    **settings: str,
) -> Iterator[Installation]:
    """Have an installation with a table for effects, and no worker yet."""
    with on_database(kind, request, folders.mktemp("at-once"), **settings) as found:
        with found.runtime.database.transaction() as connection:
            connection.execute(text("CREATE TABLE effects (number integer)"))
        yield found


def enqueue(installed: Installation, numbers: Sequence[int], **gates: object) -> list[str]:
    """Enqueue tasks that each write a number once they have passed their gates."""
    return [
        installed.runtime.tasks.enqueue(
            Task(
                task_type="lab.enter",
                parameters={"number": number, **{name: str(gate) for name, gate in gates.items()}},
            )
        )
        for number in numbers
    ]


def effects(installed: Installation, numbers: Sequence[int]) -> Counter[int]:
    """Return how often each of some numbers was committed."""
    with installed.runtime.database.autocommit() as connection:
        rows = connection.execute(text("SELECT number FROM effects")).scalars()
        return Counter(number for number in rows if number in numbers)


def all_succeed(installed: Installation, task_ids: Sequence[str]) -> None:
    """Wait until all have ended, and check that they did so well."""
    for task_id in task_ids:
        result = installed.runtime.tasks.result(task_id, timeout=2 * SOON)
        assert (result.state, result.attempt) == (State.SUCCEEDED, 1)


def test_each_effect_is_there_once(installed: Installation) -> None:
    """With all slots at work on transactions of their own."""
    numbers = range(100)
    all_succeed(installed, enqueue(installed, numbers))
    assert effects(installed, numbers) == Counter(numbers)


def test_an_effect_and_its_task_s_end_appear_together(installed: Installation) -> None:
    """Nobody sees the one without the other, however many go on beside it."""
    numbers, tasks = range(1000, 1060), installed.runtime.tasks
    ids = dict(zip(enqueue(installed, numbers), numbers, strict=True))
    seen = text(
        "SELECT task_id, (SELECT count(*) FROM effects WHERE number = :number), state "
        "FROM tasks WHERE task_id = :id"
    )

    def have_ended() -> bool:
        with installed.runtime.database.autocommit() as connection:
            rows = [
                connection.execute(seen, {"id": task_id, "number": number}).one()
                for task_id, number in ids.items()
            ]
        assert all(bool(count) == (state == State.SUCCEEDED) for _, count, state in rows)
        return all(count for _, count, _ in rows)

    eventually(have_ended, timeout=2 * SOON)
    all_succeed(installed, list(ids))
    assert tasks.status(next(iter(ids))).state is State.SUCCEEDED


def test_tasks_that_lost_their_claims_leave_nothing(installed: Installation) -> None:
    """All slots at once: the effect is that of the attempt that has the claim in the end."""
    numbers, gate = range(2000, 2000 + SLOTS), installed.gate()
    ids = enqueue(installed, numbers, before=gate)
    tasks = installed.runtime.tasks
    eventually(
        lambda: all(tasks.status(task_id).state is State.RUNNING for task_id in ids), timeout=SOON
    )
    given_back = installed.runtime.settler.give_back(are_tasks(ids), Death.EXPLAINED)
    assert len(given_back) == SLOTS
    gate.open()
    all_succeed(installed, ids)
    assert effects(installed, numbers) == Counter(numbers)


def test_tasks_that_lose_their_claims_in_the_transaction_leave_nothing(
    installed: Installation,
) -> None:
    """What they have written goes with the end that is no longer theirs."""
    if installed.runtime.database.dialect == "sqlite":
        pytest.skip("nobody can take a claim while another one writes")
    numbers, gate = range(3000, 3000 + SLOTS), installed.gate()
    ids = enqueue(installed, numbers, within=gate)
    gates = [Gate(gate.path.with_name(f"{gate.path.name}-{number}")) for number in numbers]
    for one in gates:
        one.await_arrival()
    installed.runtime.settler.give_back(are_tasks(ids), Death.EXPLAINED)
    assert not effects(installed, numbers)
    for one in gates:
        one.open()
    all_succeed(installed, ids)
    assert effects(installed, numbers) == Counter(numbers)


def test_more_open_transactions_than_connections_cost_no_lease(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whoever holds a transaction open keeps nobody from renewing, claiming and logging."""
    many, settings = 3 * SLOTS, {"scheduler.lease": str(LEASE)}
    with _with_effects("postgresql", request, tmp_path_factory, **settings) as found:
        found.start_worker("lab", "--pool", "threads", "--concurrency", str(many))
        numbers, gate = range(many), found.gate()
        ids = enqueue(found, numbers, within=gate)
        for number in numbers:
            Gate(gate.path.with_name(f"{gate.path.name}-{number}")).await_arrival()
        before = [found.runtime.ledger.get(task_id) for task_id in ids]

        def are_renewed() -> bool:
            after = [found.runtime.ledger.get(task_id) for task_id in ids]
            return all(
                then is not None
                and now is not None
                and now.fence == then.fence
                and (now.lease_until - then.lease_until).total_seconds() > 2 * LEASE
                for then, now in zip(before, after, strict=True)
            )

        eventually(are_renewed, timeout=SOON)
        for number in numbers:
            Gate(gate.path.with_name(f"{gate.path.name}-{number}")).open()
        all_succeed(found, ids)
        assert effects(found, numbers) == Counter(numbers)
