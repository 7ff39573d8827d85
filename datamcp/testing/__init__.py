"""For tests: run tasks in the test itself, move the clock by hand, ask what was enqueued.

`fixtures` is the pytest plug-in: `pytest_plugins = ["datamcp.testing.fixtures"]`. Everything else
works without pytest.

Without any server: a `clock` is moved by hand, for the program and its ledger. A `runtime` has a
Celery `app` that sends to a `mailbox`. `inline` is the worker that takes messages from there, in
the `sequence` in which they fall due; `drain` lets it work, and so does `waiting` for a result;
also `beside` an event loop.
What attempts raise is `watched`, and `errors` are what else can go wrong. `capability` calls one
capability by itself.

With servers: `workers` are real ones in the background, `settings` are those of their
installation, `ledgers` makes databases. `pytest_celery` is the plug-in that lets pytest-celery's
fixtures use processes of this machine: as `containers`, and as its `nodes`.

For both: `enqueued` asserts what waits, `using` leads plain Celery calls to one runtime.
"""

from datamcp.testing.capability import CapabilityRun, Situation, run_capability
from datamcp.testing.clock import FakeClock
from datamcp.testing.drain import drain
from datamcp.testing.enqueued import (
    EnqueuedTask,
    all_enqueued,
    assert_enqueued,
    refute_enqueued,
)
from datamcp.testing.errors import DrainLimitError, NobodyRunsItError
from datamcp.testing.runtime import InlineRuntime, inline_runtime
from datamcp.testing.settings import Broker
from datamcp.testing.using import using
from datamcp.testing.workers import Worker, Workers

__all__ = [
    "Broker",
    "CapabilityRun",
    "DrainLimitError",
    "EnqueuedTask",
    "FakeClock",
    "InlineRuntime",
    "NobodyRunsItError",
    "Situation",
    "Worker",
    "Workers",
    "all_enqueued",
    "assert_enqueued",
    "drain",
    "inline_runtime",
    "refute_enqueued",
    "run_capability",
    "using",
]
