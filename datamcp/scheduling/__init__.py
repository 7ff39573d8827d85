"""Schedules: when things happen by themselves.

When: `cron` knows when expressions fire, in any zone, `sun` when the sun rises, and `when` whatever
else a schedule may say of its times; `timing` is all times of one schedule. What it fires is its
`target`, what it does where not all goes well its `policy`; a `schedule` is all of that together.

Firing: `decide` says what is to be done about a schedule now, and `fire` does it, in turns of a
`store`: `sql_store`, with its `tables`, or `redis_store`. `start` makes tasks. `beat` is what runs
inside `celery -A datamcp beat`.

`schedules` makes and changes them, `scheduler` is the façade of that, and `entries` are those of
Celery's own `beat_schedule`.
"""
