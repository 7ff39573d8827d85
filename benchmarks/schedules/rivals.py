"""The rivals: Celery's own scheduler, celery-redbeat and sqlalchemy-celery-beat."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from celery.schedules import crontab

from benchmarks.schedules import raw_beat
from benchmarks.schedules.load import Entry
from benchmarks.schedules.side import Side
from benchmarks.servers import Servers
from datamcp.infra.redis import client_url

_CHOSEN = {"beat_max_loop_interval": 5}
"""Seconds between two looks at what has changed, for those that look."""


class _Rival(Side):
    """A beat of Celery's, with a scheduler of somebody's."""

    scheduler: ClassVar[str]
    chosen: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, servers: Servers, folder: Path) -> None:
        """Take empty servers and an empty folder."""
        super().__init__(servers, folder)
        self._places = {"broker_url": servers.broker_url, **self._own()}
        self.app = raw_beat.make_app({**self.chosen, **self._places})

    def _own(self) -> Mapping[str, str]:
        """Return the settings that say where schedules are kept."""
        return {}

    @property
    def settings(self) -> Mapping[str, Any]:
        """Return the app's settings, and the scheduler."""
        return {**raw_beat.SETTINGS, **self.chosen, "scheduler": self.scheduler}

    def keep(self, entries: Sequence[Entry]) -> None:
        """Keep schedules, and write down the settings for the beat."""
        kept = {**self.chosen, **self._places, "times": self._static(entries)}
        (self.folder / raw_beat.FILE).write_text(json.dumps(kept), encoding="utf-8")
        self._keep(entries)

    def _static(self, entries: Sequence[Entry]) -> Mapping[str, tuple[int, int]]:  # noqa: ARG002  most have none
        """Return what stands in the app's `beat_schedule`."""
        return {}

    def _keep(self, entries: Sequence[Entry]) -> None:
        """Keep schedules elsewhere."""

    def ready(self) -> int:
        """Return how many messages are in the queue."""
        with self.app.connection_or_acquire() as connection, connection.channel() as channel:
            queue = self.app.amqp.queues[raw_beat.QUEUE].bind(channel)
            return int(queue.queue_declare().message_count)

    def close(self) -> None:
        """Close connections."""
        self.app.close()

    def _app(self) -> Sequence[str]:
        return ("-A", raw_beat.__name__)

    def _options(self) -> Sequence[str]:
        return ("--scheduler", self.scheduler)


class CeleryBeat(_Rival):
    """Celery's PersistentScheduler: schedules stand in the app's configuration."""

    name = "celery beat"
    scheduler = "celery.beat:PersistentScheduler"
    seen_within = "a restart"

    def _static(self, entries: Sequence[Entry]) -> Mapping[str, tuple[int, int]]:
        return {entry.name: (entry.minute, entry.hour) for entry in entries}

    def _options(self) -> Sequence[str]:
        return (*super()._options(), "--schedule", str(self.folder / "celerybeat-schedule"))


class RedBeat(_Rival):
    """celery-redbeat: schedules in Redis."""

    name = "celery-redbeat"
    needs = ("celery-redbeat", "redbeat")
    scheduler = "redbeat.RedBeatScheduler"
    seen_within = "5 s"
    chosen = _CHOSEN

    def _own(self) -> Mapping[str, str]:
        return {"redbeat_redis_url": str(client_url(self.servers.broker_url))}

    def _keep(self, entries: Sequence[Entry]) -> None:
        from redbeat import RedBeatSchedulerEntry

        for number, entry in enumerate(entries):
            times = crontab(minute=entry.minute, hour=entry.hour, app=self.app)
            RedBeatSchedulerEntry(
                entry.name, raw_beat.TASK, times, args=(number,), app=self.app
            ).save()


class SqlalchemyBeat(_Rival):
    """sqlalchemy-celery-beat: schedules in PostgreSQL."""

    name = "sqlalchemy-celery-beat"
    needs = ("sqlalchemy-celery-beat", "sqlalchemy_celery_beat")
    scheduler = "sqlalchemy_celery_beat.schedulers:DatabaseScheduler"
    seen_within = "5 s"
    chosen = _CHOSEN

    def _own(self) -> Mapping[str, str]:
        return {"beat_dburi": self.servers.postgresql_url}

    def _keep(self, entries: Sequence[Entry]) -> None:
        from sqlalchemy import insert, select
        from sqlalchemy_celery_beat import models, session

        manager = session.SessionManager()
        engine, make_session = manager.create_session(self.servers.postgresql_url)
        manager.prepare_models(engine)
        times = sorted({(entry.minute, entry.hour) for entry in entries})
        with make_session() as connection:
            rows = [{"minute": str(minute), "hour": str(hour)} for minute, hour in times]
            connection.execute(insert(models.CrontabSchedule), rows)
            kept = connection.scalars(select(models.CrontabSchedule)).all()
            ids = {(int(one.minute), int(one.hour)): one.id for one in kept}
            tasks = [
                {
                    "name": entry.name,
                    "task": raw_beat.TASK,
                    "args": json.dumps([number]),
                    "discriminator": "crontabschedule",
                    "schedule_id": ids[entry.minute, entry.hour],
                }
                for number, entry in enumerate(entries)
            ]
            connection.execute(insert(models.PeriodicTask), tasks)
            connection.commit()
        engine.dispose()


RIVALS: Sequence[type[Side]] = (CeleryBeat, RedBeat, SqlalchemyBeat)
