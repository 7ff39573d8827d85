import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from celery import Celery, _state
from celery.exceptions import DuplicateTaskNameWarning

from datamcp.agents.celery_tasks import CeleryTasks
from datamcp.config.agents import AgentConfig
from datamcp.errors import ConfigError, InvalidParametersError
from datamcp.tasks.celery_app import LedgerCelery
from datamcp.tasks.worker import LedgerTask

MODULES = {
    "shop/__init__.py": "",
    "shop/tasks.py": '''
from celery import shared_task
from shop.mail import send          # used here, defined there

@shared_task(soft_time_limit=30, max_retries=4)
def add(x, y=0):
    """Add two numbers."""
    return x + y

@shared_task(name="shop cleanup", max_retries=None)
def cleanup(): ...
''',
    "shop/mail/__init__.py": """
from celery import shared_task

@shared_task
def send(to): ...

from shop.mail import bulk
""",
    "shop/mail/bulk.py": """
from celery import shared_task

@shared_task(typing=False)
def send_all(*to): ...
""",
    "shop/own.py": """
from celery import Celery, Task

app = Celery("shop", set_as_current=False)

@app.task
def double(x): return 2 * x

@app.task(shared=False)
def alone(x): return x

class Halve(Task):
    name = "shop.halve"
    def run(self, x): return x / 2

halve = app.register_task(Halve())
""",
    "shop/empty.py": "number = 3",
    "shop/broken.py": "raise RuntimeError('bad day')",
    "shop/needy.py": "import nowhere_to_be_found",
    "shop/visible.py": "from shop.lib import borrowed",
    "shop/lib.py": """
from celery import shared_task

@shared_task
def borrowed(): ...
""",
    "shop/pickled.py": """
from celery import shared_task

@shared_task(serializer="pickle")
def unsafe(): ...
""",
    "shop/taken.py": """
from celery import shared_task

@shared_task(name="sql.transform")
def clash(): ...
""",
    "shop/one.py": """
from celery import shared_task

@shared_task(name="shop-twin")
def first(): ...
""",
    "shop/other.py": """
from celery import shared_task

@shared_task(name="shop-twin")
def second(): ...
""",
    "shop/callable.py": """
from celery import Task, shared_task

class Tenant(Task):
    def __call__(self, *args, **kwargs):
        kwargs.pop("tenant", None)
        return super().__call__(*args, **kwargs)

@shared_task(base=Tenant)
def greet(name): ...
""",
}


@dataclass(frozen=True)
class Shop:
    """A project, under a package's name of its own."""

    package: str
    app: LedgerCelery

    def tasks(self, **agents: str) -> CeleryTasks:
        """Return the tasks of agent types, each of which has modules between spaces."""
        config: Mapping[str, AgentConfig] = {
            name: AgentConfig(tasks=tuple(f"{self.package}.{one}" for one in modules.split()))
            for name, modules in agents.items()
        }
        return CeleryTasks(config, app=self.app, is_taken=lambda name: name == "sql.transform")

    def name(self, rest: str) -> str:
        """Return the full name of a task."""
        return f"{self.package}.{rest}"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """Have the project, and an app of ours; what they leave at Celery goes with them."""
    package = f"shop_{uuid4().hex[:8]}"
    for name, text in MODULES.items():
        path = tmp_path / name.replace("shop", package)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("shop", package))
    monkeypatch.syspath_prepend(str(tmp_path))
    current, default = _state._tls.current_app, _state.default_app
    known = set(_state._on_app_finalizers)
    app = LedgerCelery("test", set_as_current=False, broker="memory://")
    yield Shop(package, app)
    app.close()
    _state._tls.current_app, _state.default_app = current, default
    _state._on_app_finalizers.intersection_update(known)
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]


def test_finds_what_a_module_defines(shop: Shop) -> None:
    """Under Celery's names, with the limits and the retries of each task."""
    tasks = shop.tasks(legacy="tasks")
    add = tasks.resolve(shop.name("tasks.add"))
    assert add is not None
    assert (add.queue, add.timeout, add.max_attempts) == ("legacy", 30, 5)
    assert (add.description, list(add.parameters.names)) == ("Add two numbers.", ["x", "y"])
    cleanup = tasks.resolve(f"{shop.package} cleanup")
    assert cleanup is not None
    assert (cleanup.timeout, cleanup.max_attempts) == (None, 0)
    assert isinstance(cleanup.celery_task, LedgerTask)


def test_nothing_is_imported_before_it_is_needed(shop: Shop) -> None:
    """And then what the name begins with comes first."""
    tasks = shop.tasks(legacy="broken mail tasks")
    assert not [name for name in sys.modules if name.startswith(shop.package)]
    assert tasks.resolve(shop.name("tasks.add")) is not None
    with pytest.raises(ConfigError, match="bad day"):
        tasks.resolve("unheard of")


def test_a_package_has_the_tasks_of_its_modules(shop: Shop) -> None:
    """Whether it has names for them or not."""
    (send, send_all) = sorted(shop.tasks(mail="mail").served_by("mail"), key=lambda one: one.name)
    assert [send.name, send_all.name] == [shop.name("mail.bulk.send_all"), shop.name("mail.send")]


def test_the_nearest_module_counts(shop: Shop) -> None:
    """Whoever imports a task of another listed module does not have it; of no other, does."""
    tasks = shop.tasks(legacy="tasks visible", mail="mail", bulk="mail.bulk")
    served = {one.name: one.queue for kind in tasks.names() for one in tasks.served_by(kind)}
    assert served == {
        shop.name("tasks.add"): "legacy",
        f"{shop.package} cleanup": "legacy",
        shop.name("lib.borrowed"): "legacy",
        shop.name("mail.send"): "mail",
        shop.name("mail.bulk.send_all"): "bulk",
    }


def test_an_unknown_name_is_none_of_ours(shop: Shop) -> None:
    """After everything has been looked at."""
    tasks = shop.tasks(legacy="tasks")
    assert tasks.resolve("nobody.has.it") is None
    assert shop.name("tasks.add") in tasks.known()


def test_tasks_of_an_app_of_their_own_are_copied_for_clients(shop: Shop) -> None:
    """What they are called through elsewhere stays as it is."""
    tasks = shop.tasks(old="own")
    names = {one.name for one in tasks.served_by("old")}
    assert names == {shop.name("own.double"), shop.name("own.alone"), shop.name("halve")}
    own = sys.modules[shop.name("own")]
    assert own.double.app is own.app
    for kind in tasks.served_by("old"):
        assert isinstance(kind.celery_task, LedgerTask)
        assert kind.celery_task.app is shop.app
        assert kind.celery_task(4) in {8, 4, 2}


def test_in_a_worker_they_are_taken_over(shop: Shop) -> None:
    """So that what they call goes through the ledger, too; the project's app is not current."""
    shop.app.serves = True
    tasks = shop.tasks(old="own")
    own = sys.modules.get(shop.name("own"))
    found = {one.name: one.celery_task for one in tasks.served_by("old")}
    own = sys.modules[shop.name("own")]
    assert found[shop.name("own.double")] is own.double._get_current_object()
    assert found[shop.name("halve")] is own.halve
    assert own.double.app is own.halve.app is shop.app
    assert own.double(4) == 8
    assert isinstance(own.app, Celery)
    assert not isinstance(own.app, LedgerCelery)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("nowhere", "no module named '{}.nowhere' can be imported"),
        ("needy", "no module named 'nowhere_to_be_found' can be imported"),
        ("broken", r"importing {}.broken raised RuntimeError\('bad day'\)"),
        ("empty", "module {}.empty has no Celery tasks"),
        ("pickled", "{}.pickled.unsafe has serializer 'pickle'; tasks are JSON, nothing else"),
        ("taken", "sql.transform is the name of a processor"),
    ],
)
def test_a_module_that_can_not_be_used_is_told(shop: Shop, module: str, message: str) -> None:
    """With the setting that names it."""
    tasks = shop.tasks(legacy=f"tasks {module}")
    expected = rf"^agents\.legacy\.tasks\[1\]: {message.format(shop.package)}"
    for _ in range(2):
        with pytest.raises(ConfigError, match=expected) as refusal:
            tasks.served_by("legacy")
    assert [problem.path for problem in refusal.value.problems] == ["agents.legacy.tasks[1]"]


def test_two_types_can_not_run_two_tasks_of_one_name(shop: Shop) -> None:
    """Celery would warn, and run the first; so it is within one type."""
    tasks = shop.tasks(one="one", other="other")
    tasks.served_by("one")
    with (
        pytest.warns(DuplicateTaskNameWarning),
        pytest.raises(ConfigError, match=r"agents\.other\.tasks\[0\]: .*-twin is both .*first"),
    ):
        tasks.served_by("other")


def test_one_type_may_have_two_of_one_name(shop: Shop) -> None:
    """As Celery says, the first counts."""
    with pytest.warns(DuplicateTaskNameWarning):
        served = shop.tasks(legacy="one other").served_by("legacy")
    assert [one.name for one in served] == [f"{shop.package}-twin"]


def test_calls_are_checked_as_celery_would(shop: Shop) -> None:
    """Not with `typing=False`, and not where the class stands between the call and the function."""
    tasks = shop.tasks(legacy="tasks mail callable")
    add = tasks.resolve(shop.name("tasks.add"))
    send_all = tasks.resolve(shop.name("mail.bulk.send_all"))
    greet = tasks.resolve(shop.name("callable.greet"))
    assert add is not None
    assert send_all is not None
    assert greet is not None
    with pytest.raises(InvalidParametersError, match="z: is not a parameter"):
        add.parameters.dump({"x": 1, "z": 2})
    assert send_all.parameters.dump({"x": 1})
    assert greet.parameters.dump({"name": "a", "tenant": 7})


def test_celery_s_own_tasks_for_many_are_known(shop: Shop) -> None:
    """They may wait in any queue of a type that has tasks."""
    kind = shop.tasks(legacy="tasks").resolve("celery.starmap")
    assert kind is not None
    assert "legacy" in kind.also_on
