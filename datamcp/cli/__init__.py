"""The command line: one tree of commands, `datamcp`.

`tree` puts it together. `task`, `pipeline` and `config` are groups, the first two also commands of
`celery -A datamcp`; `services` runs and checks processes; `demo` shows the flows on real data.
`session` is what all commands share, `parameters` and `output` how they read and write, `tables`
shows Parquet files, `progress` a run as a live table.
"""


def main() -> None:
    """Run the command line."""
    from datamcp.cli.tree import tree

    tree(prog_name="datamcp")
