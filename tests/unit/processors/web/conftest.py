from collections.abc import Iterator

import pytest
from support.site import Site, serving


@pytest.fixture
def site() -> Iterator[Site]:
    """Have a server on the loopback interface, which answers as a test says."""
    with serving() as site:
        yield site


@pytest.fixture
def other() -> Iterator[Site]:
    """Have another one, which is another origin."""
    with serving() as site:
        yield site
