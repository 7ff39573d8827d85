from collections.abc import Iterator

import click
import pytest

from datamcp.cli.tree import tree


def commands(command: click.Command, name: str = "datamcp") -> Iterator[tuple[str, click.Command]]:
    """Yield every command of a tree with its full name."""
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None, inner
            yield from commands(found, f"{name} {inner}")


_COMMANDS = dict(commands(tree))


@pytest.mark.parametrize("name", _COMMANDS)
def test_help_keeps_its_examples_on_their_lines(name: str) -> None:
    """Click's mark for text that is not re-wrapped is understood, and not printed."""
    help_text = _COMMANDS[name].get_help(click.Context(_COMMANDS[name], info_name=name))
    assert "\\b" not in help_text
    assert all(
        line.startswith("  ") for line in help_text.splitlines() if line.endswith("Examples:")
    )


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_and_option_says_what_it_is_for(name: str) -> None:
    """Nobody has to guess."""
    assert _COMMANDS[name].help
    options = [one for one in _COMMANDS[name].params if isinstance(one, click.Option)]
    assert [option.name for option in options if not option.help] == []
