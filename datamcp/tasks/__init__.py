"""The task engine: from a caller's task to its result, with the ledger as the truth.

In the order in which a task meets them:

`task` is what callers hand in and get back; `states`, `retry`, `outcome`, `queues` and
`parameters` are its rules, as pure functions; `arguments` are the parameters of Celery tasks, and
`call` reads what a plain Celery call asks for. `tables`, `statements` and `ledger` are its row and
everything that is written to it. `ports` says what the engine needs of others, `context` what a
running capability sees.

`enqueue` checks, inserts and publishes. `publish` sends hints to the broker, `celery_app` does the
same for plain Celery calls; its `control` takes them back, its `result` tells their ends. `request`
is a message in a worker's main process, `worker` in the process that runs it: it hands it to
`claim`, which asks the ledger whether it may start, and shows the `attempt` to the code around the
user's; `execute` runs what was claimed, on an event loop of `loop` where it is async; `settle` ends
it, and sends `soon` what is made again in a moment. All have `patience` with a database that is
away. `watch` is what Flower is told of a message that came to nothing.

`notify` tells that something has ended, `waiter` hears it; `answer` tells the callers of plain
Celery calls. `reconcile` sends what is due or was lost, and asks `depths` what the broker still
has. `figures` counts what waits, runs and failed. `tasks` is the façade, `rt.tasks`.
"""
