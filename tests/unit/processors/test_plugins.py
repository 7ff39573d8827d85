"""Processors of installed packages: found by name, imported when needed, and their faults told."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.distribution import install, run_with

ACME = '''
from typing import ClassVar
from datamcp.processors.processor import (
    ConfigFault, DataProcessor, Output, ProcessingConfig, ProcessingMetrics, ProcessingResult, ValidationResult,
)
from datamcp.processors.table_processor import TableProcessor

class Plain(DataProcessor):
    """Says what it was told."""
    async def process(self, data, config):
        return ProcessingResult(output=Output(value=config.model_dump()), records_out=1)
    def validate_config(self, config):
        return ValidationResult(valid=True)
    async def get_metrics(self):
        return ProcessingMetrics(runs=1)
    async def cleanup(self):
        pass

class ThingConfig(ProcessingConfig):
    """How often."""
    times: int

class Thing(Plain):
    """Says whom it got."""
    config_model: ClassVar = ThingConfig
    def __init__(self, *, clock, integrations):
        self.got = [type(clock).__name__, sorted(integrations)]
    async def process(self, data, config):
        return ProcessingResult(output=Output(value=[config.times, *self.got, data.idempotency_key]))

class Counting(TableProcessor[ThingConfig]):
    """Stands on what the product's have."""
    config_model = ThingConfig
    def run(self, inputs, config):
        return ProcessingResult(output=Output(value=config.times), records_out=config.times)

class Strict(Plain):
    """Wants a `word`, and then gives none of its own."""
    def validate_config(self, config):
        fault = ConfigFault(path="word", message="is required")
        return ValidationResult(valid=hasattr(config, "word"), errors=(fault,))
    async def process(self, data, config):
        return 3

class Half(DataProcessor):
    """Lacks most."""
    async def process(self, data, config): ...

class Picky(Plain):
    """Wants what nobody has."""
    def __init__(self, database): ...

class Odd(Plain):
    """Has a model that is none."""
    config_model = dict

nothing = 3
'''

ENTRIES = {
    "acme.plain": "acme_things:Plain",
    "acme.thing": "acme_things:Thing",
    "acme.counting": "acme_things:Counting",
    "acme.strict": "acme_things:Strict",
    "bad.half": "acme_things:Half",
    "bad.picky": "acme_things:Picky",
    "bad.odd": "acme_things:Odd",
    "bad.nothing": "acme_things:nothing",
    "bad.missing": "acme_things:Missing",
    "bad.module": "acme_nowhere:Thing",
    "file.read": "acme_things:Plain",
    "acme": "acme_things:Plain",
    "Acme.Thing": "acme_things:Plain",
}

PRELUDE = """
import asyncio, json
from datamcp.config.integrations import IntegrationConfig
from datamcp.errors import DatamcpError
from datamcp.processors.processor import Inputs
from datamcp.processors.registry import ProcessorRegistry
from datamcp.storage.artifacts import ArtifactStore
from datamcp.storage.roots import AllowedRoots

registry = ProcessorRegistry(
    roots=AllowedRoots([]), threads=1, memory_limit="512MB",
    integrations={"crm": IntegrationConfig(type="http")},
)
workspace = ArtifactStore("artifacts").workspace("run", "step", 1)

def run(name, **configuration):
    processor = registry.create(name)
    config = registry.config_model(name).model_validate(configuration)
    assert processor.validate_config(config).valid
    result = asyncio.run(processor.process(Inputs({}, workspace, idempotency_key="k"), config))
    metrics = asyncio.run(processor.get_metrics())
    asyncio.run(processor.cleanup())
    return [result.output.value, metrics.runs]

def told(name):
    try:
        registry.create(name)
    except DatamcpError as error:
        return f"{type(error).__name__}: {error}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Have a folder in which a package with processors is installed."""
    install(tmp_path, "acme-things", ENTRIES, ACME)
    return tmp_path


def answer(folder: Path, program: str) -> Any:
    """Return what an expression gives, where the packages are installed."""
    told = run_with(folder, f"{PRELUDE}\nprint(json.dumps({program}))")
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


def test_names_are_listed_without_any_import(folder: Path) -> None:
    """A worker knows them before it forks; names that are no task types are left out."""
    names, loaded = answer(
        folder, "[registry.names(), [n for n in __import__('sys').modules if 'acme' in n]]"
    )
    assert {"acme.plain", "acme.thing", "bad.module", "file.read", "http.get"} <= set(names)
    assert {"acme", "Acme.Thing"}.isdisjoint(names)
    assert loaded == []


def test_a_class_is_made_with_what_it_names(folder: Path) -> None:
    """Without a constructor, with keyword arguments, and on the product's base."""
    assert answer(folder, "run('acme.plain', any=[1], thing='x')") == [
        {"any": [1], "thing": "x"},
        1,
    ]
    assert answer(folder, "run('acme.thing', times=3)") == [[3, "SystemClock", ["crm"], "k"], 1]
    assert answer(folder, "run('acme.counting', times=3)") == [3, 1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bad.half", "acme_things:Half lacks cleanup, get_metrics, validate_config"),
        ("bad.picky", "it cannot be made: "),
        ("bad.odd", "its config_model is no ProcessingConfig"),
        ("bad.nothing", "acme_things:nothing is no DataProcessor"),
        ("bad.missing", "it cannot be imported: AttributeError: "),
        (
            "bad.module",
            "it cannot be imported: ModuleNotFoundError: No module named 'acme_nowhere'",
        ),
    ],
)
def test_what_can_t_be_used_is_told_at_its_use(folder: Path, name: str, message: str) -> None:
    """One line names the processor, its package, and what is wrong."""
    told = answer(folder, f"told({name!r})")
    begin = f"ProcessingError: processor {name!r} of acme-things cannot be used: "
    assert told.startswith(begin + message)
    assert "\n" not in told


def test_a_name_of_ours_stays_ours(folder: Path) -> None:
    """Another `file.read` is not used, and that is told to whoever asks for problems."""
    kind, problems = answer(
        folder,
        "[type(registry.create('file.read')).__module__, [str(p) for p in registry.problems()]]",
    )
    assert kind == "datamcp.processors.file_read"
    assert "file.read: is not used: acme-things gives it the name of one of the product" in problems
    assert any(problem.startswith("Acme.Thing: is not used: ") for problem in problems)
    assert {problem.partition(":")[0] for problem in problems} == {
        *("Acme.Thing", "acme", "file.read"),
        *("bad.half", "bad.missing", "bad.module", "bad.nothing", "bad.odd", "bad.picky"),
    }


def test_two_packages_with_one_name(folder: Path) -> None:
    """Which one is meant cannot be told, so neither is used."""
    install(folder, "other-things", {"acme.plain": "acme_things:Thing"})
    told = answer(folder, "told('acme.plain')")
    assert told == (
        "ProcessingError: processor 'acme.plain' of acme-things, other-things cannot be used: "
        "more than one package has a processor of this name"
    )


RUN = """
import json, sys
from support.inline import calculating, enqueue
from datamcp.infra.migrate import upgrade
from datamcp.testing import drain
from pathlib import Path

url = f"sqlite:///{Path.cwd() / 'ledger.db'}"
upgrade(url)
with calculating(Path.cwd() / "installation", url) as runtime:
    before = [n for n in sys.modules if 'acme' in n]
    kinds = [kind.name for kind in runtime.types.served_by("pipelines")]
    after = [n for n in sys.modules if 'acme' in n]
    enqueue(runtime, "acme.thing", {"times": 2}, idempotency_key="mine")
    (ended,) = drain(runtime)
    enqueue(runtime, "acme.strict", {})
    enqueue(runtime, "acme.strict", {"word": "x"})
    errors = [one.error_message for one in drain(runtime)]
    for name, given in (("acme.thing", {"times": "x", "y": 1}), ("bad.module", {})):
        try:
            enqueue(runtime, name, given)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
print(json.dumps([before, kinds, after, ended.data["output"]["value"], errors]))
"""


def test_a_worker_runs_it(folder: Path) -> None:
    """As a task, with its parameters checked; nothing is imported before it is asked for."""
    told = run_with(folder, RUN)
    assert told.returncode == 0, told.stderr
    before, kinds, after, value, errors = json.loads(told.stdout)
    assert "acme.thing" in kinds
    assert before == after == []
    assert errors[0] == "the configuration cannot be used: word: is required"
    assert errors[1] == "processor 'acme.strict' returned int, and not a ProcessingResult"
    assert value == [2, "SystemClock", [], "mine"]
    assert errors[2].startswith(
        "InvalidParametersError: invalid parameters for acme.thing: times: "
    )
    assert errors[3].startswith("ProcessingError: processor 'bad.module' of acme-things cannot be")


def test_check_lists_what_can_t_be_used(folder: Path) -> None:
    """`datamcp check` has a line for each."""
    told = run_with(folder, "from datamcp.cli.tree import tree; tree()", "check", "--json")
    found = [one["message"] for one in json.loads(told.stdout) if one["name"] == "processors"]
    assert len(found) == 9
    assert any("No module named 'acme_nowhere'" in message for message in found)
