"""What can be seen of tasks that do not end: their rows, their messages, and who should run them.

A run that is stuck is seldom seen twice, so everything that might tell why is told at once.
"""

import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from threading import Event
from typing import Any

import psutil
import redis

from chaos.crew import Crew, Post
from chaos.stage import PREFIX, Stage
from chaos.traces import Traces
from datamcp.bootstrap.runtime import Runtime
from datamcp.errors import BackendUnavailable
from datamcp.tasks.publish import broker_errors

_MANY = 30  # rows, or messages, that are shown
_ANSWER = 3.0  # seconds that workers have to tell of themselves
_LINES = 40  # lines of each log
_STACK = signal.SIGUSR1
"""At this signal, a worker's main process writes the stacks of all its threads into its log."""


def remains(traces: Traces, stage: Stage, crew: Crew, runtime: Runtime) -> Iterator[str]:
    """Yield all that is known of tasks that have not ended, line by line; what can't be asked, too."""
    for title, lines in (
        ("rows", lambda: _rows(traces)),
        ("turns", traces.turns),
        ("processes", traces.processes),
        ("depths", lambda: _depths(runtime)),
        ("broker keys", lambda: _keys(stage)),
        ("workers", lambda: _workers(runtime)),
        ("system", lambda: _system(crew)),
        ("logs", lambda: _logs(crew)),
    ):
        yield f"--- {title}"
        try:
            yield from lines()
        except (BackendUnavailable, redis.RedisError, psutil.Error) as error:
            yield f"could not be asked: {error!r}"


def _rows(traces: Traces) -> Iterator[str]:
    rows = traces.open_rows()
    yield f"{len(rows)} have not ended"
    for row in rows[:_MANY]:
        yield _told(row)
        yield from (f"    {_told(move)}" for move in traces.moves_of(row["task_id"]))


def _depths(runtime: Runtime) -> Iterator[str]:
    for queue in runtime.types.queues():
        yield f"{queue}: {runtime.depths.ready(queue)} ready"


def _keys(stage: Stage) -> Iterator[str]:
    """Yield how much is in each list and hash of a Redis, and which messages lie in the lists."""
    client = stage.redis()
    if client is None:
        return
    with client:
        for key in sorted(client.scan_iter(f"{PREFIX}*", count=1000)):
            kind = client.type(key)
            if kind == b"list":
                yield f"{key!r}: {client.llen(key)} messages"
                found: Any = client.lrange(key, 0, _MANY)
                yield from (f"    {each[:400]!r}" for each in found)
            elif kind == b"hash":
                yield f"{key!r}: {client.hlen(key)} fields"
            elif kind == b"zset":
                yield f"{key!r}: {client.zrange(key, 0, _MANY, withscores=True)}"


def _workers(runtime: Runtime) -> Iterator[str]:
    """Yield what workers say that they have, and how they are."""
    asked = runtime.app.control.inspect(timeout=_ANSWER)
    with broker_errors(runtime.app):
        for what in ("reserved", "active", "stats"):
            answers = getattr(asked, what)() or {}
            if not answers:
                yield f"{what}: nobody answers"
            for name, answer in sorted(answers.items()):
                yield f"{what} of {name}: {_short(answer)}"


def _short(answer: Any) -> str:
    if isinstance(answer, dict):
        kept = ("pid", "uptime", "prefetch_count", "pool", "total", "broker")
        return str({name: answer[name] for name in kept if name in answer})
    return str([(one.get("id"), one.get("name"), one.get("time_start")) for one in answer])


def _system(crew: Crew) -> Iterator[str]:
    for post in crew.posts:
        for pid in (crew.pid(post), *crew.children(post)):
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                fields = process.as_dict(["pid", "ppid", "status", "num_threads", "cpu_times"])
                yield f"{post.name}: {fields}"


def _logs(crew: Crew) -> Iterator[str]:
    """Yield the end of each log as it was, and the stacks that workers add to it when asked."""
    before = crew.logs()
    for post in crew.posts:
        yield f"- {post.name}, the last lines:"
        yield from _last(before.get(post.name, ""))
    for post in _with_stacks(crew):
        crew.signal(post, _STACK, group=False)
    Event().wait(_ANSWER)
    after = crew.logs()
    for post in _with_stacks(crew):
        yield f"- {post.name}, since then:"
        yield from after.get(post.name, "")[len(before.get(post.name, "")) :].splitlines()


def _with_stacks(crew: Crew) -> Sequence[Post]:
    return [post for post in crew.living() if crew.is_ready(post)]


def _last(text: str) -> Sequence[str]:
    return [line[:400] for line in text.splitlines()[-_LINES:]]


def _told(row: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in dict(row).items() if value is not None)
