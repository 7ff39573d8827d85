"""The rival: raw Celery in the best plain set-up that we know."""

import gc
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from celery.result import AsyncResult

from benchmarks import raw_app
from benchmarks.canvas import canvas_of, extras_of, last_of
from benchmarks.rival import PATIENCE, Host, Layers, Ledger, Pool
from benchmarks.servers import Servers
from benchmarks.tally import WrongResultError
from datamcp.config.text import child_environment

PREFETCHES = (1, 4, 64)
"""From which a calibration chooses."""

_AT_ONCE = 1000  # results asked for at once


class RawHost(Host):
    """A plain Celery worker."""

    def __init__(self, folder: Path, servers: Servers) -> None:
        """Take an empty folder and the servers."""
        super().__init__("raw", folder)
        self._servers = servers
        self.prefetch = PREFETCHES[0]

    @property
    def reserve(self) -> int:
        """Return what Celery prefetches: so many messages for each slot."""
        return self.prefetch * self.slots

    def await_reserve(self) -> None:
        """Wait until no message is left in the queue."""
        with raw_app.app.connection_or_acquire() as connection, connection.channel() as channel:
            queue = raw_app.app.amqp.queues[raw_app.QUEUE].bind(channel)
            self.until(
                lambda: not queue.queue_declare().message_count,
                "the worker fetches its reserve",
            )

    def _arguments(self, pool: Pool, slots: int) -> list[str]:
        urls = ["-b", self._servers.broker_url, "--result-backend", self._servers.results_url]
        sizes = ["--pool", pool, "--concurrency", str(slots)]
        prefetch = ["--prefetch-multiplier", str(self.prefetch)]
        return ["-A", raw_app.__name__, *urls, "worker", *sizes, *prefetch, *raw_app.OPTIONS]

    def _environment(self, pool: Pool, slots: int) -> Mapping[str, str]:  # noqa: ARG002  the same for all
        return child_environment({})


class RawCelery:
    """Sends work to it."""

    name = "raw"
    ledger: Ledger | None = None
    scenarios: frozenset[str] | None = None
    _options: ClassVar[dict[str, Any]] = {}

    def __init__(self, host: RawHost, servers: Servers) -> None:
        """Take the worker and the servers."""
        self.host = host
        self._app = raw_app.app
        self._app.conf.update(broker_url=servers.broker_url, result_backend=servers.results_url)
        self._redis = servers.redis()

    @property
    def settings(self) -> Mapping[str, Any]:
        """Return the app's settings, and the worker's options."""
        options = f"{' '.join(raw_app.OPTIONS)} --prefetch-multiplier {self.host.prefetch}"
        return {**raw_app.SETTINGS, **self._options, "worker": options}

    def enqueue(self, numbers: Sequence[int]) -> Sequence[Any]:
        """Call `apply_async` for each."""
        send, options = raw_app.noop.apply_async, self._options
        return [send(kwargs={"number": number}, **options) for number in numbers]

    def enqueue_many(self, numbers: Sequence[int]) -> Sequence[Any]:
        """Call `apply_async` for each, with one producer for all: Celery has no bulk call."""
        send, options = raw_app.noop.apply_async, self._options
        with self._app.producer_or_acquire() as producer:
            return [
                send(kwargs={"number": number}, producer=producer, **options) for number in numbers
            ]

    def enqueue_tiny(self, numbers: Sequence[int]) -> Sequence[Any]:
        """Send no-ops: to Celery, a task is a message."""
        return self.enqueue_many(numbers)

    def hold(self, numbers: Sequence[int], gate: Path) -> Sequence[Any]:
        """Send tasks that end when the gate is there."""
        send, at = raw_app.hold.apply_async, str(gate)
        return [send(kwargs={"number": number, "gate": at}) for number in numbers]

    def ids(self, handles: Sequence[Any]) -> list[str]:
        """Return the ids of results; Celery ends their subscriptions as they are let go."""
        return [handle.id for handle in handles]

    def is_settled(self, ids: Sequence[str]) -> bool:
        """Tell whether all results are there."""
        return self._redis.exists(*self._keys(ids)) == len(ids)

    def results(self, ids: Sequence[str]) -> list[Any] | None:
        """Take the results out of Redis."""
        keys = self._keys(ids)
        kept = [
            text
            for start in range(0, len(keys), _AT_ONCE)
            for text in self._redis.mget(keys[start : start + _AT_ONCE])
        ]
        answers = [json.loads(text) if text else {} for text in kept]
        wrong = [answer for answer in answers if answer.get("status") != "SUCCESS"]
        if wrong:
            raise WrongResultError(f"raw: {len(wrong)} results are not there, such as {wrong[0]}")
        self._redis.delete(*keys)
        return [answer["result"] for answer in answers]

    def _keys(self, ids: Sequence[str]) -> list[str]:
        return [self._app.backend.get_key_for_task(task_id).decode() for task_id in ids]

    def call(self, number: int) -> Any:
        """Call `apply_async`, then `get`."""
        sent: AsyncResult = raw_app.noop.apply_async(kwargs={"number": number})
        return sent.get(timeout=PATIENCE)

    def prepare(self, layers: Layers) -> Callable[[], None]:
        """Make a chain of tasks and groups."""
        canvas = canvas_of(self._app, lambda number: raw_app.noop.si(number=number), layers)

        def run() -> None:
            # With `propagate`, `get` would ask for the state of every task before the last one,
            # each time that it hears of any.
            found = canvas.apply_async().get(timeout=PATIENCE, propagate=False)
            if found != last_of(layers):
                raise WrongResultError(f"raw: the canvas resulted in {str(found)[:200]}")

        return run

    def extras(self, layers: Layers) -> int:
        """Return how many tasks stand after groups."""
        return extras_of(layers)

    def close(self) -> None:
        """Close connections."""
        gc.collect()  # results unsubscribe as they go, for which Redis must be there
        self._redis.close()
        self._app.close()


class RawIgnored(RawCelery):
    """The same, where nobody wants the results: the shortest call that Celery has."""

    name = "raw, no result"
    scenarios = frozenset({"enqueue", "enqueue-many"})
    _options: ClassVar[dict[str, Any]] = {"ignore_result": True}

    def is_settled(self, ids: Sequence[str]) -> bool:  # noqa: ARG002  none is kept
        """Return True: there is nothing to wait for."""
        return True

    def results(self, ids: Sequence[str]) -> list[Any] | None:  # noqa: ARG002  none is kept
        """Return None."""
        return None
