import logging
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from datamcp.agents.registry import AgentTypes
from datamcp.config.agents import AgentConfig
from datamcp.errors import ConfigError, UnknownTaskTypeError
from datamcp.storage.artifacts import ArtifactStore
from datamcp.storage.roots import AllowedRoots
from datamcp.tasks.context import TaskContext
from datamcp.tasks.ports import Call
from datamcp.tasks.retry import RetryPolicy
from datamcp.tasks.task import Task

AGENT = '''
from datamcp import BaseAgent, RetryPolicy, capability

class Bench(BaseAgent):
    agent_type = "bench"
    made = []

    def __init__(self):
        self.made.append(self)

    @capability
    def add(self, a: int, b: int = 0) -> int:
        """Add two numbers."""
        return a + b

    @capability(timeout=3)
    async def who(self) -> str:
        return self.agent_id

class Tried(BaseAgent):
    agent_type = "tried"

    @capability
    def usual(self) -> None: ...

    @capability(retry_count=2)
    def twice(self) -> None: ...

    @capability(retry_policy=RetryPolicy(max_attempts=2, delay=1, strategy="constant"))
    def slowly(self) -> None: ...

class Nameless(BaseAgent):
    @capability
    def nothing(self) -> None:
        """Do nothing."""

class Idle(BaseAgent):
    agent_type = "idle"

class Greedy(BaseAgent):
    agent_type = "greedy"

    @capability
    def take(self, *everything: int) -> None: ...

class Dreamer(BaseAgent):
    agent_type = "dreamer"

    @capability
    def hope(self, for_what: "Nothing") -> None: ...

number = 3
'''


@pytest.fixture(autouse=True)
def _package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have a module `agents_of_test` that can be imported, and one that can't."""
    (tmp_path / "agents_of_test.py").write_text(AGENT)
    (tmp_path / "broken_of_test.py").write_text("raise RuntimeError('bad day')")
    (tmp_path / "needy_of_test.py").write_text("import nowhere_to_be_found")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in [name for name in sys.modules if name.endswith("_of_test")]:
        del sys.modules[name]


def types(**modules: str) -> AgentTypes:
    """Return the registry of these agents, with half a minute for each task."""
    agents = {name: AgentConfig(module=module) for name, module in modules.items()}
    return AgentTypes(agents, default_timeout=30, default_retries=RetryPolicy())


def call(tmp_path: Path, agent_id: str, **parameters: object) -> Call:
    """Return a call of a handler by a worker."""
    context = TaskContext(
        task_id="1",
        idempotency_key="1",
        attempt=1,
        deadline=None,
        agent_id=agent_id,
        logger=logging.LoggerAdapter(logging.getLogger("test"), {}),
        _task=lambda: Task(task_type="bench.add"),
        _workspace=lambda: ArtifactStore(str(tmp_path)).workspace("run", "step", "1"),
        _beat=lambda _progress: False,
        _find=AllowedRoots([tmp_path]).find,
    )
    return Call(parameters, context, {})


def test_finds_what_an_agent_can_do() -> None:
    """A capability has its agent's queue, and the first timeout that anybody names."""
    bench = types(bench="agents_of_test:Bench")
    add, who = bench.served_by("bench")
    assert bench.resolve("bench", "bench.add") == add
    assert (add.name, add.queue, add.timeout) == ("bench.add", "bench", 30)
    assert (who.name, who.timeout) == ("bench.who", 3)
    assert add.description == "Add two numbers."


def test_the_configured_timeout_of_an_agent_beats_the_general_one() -> None:
    """Capability, then agent type, then all agents."""
    agents = {"bench": AgentConfig(module="agents_of_test:Bench", timeout=7)}
    add, who = AgentTypes(agents, default_timeout=30, default_retries=RetryPolicy()).served_by(
        "bench"
    )
    assert (add.timeout, who.timeout) == (7, 3)


def test_retries_are_those_that_are_said_nearest() -> None:
    """Capability, then agent type, then what holds for all; a number leaves the rest as it is."""
    usual = RetryPolicy(max_attempts=4, delay=9)
    for given, attempts in ((None, 4), (0, 1), (6, 7)):
        agents = {"tried": AgentConfig(module="agents_of_test:Tried", retry_attempts=given)}
        found = AgentTypes(agents, default_timeout=30, default_retries=usual).served_by("tried")
        policies = [kind.retry_policy for kind in found]
        assert policies == [
            RetryPolicy(max_attempts=attempts, delay=9),
            RetryPolicy(max_attempts=3, delay=9),
            RetryPolicy(max_attempts=2, delay=1, strategy="constant"),
        ]


def test_imports_nothing_before_it_is_asked() -> None:
    """An agent whose code is broken does not keep the others from working."""
    mixed = types(bench="agents_of_test:Bench", bad="broken_of_test:Bad")
    assert tuple(mixed.names()) == ("bench", "bad")
    assert "bad" in mixed
    assert "broken_of_test" not in sys.modules
    assert mixed.resolve("bench", "bench.add").name == "bench.add"


def test_all_tasks_of_a_process_share_one_instance(tmp_path: Path) -> None:
    """It is made at the first call, once, however many threads there are, and knows its worker."""
    add, who = types(bench="agents_of_test:Bench").served_by("bench")
    barrier = threading.Barrier(4)

    def run(number: int) -> object:
        barrier.wait()
        return add.handler(call(tmp_path, "bench-1@here", a=number, b=1))

    made = sys.modules["agents_of_test"].Bench.made
    assert made == []
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(run, range(4))) == [1, 2, 3, 4]
    assert len(made) == 1
    assert who.handler(call(tmp_path, "bench-1@here")) == "bench-1@here"


def test_a_class_without_a_type_takes_the_one_it_is_configured_under() -> None:
    """Naming the type in the class is a check, not a must."""
    assert types(anything="agents_of_test:Nameless").served_by("anything")[0].name == (
        "anything.nothing"
    )


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("nowhere:Bench", "no module named 'nowhere' can be imported"),
        ("needy_of_test:Bench", "no module named 'nowhere_to_be_found' can be imported"),
        ("agents_of_test:Bensch", "has no 'Bensch'; did you mean 'Bench'?"),
        ("agents_of_test:number", "is not a class derived from datamcp.BaseAgent"),
        ("agents_of_test:capability", "is not a class derived from datamcp.BaseAgent"),
        ("agents_of_test:Idle", "is an agent of type 'idle', not 'bench'"),
        ("broken_of_test:Bench", "importing broken_of_test raised RuntimeError('bad day')"),
    ],
)
def test_refuses_a_class_that_cannot_be_used(module: str, message: str) -> None:
    """One line names the setting and what is wrong with it."""
    with pytest.raises(ConfigError) as caught:
        types(bench=module).resolve("bench", "bench.add")
    assert str(caught.value).startswith("agents.bench.module: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("greedy", "greedy.take: a capability can't take *everything"),
        ("dreamer", "dreamer.hope: an annotation can't be read: name 'Nothing' is not defined"),
    ],
)
def test_refuses_an_agent_with_a_signature_that_json_cannot_fill(name: str, message: str) -> None:
    """The complaint comes when the agent is first needed, and names the capability."""
    with pytest.raises(ConfigError) as caught:
        types(**{name: f"agents_of_test:{name.title()}"}).served_by(name)
    assert str(caught.value) == f"agents.{name}.module: {message}"


@pytest.mark.parametrize(
    ("agent", "name", "hint"),
    [
        ("bench", "bench.ad", "did you mean 'bench.add'?"),
        ("bench", "bench.multiply", "bench has bench.add, bench.who"),
        ("idle", "idle.work", "idle has no capabilities"),
    ],
)
def test_helps_with_a_name_that_an_agent_does_not_have(agent: str, name: str, hint: str) -> None:
    """The nearest name is suggested, or else all are listed."""
    with pytest.raises(UnknownTaskTypeError) as caught:
        types(**{agent: f"agents_of_test:{agent.title()}"}).resolve(agent, name)
    assert str(caught.value) == f"unknown task type {name!r}; {hint}"
