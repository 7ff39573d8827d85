from collections.abc import Iterator

import pytest
from support.shell import Shell, shell


@pytest.fixture
def user() -> Iterator[Shell]:
    """Have a user's shell in an empty folder; nothing may be left running in it."""
    with shell() as opened:
        yield opened
