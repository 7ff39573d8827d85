"""How fast datamcp is beside raw Celery, on one machine, in one run: `python -m benchmarks`.

In the order data flows:

* `servers`: a broker and databases, embedded unless named.
* `rival`: what every side is: a host, which is its worker, and ways to give it work.
* `tally`: what tasks write, on either side: the proof that each ran exactly once.
* `probes`: the count of SQL statements, and the profile, within a worker.
* `raw_app`, `agent`: the tasks of the rival, and of ours; workers import them.
* `canvas`: layers of tasks as a plain Celery canvas.
* `raw_celery`: the rival, in the best plain set-up that we know.
* `datamcp_stack`: our side, on PostgreSQL and on SQLite.
* `commits`: the cost of one durable commit.
* `meter`: CPU, requests and commits of a stretch of work.
* `profiles`: where the time of a task goes.
* `scenarios`: what is measured, and how it is played. A new scenario is a row here.
* `contest`: calibration, interleaved rounds, counts. A new side is made in its `_enter`.
* `measure`: spreads, ratios, targets. Pure.
* `machine`: the facts that a figure needs beside it.
* `outcome`: what a run found, in and out of JSON.
* `report`: tables for a terminal and for the page `docs/reference/benchmarks.md`.

Pipelines and beats have benchmarks of their own, `pipelines` and `schedules`: `python -m
benchmarks.pipelines`, `python -m benchmarks.schedules`.
"""
