"""Flower with our settings: what it shows, and who may see it.

* `access`: who may look, and who may change something. Pure.
* `events`: what Flower hears of tasks and workers.
* `inspector`: what Flower asks of workers.
* `server`: Flower itself, as `celery -A datamcp flower` starts it.
"""
