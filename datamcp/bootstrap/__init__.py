"""The composition root: configuration in, one frozen Runtime out. Only this names adapters.

`types` puts all task types together. `runtime` builds the Runtime. `apps` makes Celery apps of it:
for `celery -A datamcp`, and for the worker of one agent type; `presence` makes them report that
they are there.
"""
