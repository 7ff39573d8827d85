import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from support.source import REPOSITORY

from datamcp.pipelines.unsupported import unsupported
from datamcp.processors.registry import ProcessorRegistry
from datamcp.processors.rules import ColumnRules
from datamcp.storage.roots import AllowedRoots

_DOCS = REPOSITORY / "docs"
_PAGES = sorted([*_DOCS.rglob("*.md"), REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md"])


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """Have the program that makes pages."""
    spec = importlib.util.spec_from_file_location("docs_generate", _DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_made_is_in_step_with_the_code(generate: ModuleType) -> None:
    """`python docs/generate.py` was run after the last change of what it looks at."""
    made: dict[Path, str] = generate.pages()
    stale = [
        path.name
        for path, text in made.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    assert stale == []


def test_the_diagrams_have_every_move(generate: ModuleType) -> None:
    """Every move of a table is drawn and explained, and no other."""
    for transitions, moves in (
        (generate.TRANSITIONS, generate.TASK_MOVES),
        (generate.RUN_TRANSITIONS, generate.RUN_MOVES),
    ):
        assert {(a, b) for a, after in transitions.items() for b in after} == set(moves)
        part = generate.states_part(transitions, moves, ())
        assert set(re.findall(r"^    (\w+) --> (\w+)$", part, re.MULTILINE)) == set(moves)


def test_no_option_of_a_processor_is_missing() -> None:
    """The page of processors names every processor and every option."""
    page = (_DOCS / "reference" / "processors.md").read_text(encoding="utf-8")
    registry = ProcessorRegistry(roots=AllowedRoots([]), threads=1, memory_limit="1GiB")
    sections = dict(_sections(page))
    for name in registry.names():
        for option in registry.config_model(name).model_fields:
            assert f"| `{option}` |" in sections[f"`{name}`"]
    assert all(
        f"| `{rule}` |" in sections["Rules of a column"] for rule in ColumnRules.model_fields
    )


_REFUSED: dict[str, dict[str, object]] = {
    "memory.store": {"processor": "memory.store"},
    "memory.retrieve": {"processor": "memory.retrieve"},
}


@pytest.mark.parametrize("feature", _REFUSED)
def test_what_the_guide_calls_refused_is_refused(generate: ModuleType, feature: str) -> None:
    """A feature that is listed as not there leads to a problem, and is named in the list."""
    step = {"task_id": "a", "processor": "file.read", **_REFUSED[feature]}
    whole = {"pipeline_id": "p", "tasks": [step]}
    assert unsupported(generate.PipelineDefinition.model_validate(whole))
    guide = (_DOCS / "how-to" / "pipelines.md").read_text(encoding="utf-8")
    assert f"`{feature}`" in dict(_sections(guide))["What is refused"]


def test_settings_that_take_effect_are_settings() -> None:
    """The list of settings in force names nothing that there is not."""
    guide = (_DOCS / "how-to" / "running.md").read_text(encoding="utf-8")
    listed = re.findall(r"`(\w+\.[\w.]+)`", dict(_sections(guide))["Settings that take effect"])
    known = (_DOCS / "reference" / "configuration.md").read_text(encoding="utf-8")
    assert listed
    assert [name for name in listed if f"| `{name}` |" not in known] == []


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every link within the repository names a file that exists, and a heading that it has."""
    broken = [
        link
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
        if "://" not in link and not _leads_somewhere(page, link)
    ]
    assert broken == []


def test_every_page_can_be_reached() -> None:
    """Whoever starts at the README finds every page."""
    reached: set[Path] = set()
    ahead = [REPOSITORY / "README.md"]
    while ahead:
        page = ahead.pop()
        reached.add(page)
        links = re.findall(r"\]\(([^)\s#]+\.md)", page.read_text(encoding="utf-8"))
        found = {(page.parent / link).resolve() for link in links if "://" not in link}
        ahead += sorted(found - reached - set(ahead))
    assert [page.name for page in _PAGES if page not in reached] == []


def _leads_somewhere(page: Path, link: str) -> bool:
    name, _, heading = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not heading:
        return target.exists()
    return target.exists() and heading in {
        _anchor(title) for title, _ in _sections(target.read_text())
    }


def _sections(text: str) -> Iterator[tuple[str, str]]:
    for part in re.split(r"^#+ ", text, flags=re.MULTILINE)[1:]:
        title, _, rest = part.partition("\n")
        yield title, rest


def _anchor(title: str) -> str:
    """Return what GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
