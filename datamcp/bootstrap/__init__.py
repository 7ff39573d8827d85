"""The composition root: configuration in, one frozen Runtime out. Only this names adapters.

`types` puts all task types together. `surroundings` is what a runtime finds outside of itself.
`assembly` makes its parts, and `runtime` holds them together. `apps` makes Celery apps of it: for
`celery -A datamcp`, and for the worker of one agent type; `presence` makes them report that they
are there, `upkeep` has workers keep their leases and make their rounds, `beat` has beats do so.
`apart` and `errand` reach a remote artifact store for a worker's main process, which does not.
`schedules` chooses where schedules are kept, `declared` finds those that are written down.
"""
