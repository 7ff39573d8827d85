"""How soon a beat sends what is due at once, and what it takes while nothing is.

`python -m benchmarks.schedules`. In the order data flows:

* `load`: the schedules that each side has. Pure.
* `side`: what every side is: schedules that it keeps, a beat, and a queue.
* `raw_beat`: the Celery app of the rivals; their beats import it.
* `rivals`: Celery's own scheduler, celery-redbeat and sqlalchemy-celery-beat.
* `ours`: datamcp, with schedules in PostgreSQL, in SQLite and in Redis.
* `contest`: one side after the other, each with servers of its own.
* `outcome`: what a run found, in and out of JSON.
* `report`: tables for a terminal and for the page `docs/reference/benchmarks-schedules.md`.
"""
