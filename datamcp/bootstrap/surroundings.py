"""What a runtime finds outside of itself: the time, the broker, who is told and who tells.

No setting can choose another clock than the real one: only whoever calls `build` can, as
`datamcp.testing` does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from datamcp.clock import Clock, SystemClock
from datamcp.config.settings import GlobalConfig
from datamcp.infra import instants
from datamcp.infra.redis import client_url
from datamcp.tasks.celery_app import LedgerCelery
from datamcp.tasks.depths import BrokerDepths
from datamcp.tasks.execute import Executor
from datamcp.tasks.ledger import Now
from datamcp.tasks.notify import NullNotifier, PollingListener, RedisListener, RedisNotifier
from datamcp.tasks.reconcile import Depths
from datamcp.tasks.waiter import Listener
from datamcp.telemetry import LogSubscriber, Telemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The outside of one runtime.

    `now` is the ledger's clock, in SQL. Through `app`, which is given its settings later, all
    messages leave; `depths` counts those that wait. `notifier` tells the ends of tasks, and each
    `listener` hears them. `executor_class` is what makes attempts.
    """

    clock: Clock
    now: Now
    telemetry: Telemetry
    app: LedgerCelery
    depths: Depths
    notifier: RedisNotifier | NullNotifier
    listener: Callable[[], Listener]
    executor_class: type[Executor] = Executor


def real_surroundings(config: GlobalConfig) -> Surroundings:
    """Return the machine's clock, the database's own, and the broker that is configured."""
    telemetry = Telemetry(LogSubscriber())
    notifier, listener = _notices(config, telemetry)
    app = LedgerCelery("datamcp", set_as_current=False)
    return Surroundings(
        clock=SystemClock(),
        now=instants.now,
        telemetry=telemetry,
        app=app,
        depths=BrokerDepths(app),
        notifier=notifier,
        listener=listener,
    )


def _notices(
    config: GlobalConfig, telemetry: Telemetry
) -> tuple[RedisNotifier | NullNotifier, Callable[[], RedisListener | PollingListener]]:
    """Return how the end of a task is told, and how it is heard: in a Redis, if there is one."""
    urls = (config.broker.url, config.storage.cache_url)
    url = next(filter(None, (client_url(str(url)) for url in urls if url is not None)), None)
    if url is None:
        return NullNotifier(), PollingListener
    prefix = config.broker.key_prefix
    return RedisNotifier(url, prefix, telemetry), partial(RedisListener, url, prefix)
