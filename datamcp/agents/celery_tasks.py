"""Celery tasks as task types: those of the modules that an agent type has in place of a class.

Nothing is imported before a name or a queue is asked for. A task belongs to the listed module that
defines it, or whose package does; what is defined elsewhere, and only imported into a listed
module, belongs to that one.
"""

import importlib
import inspect
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from celery import Task as CeleryTask
from celery import _state
from celery.local import Proxy

from datamcp.config.agents import AgentConfig
from datamcp.errors import ConfigError, Problem
from datamcp.tasks.arguments import Arguments
from datamcp.tasks.celery_app import LEDGERED_BUILT_INS, LedgerCelery
from datamcp.tasks.ports import TaskType
from datamcp.tasks.queues import PIPELINES
from datamcp.tasks.worker import LedgerTask, bound_to_ledger, ledgered

_MAX_NAME = 200  # characters that the ledger keeps
_JSON = frozenset({None, "json", "application/json"})


@dataclass(frozen=True, slots=True)
class Place:
    """A module as the configuration lists it."""

    agent_type: str
    index: int
    module: str

    @property
    def path(self) -> str:
        """The setting that names it."""
        return f"agents.{self.agent_type}.tasks[{self.index}]"

    def holds(self, module: str) -> bool:
        """Tell whether a module is this one, or inside of it."""
        return module == self.module or module.startswith(f"{self.module}.")


class CeleryTasks:
    """Finds the Celery tasks that the configuration lists. Safe to share between threads."""

    def __init__(
        self,
        agents: Mapping[str, AgentConfig],
        *,
        app: LedgerCelery,
        is_taken: Callable[[str], bool],
    ) -> None:
        """Take the section `agents` and the app that tasks are registered with.

        `is_taken` tells whether a processor or a capability has a name already.
        """
        self._agents = {name: config for name, config in agents.items() if config.tasks}
        self._app = app
        self._is_taken = is_taken
        self._places = tuple(
            Place(name, index, module)
            for name, config in self._agents.items()
            for index, module in enumerate(config.tasks)
        )
        self._loaded: set[Place] = set()
        self._types: dict[str, TaskType] = {}
        self._lock = threading.RLock()

    def __contains__(self, agent_type: object) -> bool:
        """Tell whether an agent type has tasks in place of a class."""
        return agent_type in self._agents

    def names(self) -> Sequence[str]:
        """Return the agent types that have tasks."""
        return tuple(self._agents)

    def resolve(self, name: str) -> TaskType | None:
        """Return a task by its full name, after importing what may define it; None if none does.

        Raises ConfigError, with the setting at fault, for a module that can't be used.
        """
        with self._lock:
            if name in LEDGERED_BUILT_INS:
                return self._built_in(name)
            for place in self._likely(name):
                if name in self._types:
                    break
                self._load(place)
            return self._types.get(name)

    def served_by(self, agent_type: str) -> Sequence[TaskType]:
        """Return all tasks of an agent type; raises ConfigError as `resolve` does."""
        with self._lock:
            for place in self._places:
                if place.agent_type == agent_type:
                    self._load(place)
            served = [kind for kind in self._types.values() if kind.queue == agent_type]
            return sorted(served, key=lambda kind: kind.name)

    def known(self) -> Sequence[str]:
        """Return the names of all tasks that are imported already."""
        return tuple(self._types)

    def unlisted(self, name: str) -> str:
        """Return the module of a task that is declared, but in no module that is listed."""
        task = self._app.tasks.get(name)
        return "" if task is None else str(task.__module__)

    def _likely(self, name: str) -> list[Place]:
        """Return all places: those that the name begins with first, the nearest of them first."""
        return sorted(
            self._places, key=lambda place: -len(place.module) if place.holds(name) else 0
        )

    # One module.

    def _load(self, place: Place) -> None:
        if place in self._loaded:
            return
        module = self._import(place)
        self._app.take_shared()
        if self._app.serves:
            self._take_over(place)
        found = {task.name: task for task in self._tasks_of(place, module)}
        if not found and not any(True for _ in self._visible(module)):
            raise _refused(place, f"module {place.module} has no Celery tasks")
        self._refuse_twins(place)
        for name, task in found.items():
            if name not in self._types:
                self._types[name] = self._task_type(place, name, task)
        self._loaded.add(place)

    def _import(self, place: Place) -> Any:
        self._app.finalize()
        before = _state._tls.current_app  # noqa: SLF001  there is no public way to ask
        try:
            module = importlib.import_module(place.module)
        except ModuleNotFoundError as error:
            raise _refused(place, f"no module named {error.name!r} can be imported") from error
        except Exception as error:
            raise _refused(place, f"importing {place.module} raised {error!r}") from error
        finally:
            if self._app.serves:  # what a project makes current is not what its worker runs
                _state._tls.current_app = before  # noqa: SLF001  as above
        return module

    def _tasks_of(self, place: Place, module: Any) -> Iterator[LedgerTask]:
        """Yield the tasks of a module as they are registered with our app."""
        for name, task in list(self._app.tasks.items()):
            if not name.startswith("celery.") and self._owner(task) == place:
                yield task
        for task in self._visible(module):
            if self._owner(task) in {None, place}:
                yield self._registered(task)

    def _visible(self, module: Any) -> Iterator[CeleryTask]:
        """Yield the tasks that a module has names for."""
        before = _state._tls.current_app  # noqa: SLF001  as above
        _state._tls.current_app = self._app  # noqa: SLF001  shared tasks ask for it
        try:
            for value in list(vars(module).values()):
                task = _unwrapped(value) if isinstance(value, Proxy) else value
                if isinstance(task, CeleryTask) and task.name:
                    yield task
        finally:
            _state._tls.current_app = before  # noqa: SLF001  as above

    def _owner(self, task: CeleryTask) -> Place | None:
        """Return the nearest listed module around the one that defines a task."""
        holding = [place for place in self._places if place.holds(task.__module__)]
        return max(holding, key=lambda place: len(place.module), default=None)

    def _registered(self, task: CeleryTask) -> LedgerTask:
        """Return a task of another app as one of ours."""
        found: LedgerTask | None = self._app.tasks.get(task.name)
        if found is None:
            made = ledgered(type(task))()
            made.name = task.name
            found = self._app.register_task(made)
        return found

    def _take_over(self, place: Place) -> None:
        """Bind to our app what modules have bound to an app of their own: it runs here.

        What a module has a name for is what its code calls; other apps may have copies of it.
        """
        for name in [name for name in sys.modules if place.holds(name)]:
            for task in self._visible(sys.modules[name]):
                if self._owner(task) == place and not isinstance(task.app, LedgerCelery):
                    take_over(task, self._app)

    def _refuse_twins(self, place: Place) -> None:
        """Refuse two functions of one name that two agent types would run."""
        for name, (first, second) in self._app.twins.items():
            owners = {self._owner_of(path) for path in (first, second)}
            types = {one.agent_type for one in owners if one is not None}
            if place in owners and len(types) > 1:
                raise _refused(place, f"{name} is both {first} and {second}; rename one of them")

    def _owner_of(self, path: str) -> Place | None:
        holding = [place for place in self._places if place.holds(path.rpartition(".")[0])]
        return max(holding, key=lambda place: len(place.module), default=None)

    def _task_type(self, place: Place, name: str, task: LedgerTask) -> TaskType:
        if self._is_taken(name):
            message = f"{name} is the name of a processor or of an agent's capability, too"
            raise _refused(place, f"{message}; rename the task")
        if len(name) > _MAX_NAME:
            raise _refused(place, f"{name[:40]}… has {len(name)} characters, more than {_MAX_NAME}")
        if task.serializer not in _JSON:
            message = f"{name} has serializer {task.serializer!r}; tasks are JSON, nothing else"
            raise _refused(place, message)
        config = self._agents[place.agent_type]
        retries = task.max_retries
        return TaskType(
            name=name,
            queue=place.agent_type,
            parameters=Arguments(name, task.run, checks=_checks(task)),
            timeout=task.soft_time_limit or task.time_limit or config.timeout,
            description=inspect.cleandoc(task.__doc__ or ""),
            celery_task=task,
            max_attempts=0 if retries is None else int(retries) + 1,
            also_on=config.queues,
        )

    def _built_in(self, name: str) -> TaskType:
        task = self._app.tasks[name]
        queues = [
            queue for kind, config in self._agents.items() for queue in (kind, *config.queues)
        ]
        return TaskType(
            name=name,
            queue=PIPELINES,
            parameters=Arguments(name, task.run, checks=False),
            celery_task=task,
            also_on=queues,
        )


def take_over(task: CeleryTask, app: LedgerCelery) -> None:
    """Make a task of another app one of ours, in place: whoever holds it calls through us now."""
    task.__class__ = ledgered(type(task))
    type(task).bind(app)
    bound_to_ledger(task, app)
    app.tasks[task.name] = task


def _unwrapped(proxy: Any) -> Any:
    try:
        return proxy._get_current_object()  # noqa: SLF001  what the proxy stands for
    except Exception:  # noqa: BLE001  a stranger's proxy, of a task or of anything else
        return None


def _checks(task: CeleryTask) -> bool:
    """Tell whether calls are checked against the function: as Celery would, and if it gets them."""
    own = [one for one in type(task).__mro__ if not issubclass(LedgerTask, one)]
    return bool(task.typing) and not any("__call__" in vars(one) for one in own)


def _refused(place: Place, message: str) -> ConfigError:
    problem = Problem(place.path, message)
    return ConfigError(str(problem), [problem])
