"""The task engine: from a caller's task to its result, with the ledger as the truth.

In the order in which a task meets them:

`task` is what callers hand in and get back; `states`, `retry`, `outcome`, `queues`, `limit` and
`parameters` are its rules, as pure functions; `ask` is what a capability may ask to end with, and
`history` what is told of all that happened; `arguments` are the parameters of Celery tasks, and
`call` reads what a plain Celery call asks for. `tables`, `statements` and `ledger` are its row and
everything that is written to it; `past` are its attempts that another one followed, `dead` its
rows that failed for good, and `retention` removes what has ended long ago; `places` is who may start where a limit holds. `ports` says what the
engine needs of others, `context` what a running capability sees, and `pulse` takes its heartbeats.

`calls` are the tasks that a running one calls and waits for, and `call_ledger` their rows; `nested`
runs one of them in the slot of who waits, `alarm` tells it when its time is up, and `lost` says what
becomes of all of them where their process dies.

`enqueue` checks, inserts and publishes, where there is `room` in the queue. `publish` sends hints
to the broker, `many` of them in few round trips, and `confirm` keeps what RabbitMQ has not confirmed;
`celery_app` does the same for plain Celery calls; its `control` takes them back, its `result` tells their ends. `consumer` takes messages in a
worker's main process, and `intake` sees to it that there are no more of them than slots, and than
`gather` hands to them: of short tasks, as their `pace` shows, some at once. `request` is a message
there, `worker` in the process that runs it, where an `alarm` rings when its time is up: it hands it
to `claim`, which asks the ledger whether it may start, and shows the `attempt` to the code around
the user's; `execute` runs what was claimed, on an event loop of `loop` where it is async; `settle`
ends it, and sends `soon` what is made again in a moment. Those that a slot has got at once are a
`bunch`, which a `patrol` looks after; those of one message a `batch`. All have `patience` with a
database that is away. `watch` is what Flower is told of a message that came to nothing. `slots` shows
what a worker runs, `lease` keeps the claims of that; `watchdog` looks whether a worker has stalled; `logs` keeps
what tasks say, in `log_ledger`.

`wake` sends what has waited for a limit, `ageing` what starves. `notify` tells that something has ended, `waiter` hears
it; `answer` tells the callers of plain Celery calls. `rounds` are made by every worker and beat:
they rescue what dead workers ran, and `reconcile` sends what is due or was lost, and asks `depths`
what the broker still has. `figures` counts what waits, runs and failed. `tasks` is the façade,
`rt.tasks`, and `dead_letters` a part of it.
"""
