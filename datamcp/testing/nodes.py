"""pytest-celery's containers and nodes, for processes of this machine."""

import socket
from typing import Any

import psutil
from pytest_celery.api.worker import CeleryTestWorker
from pytest_celery.vendors.redis.backend.api import RedisTestBackend
from pytest_celery.vendors.redis.broker.api import RedisTestBroker
from pytest_celery.vendors.redis.container import RedisContainer
from pytest_celery.vendors.worker.container import CeleryWorkerContainer

from datamcp.config.text import to_environ
from datamcp.infra.redis import make_client
from datamcp.testing.containers import Valkey


class LocalRedisContainer(RedisContainer):  # type: ignore[misc]
    """An embedded Valkey in the place of a container with Redis."""

    _container: Valkey

    @property
    def client(self) -> Any:
        """A client of redis-py, whose answers are text."""
        client = make_client(self._container.redis_url)
        client.connection_pool.connection_kwargs["decode_responses"] = True
        return client

    @property
    def url(self) -> str:
        """The URL for Celery."""
        return self._container.broker_url

    @property
    def host_url(self) -> str:
        """The URL for Celery, which is the same from everywhere."""
        return self.url

    @property
    def hostname(self) -> str:
        """The name of this machine for itself."""
        return "localhost"

    @property
    def port(self) -> int:
        """No port: it listens on a socket only."""
        return 0


class _WithDatabases:
    """A node whose URL names its database in another way than that of a port does."""

    def config(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return what Celery needs; `vhost` chooses the database by its number."""
        vhost = kwargs.pop("vhost", None)
        config: dict[str, Any] = super().config(*args, **kwargs)  # type: ignore[misc]
        if vhost is not None:
            config["vhost"] = str(vhost)
            for name in ("url", "host_url"):
                config[name] = f"{config[name].rpartition('=')[0]}={vhost}"
        return config


class LocalRedisBroker(_WithDatabases, RedisTestBroker):  # type: ignore[misc]
    """A broker that is an embedded Valkey."""


class LocalRedisBackend(_WithDatabases, RedisTestBackend):  # type: ignore[misc]
    """A result backend that is an embedded Valkey."""


class LocalCeleryWorker(CeleryTestWorker):  # type: ignore[misc]
    """A worker that is a process of this machine."""

    def hostname(self) -> str:
        """Return the name under which the worker answers."""
        return f"{self.worker_name}@{socket.gethostname()}"

    def get_running_processes_info(
        self, columns: list[str] | None = None, filters: dict[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """Return what is known of the worker's processes, its main one first."""
        main = psutil.Process(self.container._container.pid)  # noqa: SLF001  pytest-celery's own way
        processes = [main, *main.children(recursive=True)]
        found: list[dict[str, Any]] = [process.as_dict(columns) for process in processes]
        wanted = filters or {}
        return [one for one in found if all(one.get(name) == wanted[name] for name in wanted)]


class DatamcpWorkerContainer(CeleryWorkerContainer):  # type: ignore[misc]
    """A worker of datamcp: derive from it and let `worker_queue` name the agent type.

    Its settings are those of the test run's environment, but for the broker.
    """

    @classmethod
    def command(cls, *args: str, **_options: Any) -> list[str]:
        """Return what to run."""
        return ["celery", "-A", "datamcp", "worker", "--agent", cls.worker_queue(), *args]

    @classmethod
    def initial_env(
        cls, celery_worker_cluster_config: dict[str, Any], initial: dict[str, str] | None = None
    ) -> dict[str, str]:
        """Return the variables of the worker: which broker is its own."""
        broker = celery_worker_cluster_config.get("celery_broker_cluster_config")
        settings = {"broker.url": broker["urls"][0]} if broker else {}
        return {**(initial or {}), **to_environ(settings)}

    @classmethod
    def initial_content(cls, *_args: Any, **_modules: Any) -> dict[str, bytes]:
        """Return no files: agents are found where the test run finds them."""
        return {}
