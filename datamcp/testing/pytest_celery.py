"""pytest-celery without Docker: `pytest_plugins = ["datamcp.testing.pytest_celery"]`.

Its brokers, backends and workers become processes of this machine: embedded Valkeys, and Celery
workers. Its API and its fixtures are as ever, and what a project overrides of them still holds:
`default_worker_tasks`, `default_worker_command`, `default_worker_container_cls` and the rest.
Images, ports, networks and volumes mean nothing here. Only Redis is a broker.

What differs from a container: a worker sees the files, the packages and the variables of the test
run, beside those that pytest-celery gives it; and its broker is at a socket, not at a port.
"""

import os
import secrets
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from pytest_celery.api.backend import CeleryTestBackend
from pytest_celery.api.broker import CeleryTestBroker
from pytest_celery.api.worker import CeleryTestWorker
from pytest_celery.fixtures.backend import celery_backend_cluster, celery_backend_cluster_config
from pytest_celery.fixtures.broker import celery_broker_cluster, celery_broker_cluster_config
from pytest_celery.fixtures.setup import (
    celery_setup,
    celery_setup_app,
    celery_setup_cls,
    celery_setup_config,
    celery_setup_name,
)
from pytest_celery.fixtures.worker import (
    celery_worker,
    celery_worker_cluster,
    celery_worker_cluster_config,
)
from pytest_celery.vendors.redis.backend.api import RedisTestBackend
from pytest_celery.vendors.redis.broker.api import RedisTestBroker
from pytest_celery.vendors.redis.container import RedisContainer
from pytest_celery.vendors.worker.container import CeleryWorkerContainer
from pytest_celery.vendors.worker.fixtures import (
    celery_setup_worker,
    default_worker_app,
    default_worker_app_module,
    default_worker_command,
    default_worker_container_cls,
    default_worker_env,
    default_worker_initial_content,
    default_worker_signals,
    default_worker_tasks,
    default_worker_utils_module,
)

from datamcp.config.text import child_environment, to_environ
from datamcp.infra.embedded.valkey import EmbeddedValkey
from datamcp.infra.processes import Supervisor
from datamcp.infra.redis import make_client
from datamcp.testing.containers import Program, Valkey

__all__ = [
    "DatamcpWorkerContainer",
    "LocalCeleryWorker",
    "LocalRedisBackend",
    "LocalRedisBroker",
    "LocalRedisContainer",
    "celery_backend",
    "celery_backend_cluster",
    "celery_backend_cluster_config",
    "celery_broker",
    "celery_broker_cluster",
    "celery_broker_cluster_config",
    "celery_redis_backend",
    "celery_redis_broker",
    "celery_setup",
    "celery_setup_app",
    "celery_setup_cls",
    "celery_setup_config",
    "celery_setup_name",
    "celery_setup_worker",
    "celery_worker",
    "celery_worker_cluster",
    "celery_worker_cluster_config",
    "default_redis_backend",
    "default_redis_backend_cls",
    "default_redis_broker",
    "default_redis_broker_cls",
    "default_worker_app",
    "default_worker_app_module",
    "default_worker_cls",
    "default_worker_command",
    "default_worker_container",
    "default_worker_container_cls",
    "default_worker_env",
    "default_worker_initial_content",
    "default_worker_signals",
    "default_worker_tasks",
    "default_worker_utils_module",
]

_VOLUME = "/app"  # where pytest-celery's containers have their files
_PROGRAMS = {"celery": (sys.executable, "-m", "celery"), "python": (sys.executable,)}


# Nodes: what a test holds in its hand.


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


# Fixtures.


@pytest.fixture
def default_redis_broker_cls() -> type[RedisContainer]:
    """Return the class of the broker's container."""
    return LocalRedisContainer


@pytest.fixture
def default_redis_broker(default_redis_broker_cls: type[RedisContainer]) -> Iterator[Any]:
    """Have a broker of the test's own."""
    with EmbeddedValkey() as server:
        yield default_redis_broker_cls(Valkey("broker", server))


@pytest.fixture
def celery_redis_broker(default_redis_broker: RedisContainer) -> Iterator[CeleryTestBroker]:
    """Have the broker as a node."""
    broker = LocalRedisBroker(default_redis_broker)
    yield broker
    broker.teardown()


@pytest.fixture
def celery_broker(celery_redis_broker: CeleryTestBroker) -> CeleryTestBroker:
    """Return the one kind of broker that there is here."""
    return celery_redis_broker


@pytest.fixture
def default_redis_backend_cls() -> type[RedisContainer]:
    """Return the class of the result backend's container."""
    return LocalRedisContainer


@pytest.fixture
def default_redis_backend(default_redis_backend_cls: type[RedisContainer]) -> Iterator[Any]:
    """Have a result backend of the test's own."""
    with EmbeddedValkey() as server:
        yield default_redis_backend_cls(Valkey("backend", server))


@pytest.fixture
def celery_redis_backend(default_redis_backend: RedisContainer) -> Iterator[CeleryTestBackend]:
    """Have the result backend as a node."""
    backend = LocalRedisBackend(default_redis_backend)
    yield backend
    backend.teardown()


@pytest.fixture
def celery_backend(celery_redis_backend: CeleryTestBackend) -> CeleryTestBackend:
    """Return the one kind of result backend that there is here."""
    return celery_redis_backend


@pytest.fixture
def default_worker_cls() -> type[CeleryTestWorker]:
    """Return the class of workers."""
    return LocalCeleryWorker


@pytest.fixture
def default_worker_container(
    default_worker_container_cls: type[CeleryWorkerContainer],
    default_worker_command: Sequence[str],
    default_worker_env: Mapping[str, str],
    default_worker_initial_content: Mapping[str, bytes],
    tmp_path: Path,
) -> Iterator[CeleryWorkerContainer]:
    """Have a worker that is ready."""
    name = f"worker-{secrets.token_hex(4)}"
    folder = tmp_path / name
    _write(folder, default_worker_initial_content)
    with Supervisor() as supervisor:
        program = Program(
            name,
            _located(default_worker_command),
            folder=folder,
            environment=_environment(folder, default_worker_env),
            supervisor=supervisor,
            sign="ready.",
        )
        program.start()
        container = default_worker_container_cls(program)
        container.ready()  # raises, with what it has logged, if it has ended
        yield container


def _write(folder: Path, content: Mapping[str, bytes]) -> None:
    folder.mkdir()
    for name, text in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)


def _located(command: Sequence[str]) -> list[str]:
    """Return a command that does not depend on the path of the test run."""
    program, *arguments = command
    return [*_PROGRAMS.get(program, (program,)), *arguments]


def _environment(folder: Path, given: Mapping[str, str]) -> dict[str, str]:
    paths = given.get("PYTHONPATH", "").split(os.pathsep)
    own = [str(folder) if path == _VOLUME else path for path in paths if path]
    everywhere = os.pathsep.join([*own, *(path for path in sys.path if path)])
    return {**child_environment({}), **given, "PYTHONPATH": everywhere}
