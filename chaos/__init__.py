"""A small chaos driver: real processes under load, faults of every kind, and a judgement.

Run by `python -m chaos`, or `make chaos`. In the order of a run:

* `stage`: the servers, what stands between them and their clients, the settings of all processes.
* `proxy`: what stands between: it can stop forwarding, and hang up.
* `traces`: tables of our own in the same database, in which tasks note their effects and triggers
  note each move of a row.
* `agent`: what the tasks do. `producer`: who enqueues them, and cancels some.
* `crew`: workers and beats; who dies is started again.
* `faults`, `wreckage` and `letters`: what is done to processes, to servers, and by messages.
* `run`: the run itself. `verdict`: what has to hold at the end, from the ledger and the effects.
* `remains`: what can be seen of tasks that do not end. `outcome`: the figures. `scenarios`: the runs that have a name and one question each; `beats`
  asks of schedules, `dags` of pipelines.
"""
