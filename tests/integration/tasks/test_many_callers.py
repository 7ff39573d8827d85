import asyncio
import threading
from collections.abc import Iterator

import pytest
from support.workers import Installation, on_database

from datamcp import Task
from datamcp.tasks.states import State

CALLERS = 1000
PATIENCE = 90.0  # seconds for all of them on a busy machine


@pytest.fixture(scope="module")
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Have an installation with one worker that runs its tasks in threads."""
    with on_database("postgresql", request, tmp_path_factory.mktemp("many")) as found:
        found.start_worker("lab", "--pool", "threads", "--concurrency", "4")
        yield found


def test_a_thousand_callers_on_one_loop(installed: Installation) -> None:
    """They hold no threads, the loop stays free meanwhile, and each gets its own answer."""
    agents = installed.runtime.agents
    beats = most_threads = 0

    async def beat() -> None:
        nonlocal beats, most_threads
        while True:
            beats, most_threads = beats + 1, max(most_threads, threading.active_count())
            await asyncio.sleep(0.01)

    async def call_all() -> list[object]:
        beating = asyncio.create_task(beat())
        calls = [
            agents.distribute_task(Task(task_type="lab.echo", parameters={"value": number}))
            for number in range(CALLERS)
        ]
        results = await asyncio.gather(*calls)
        beating.cancel()
        return [result.data for result in results]

    async def in_time() -> list[object]:
        return await asyncio.wait_for(call_all(), PATIENCE)

    before = threading.active_count()
    assert asyncio.run(in_time()) == list(range(CALLERS))
    workers = installed.runtime.config.scheduler.max_workers
    assert most_threads <= before + workers + 1  # those of the database, and the waiter
    assert beats > 50
    echoed = installed.runtime.tasks.list(
        task_type="lab.echo", state=State.SUCCEEDED, limit=2 * CALLERS
    )
    assert len(echoed) == CALLERS


def test_who_gives_up_leaves_nothing_behind(installed: Installation) -> None:
    """A caller that is cancelled does not disturb the others, and its task goes on."""
    tasks, gate = installed.runtime.tasks, installed.gate()
    held = Task(task_type="lab.hold", parameters={"gate": str(gate), "word": "x"})

    async def give_up() -> str:
        task_id = await tasks.aio.enqueue(held)
        patient = asyncio.create_task(tasks.aio.result(task_id))
        for _ in range(5):
            with pytest.raises(TimeoutError):
                await tasks.aio.result(task_id, timeout=0.01)
        hasty = asyncio.create_task(tasks.aio.result(task_id))
        await asyncio.sleep(0)
        hasty.cancel()
        gate.open()
        return str((await patient).data)

    assert asyncio.run(give_up()) == "x"


def test_a_thread_sees_its_own_task(installed: Installation) -> None:
    """Tasks that run beside each other in one process do not mix up their contexts."""

    async def ask_all() -> None:
        tasks = installed.runtime.tasks.aio
        task_ids = await asyncio.gather(
            *(tasks.enqueue(Task(task_type="lab.whoami")) for _ in range(40))
        )
        results = await asyncio.gather(*(tasks.result(task_id, 30) for task_id in task_ids))
        assert [result.data[0] for result in results] == list(task_ids)

    asyncio.run(ask_all())
