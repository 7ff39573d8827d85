"""Flower itself, as `celery -A datamcp flower` starts it.

Flower's command takes its options from its own defaults, then `FLOWER_…` variables, then
`flowerconfig.py`, then the command line, and then makes one application. We set the defaults, and
put our application in the place of Flower's.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flower.command
from flower.app import Flower
from flower.options import options
from tornado.httputil import HTTPServerRequest
from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.web import RequestHandler

from datamcp.config.monitoring import MonitoringConfig
from datamcp.dashboard.access import Door, is_own_request
from datamcp.dashboard.events import SteadyEvents
from datamcp.dashboard.inspector import DiscreetInspector

_MAX_TASKS = 10_000  # kept in memory, of some kB each
_FORGET_AFTER = 600  # seconds after which a worker that has gone is not shown any more
_COLUMNS = "name,uuid,state,kwargs,received,runtime,worker"
_FOLLOW_INTERVAL = 2_000  # milliseconds

Prepare = Callable[[Door], None]


def install(config: MonitoringConfig, *, task_events: bool, prepare: Prepare) -> None:
    """Let Flower's command start with our defaults.

    `prepare` is called once all options are known, before anything is opened.
    """
    for name, value in _defaults(config, task_events).items():
        setattr(options, name, value)
    flower.command.Flower = partial(Dashboard, prepare=prepare)


def _defaults(config: MonitoringConfig, task_events: bool) -> dict[str, Any]:
    logins = config.flower_auth
    return {
        "address": config.flower_address,
        "port": config.flower_port,
        "basic_auth": [] if logins is None else logins.get_secret_value().split(","),
        "read_only": logins is None,
        "enable_events": task_events,
        "max_tasks": _MAX_TASKS,
        "purge_offline_workers": _FORGET_AFTER,
        "tasks_columns": _COLUMNS,
    }


class Dashboard(Flower):  # type: ignore[misc]
    """Flower, which knows each worker soon after its start, and forgets it after its end."""

    def __init__(self, *, prepare: Prepare, options: Any, capp: Any, **settings: Any) -> None:
        """Take what Flower's command gives to it."""
        door = Door(
            address=options.address,
            is_socket=bool(options.unix_socket),
            has_login=bool(options.basic_auth or options.auth),
        )
        prepare(door)
        self._is_open = not door.has_login
        loop = IOLoop.current()
        events = SteadyEvents(
            capp,
            io_loop=loop,
            db=options.db,
            persistent=options.persistent,
            state_save_interval=options.state_save_interval,
            enable_events=options.enable_events,
            max_workers_in_memory=options.max_workers,
            max_tasks_in_memory=options.max_tasks,
        )
        super().__init__(options=options, capp=capp, events=events, io_loop=loop, **settings)
        self.inspector = DiscreetInspector(loop, capp, options.inspect_timeout / 1000)
        self._follower = PeriodicCallback(self._follow_workers, _FOLLOW_INTERVAL)

    def start(self) -> None:
        """Serve until something stops it."""
        self._follower.start()
        super().start()

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        """Refuse, where nobody has to log in, what a page of another site asks."""
        headers = request.headers
        if self._is_open and not is_own_request(request.host, headers.get("Origin")):
            return self.get_handler_delegate(request, Refusal)
        return super().find_handler(request, **kwargs)

    def _follow_workers(self) -> None:
        alive = {name for name, worker in self.events.state.workers.items() if worker.alive}
        known = self.inspector.workers
        for name in known.keys() - alive:
            del known[name]
        if any("stats" not in known.get(name, ()) for name in alive):
            self.update_workers()


class Refusal(RequestHandler):
    """The answer to a page of another site."""

    def prepare(self) -> None:
        """Say why, and end."""
        self.set_status(403)
        self.finish(
            "Only this machine may ask. With monitoring.flower_auth set, others may, too.\n"
        )
