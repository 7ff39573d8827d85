"""The Celery app of the rivals: `celery -A benchmarks.schedules.raw_beat beat`.

What differs between them is in a file of the folder in which the beat is started.
"""

import json
from pathlib import Path
from typing import Any

from celery import Celery
from celery.schedules import crontab

FILE = Path("beat.json")
"""Settings, and `times`: for each name of a schedule, its minute and its hour."""
QUEUE = "raw"
TASK = "raw.noop"

SETTINGS: dict[str, Any] = {
    "task_serializer": "json",
    "task_ignore_result": True,
    "task_send_sent_event": False,
    "task_default_queue": QUEUE,
}


def make_app(settings: dict[str, Any]) -> Celery:
    """Return an app with these settings."""
    app = Celery("benchmarks", set_as_current=False)
    app.conf.update({**SETTINGS, **settings})
    return app


def _kept() -> dict[str, Any]:
    if not FILE.exists():
        return {}
    settings: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    times = settings.pop("times", {})
    settings["beat_schedule"] = {
        name: {"task": TASK, "schedule": crontab(minute=minute, hour=hour), "args": (number,)}
        for number, (name, (minute, hour)) in enumerate(times.items())
    }
    return settings


app = make_app(_kept())
