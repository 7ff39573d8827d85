"""Plumbing, without a word of our domain.

`database` connects to the ledger, `instants` are its clock and its points in time, `migrate` and
`migrations` bring its tables up to date. `redis` makes clients, `celery` has Celery's settings,
`threads` its pool of threads.
`processes` starts and ends child processes, each on a `leash`; `identity` tells a process from
another that has its id later. `embedded` are servers that run as such children.
"""
