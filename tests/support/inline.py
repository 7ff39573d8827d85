"""Agents for tests of the test kit, and a runtime that needs no server to run them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfile
from typing import Any

import datamcp
from datamcp import BaseAgent, Task, TaskResult, capability
from datamcp.config.loader import load
from datamcp.testing import FakeClock, InlineRuntime, inline_runtime, using
from datamcp.testing.settings import settings_of


class Calc(BaseAgent):
    """Reckons, and enqueues more of itself."""

    agent_type = "calc"

    def __init__(self) -> None:
        """Begin with nothing done."""
        self.calls = self.tries = 0

    @capability
    def add(self, a: int, b: int = 0) -> int:
        """Add two numbers."""
        self.calls += 1
        self.context.heartbeat(progress=0.5)
        return a + b

    @capability
    async def add_later(self, a: int, b: int = 0) -> int:
        """Add two numbers on an event loop."""
        await asyncio.sleep(0)
        return a + b

    @capability
    def name(self) -> str | None:
        """Return the step that this is."""
        return self.context.step_id

    @capability
    def total(self, values: list[int]) -> int:
        """Add up numbers."""
        return sum(values)

    @capability
    def divide(self, a: int, b: int) -> float:
        """Divide two numbers."""
        return a / b

    @capability
    def refuse(self) -> None:
        """Raise what Celery can't keep as it is."""
        raise RefusedError("no", code=7)

    @capability
    def count_down(self, n: int) -> int:
        """Enqueue the next lower number."""
        if n:
            Calc.count_down.delay(n - 1)
        return n

    @capability
    def ever(self) -> None:
        """Enqueue itself."""
        Calc.ever.delay()

    @capability
    def ask(self, a: int, b: int) -> Any:
        """Have another task add two numbers, and wait for it."""
        runtime = datamcp.celery.runtime
        task_id = runtime.tasks.enqueue(Task(task_type="calc.add", parameters={"a": a, "b": b}))
        return runtime.tasks.result(task_id).data

    @capability
    async def ask_later(self, a: int, b: int) -> Any:
        """Have another task add two numbers, and wait for it on an event loop."""
        tasks = datamcp.celery.runtime.tasks.aio
        task_id = await tasks.enqueue(Task(task_type="calc.add", parameters={"a": a, "b": b}))
        return (await tasks.result(task_id)).data

    @capability
    def call(self, wanted: str, parameters: dict[str, Any]) -> Any:
        """Call a capability."""
        return self.context.call(wanted, **parameters)

    @capability
    async def call_later(self, wanted: str, many: list[dict[str, Any]]) -> Any:
        """Call a capability many times at once."""
        return await asyncio.gather(*(self.context.acall(wanted, **one) for one in many))

    @capability
    async def call_on_loop(self) -> Any:
        """Call a capability in a way that would hold up the event loop."""
        return self.context.call("calc.add", a=1)

    @capability
    def call_in_transaction(self) -> Any:
        """Call a capability while holding locks."""
        with self.context.transaction():
            return self.context.call("calc.add", a=1)

    @capability
    def dig(self, deep: int) -> int:
        """Call oneself so many times, and return how often that was."""
        return 0 if deep == 0 else 1 + self.context.call("calc.dig", deep=deep - 1)

    @capability(retry_count=1)
    def call_again(self, wanted: str, parameters: dict[str, Any]) -> Any:
        """Call a capability, and fail in the first attempt whatever comes."""
        try:
            return self.context.call(wanted, **parameters)
        finally:
            if self.context.attempt == 1:
                raise ValueError("the first time")

    @capability(retry_count=0)
    def fail_first(self) -> int:
        """Fail in the first attempt of all."""
        self.tries += 1
        if self.tries == 1:
            raise ValueError("the first of all")
        return self.tries

    @capability
    def ask_oneself(self) -> Any:
        """Wait for one's own end."""
        return datamcp.celery.runtime.tasks.result(self.context.task_id).data

    @capability
    def until_cancelled(self) -> int:
        """Beat until someone cancels it; return how often."""
        beats = 0
        while not self.context.cancelled:
            beats += 1
            self.context.heartbeat(progress=beats / 10)
        return beats

    @capability
    def note(self, until: int) -> int:
        """Note one more number, and fail until there are enough of them."""
        notes = [*self.context.last_details.get("notes", []), 0]
        notes[-1] = len(notes)
        self.context.heartbeat(details={"notes": notes})
        if len(notes) < until:
            raise ValueError("not yet")
        return until

    @capability
    def write(self, text: str) -> str:
        """Write a file into the workspace."""
        with self.context.workspace.publish("note.txt") as path:
            path.write_text(text)
        return str(self.context.workspace.path_of("note.txt"))

    @capability
    def read(self, path: str) -> str:
        """Read a file that a parameter names."""
        return self.context.find(path).read_text()

    @capability
    def situation(self) -> dict[str, Any]:
        """Return what the attempt knows of itself."""
        context = self.context
        return {
            "task": context.task.model_dump(include={"task_id", "task_type", "parameters"}),
            "attempt": context.attempt,
            "key": context.idempotency_key,
            "deadline": context.deadline,
            "step": (context.run_id, context.step_id),
            "agent": self.agent_id,
        }

    @capability
    def strange(self) -> object:
        """Return what has no JSON form."""
        return object()


class RefusedError(Exception):
    """An error whose arguments do not make it anew, so that it can't be pickled."""

    def __init__(self, text: str, *, code: int) -> None:
        """Take a text and a number."""
        super().__init__(f"{text} ({code})")
        self.code = code


@contextmanager
def calculating(
    folder: Path, database_url: str, clock: FakeClock | None = None, **settings: str
) -> Iterator[InlineRuntime]:
    """Have a runtime without workers that has the agent `calc`; plain calls reach it."""
    chosen = settings_of(folder, database_url=database_url, agents=[Calc], settings=settings)
    with (
        inline_runtime(load(overrides=chosen).config, clock) as runtime,
        using(runtime),
    ):
        yield runtime


def copied(template: Path, folder: Path) -> str:
    """Return the URL of a copy of a SQLite ledger."""
    folder.mkdir(exist_ok=True)
    copyfile(template, folder / "ledger.db")
    return f"sqlite:///{folder / 'ledger.db'}"


def enqueue(runtime: InlineRuntime, task_type: str, parameters: Any = None, **fields: Any) -> str:
    """Enqueue a task."""
    return runtime.tasks.enqueue(Task(task_type=task_type, parameters=parameters or {}, **fields))


def data(results: list[TaskResult]) -> list[Any]:
    """Return what tasks returned, in order of their ends."""
    return [result.data for result in results]
