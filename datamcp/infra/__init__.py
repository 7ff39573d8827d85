"""Plumbing, without a word of our domain.

`database` connects to the ledger, `prepare` lets PostgreSQL plan a statement once, and `direct`
sends it without SQLAlchemy in between, with many values as one (`among`); `callers`
are others' connections to it, `transaction` stays open until it is known how it ends. `instants` are the ledger's clock and its points in time, `migrate`
and `migrations` bring its tables up to date. `redis` makes clients, `celery` has Celery's settings,
`prefork` its pool of processes, `threads` that of threads, `greenlets` that of gevent, and `green` what goes with it; `envelopes`
reads what comes out of queues, and `receipts` keeps account of it.
`processes` starts and ends child processes, each on a `leash`; `identity` tells a process from
another that has its id later; `forks` lets threads and forks get on, and `composure` statements and signals. `durability` finds settings of servers
under which they forget. `embedded` are servers that run
as such children.
"""
