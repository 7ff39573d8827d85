"""Schedules. `beat` is the scheduler of `celery -A datamcp beat`."""
