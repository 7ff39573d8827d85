"""Flower with our settings: what it shows, and who may see it.

* `access`: who may look, and who may change something. Pure.
* `events`: what Flower hears of tasks and workers.
* `server`: Flower itself, as `celery -A datamcp flower` starts it.
"""
