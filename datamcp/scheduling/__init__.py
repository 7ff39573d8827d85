"""Schedules: for now `beat` alone, what runs inside `celery -A datamcp beat`."""
