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
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

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

from datamcp.config.text import child_environment
from datamcp.infra.embedded.valkey import EmbeddedValkey
from datamcp.infra.processes import Supervisor
from datamcp.testing.containers import Program, Valkey
from datamcp.testing.nodes import (
    LocalCeleryWorker,
    LocalRedisBackend,
    LocalRedisBroker,
    LocalRedisContainer,
)

__all__ = [
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
