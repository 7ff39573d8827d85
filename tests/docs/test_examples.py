import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from support.brokers import RedisServer
from support.examples import Reader, blocks
from support.processes import Killer
from support.source import REPOSITORY

from datamcp.stack.ending import end

_PAGES = [
    "README.md",
    "docs/how-to/schedules.md",
    "docs/how-to/testing.md",
    "docs/how-to/tasks.md",
    "docs/how-to/pipelines.md",
    "docs/how-to/running.md",
    "docs/how-to/deploying.md",
    "docs/how-to/market.md",
    "docs/how-to/agents.md",
    "docs/how-to/research.md",
    "docs/how-to/moving-from-celery.md",
]
"""The pages with examples, the longest first."""


def follow(page: str, folder: Path, broker: RedisServer) -> None:
    """Follow a page from top to bottom, with a broker, where there are the shipped pipelines only."""
    shutil.copytree(REPOSITORY / "config" / "pipelines", folder / "config" / "pipelines")
    prefix = f"{folder.name}:"
    environment = {
        "DATAMCP_BROKER__URL": broker.broker_url,
        "DATAMCP_BROKER__KEY_PREFIX": prefix,
    }
    try:
        with Killer() as supervisor:
            reader = Reader(folder, environment, supervisor)
            for block in blocks(REPOSITORY / page):
                try:
                    reader.follow(block)
                except AssertionError as error:
                    raise AssertionError(f"{page}:{block.line}: {error}") from error
            reader.leave()
    finally:
        end(folder / ".datamcp", 0)  # a page may start a stack, and be wrong before it ends it
    broker.remove_keys(prefix)


@pytest.fixture(scope="module")
def followed(
    tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer
) -> Iterator[Mapping[str, Future[None]]]:
    """Have all pages followed, as many at once as there are cores: much of it is waiting."""
    with ThreadPoolExecutor(os.cpu_count()) as readers:
        yield {
            page: readers.submit(follow, page, tmp_path_factory.mktemp("reader"), redis_server)
            for page in _PAGES
        }


@pytest.mark.timeout(900)  # a page may have to wait for those before it
@pytest.mark.parametrize("page", _PAGES)
def test_the_examples_do_what_the_page_says(
    page: str, followed: Mapping[str, Future[None]]
) -> None:
    """Whoever follows the page from top to bottom sees what it shows."""
    try:
        followed[page].result()
    except AssertionError as error:
        pytest.fail(str(error), pytrace=False)


def test_every_page_with_examples_is_followed() -> None:
    """No page of the guides has examples that nobody runs."""
    guides = [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("how-to/*.md")]
    assert {str(path.relative_to(REPOSITORY)) for path in guides} == set(_PAGES)
