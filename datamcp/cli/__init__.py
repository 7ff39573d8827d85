"""The command line: one tree of commands, `datamcp`.

`tree` puts it together; `group` tells whatever goes wrong in a line, with its exit code. `task` and
`pipeline`, with `run`, are groups that are also commands of `celery -A datamcp`. `config` explains
the settings, `check` looks whether all is there, `services` runs processes and prepares the ledger.
`up` starts and ends all of them, `status` and its `status_page` show how they are. `demo` shows the
flows on real data, with `demo_run`, `demo_results` and their `tables`.

`session` is what all commands share; `parameters` is how they read, `output`, `task_tables` and
`pipeline_tables` how they write, `progress` a run as a live table.
"""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from datamcp.cli.tree import tree

        tree(prog_name="datamcp")
    except KeyboardInterrupt:  # before any command could tell
        sys.exit(130)
