"""Writes the page that documents every setting, from the models themselves.

`python -m datamcp.config.reference > docs/reference/configuration.md` renews it; a test compares.
"""

import sys
from collections.abc import Iterator
from itertools import groupby

from pydantic import BaseModel

from datamcp.config.fields import ANY_NAME, Setting, settings
from datamcp.config.settings import GlobalConfig
from datamcp.config.view import default_of, kind_of

_INTRODUCTION = """\
# Configuration

This page is made by `python -m datamcp.config.reference`; do not edit it by hand.

Every setting is read and checked. Those that this version acts on are listed in
[Run it](../how-to/running.md#settings-that-take-effect).

## Where settings come from

Each source is laid over those before it. Mappings are merged key by key; lists are replaced.

1. the defaults on this page
2. what follows from other settings (such as a backend, which follows from its URL)
3. a running stack: `stack.json` in `system.state_dir`, while `datamcp up` or `datamcp demo` runs
4. `base.yaml`
5. the environment's file: `development.yaml`, `staging.yaml`, `production.yaml`, `testing.yaml`
6. the file that `DATAMCP_CONFIG` names
7. environment variables: `DATAMCP_` and the path, with `__` between levels, as in
   `DATAMCP_STORAGE__DATABASE_URL`
8. the command line: `--set storage.database_url=...`

The folder of `base.yaml` and the environment's files is the one that `DATAMCP_CONFIG_DIR` names,
else `./config` if it holds `base.yaml`, else the copy in the installed package. The environment is
`system.environment` of the sources 6 to 8, else of `base.yaml`, else `development`.

`datamcp config show` prints what holds, `datamcp config explain storage.database_url` says where a
value came from, `datamcp config validate` lists everything that is wrong, and
`datamcp config schema` prints a JSON Schema for editors.

## How values are written

- **Durations** are whole seconds.
- **Sizes** are text such as `512MB`, `10GB` or `4GiB`. kB, MB, GB and TB count in thousands
  (10GB is 10,000,000,000 bytes); KiB, MiB, GiB and TiB count in 1024s. A bare letter (`10G`) is
  refused as ambiguous; a number alone counts bytes.
- **Paths** start from the current folder unless they are absolute; `~` is the home folder.
- **Unset** is `null` (a dash on this page). An empty environment variable counts as not given.
- **Lists** in a variable or on the command line are words between commas, or JSON; **mappings**
  are JSON. `DATAMCP_AGENTS='{"bench": {"module": "mypkg.bench:Bench"}}'` sets a whole section.
- An **agent type** `X` may also be written `X_agent`. `agents.X: null` removes one that an earlier
  source named.

Whatever is not on this page is an error, which names the setting and the place where it was set.

## Secrets

Passwords, tokens and keys come from environment variables only. One in a YAML file (a URL with a
password, an integration's URL, a setting with the name of a secret) is an error in staging and
production, and a warning elsewhere. Secrets are hidden wherever the configuration is shown.

## What must fit together

- A backend that is named must agree with the scheme of its URL: `storage.primary_backend` and
  `pipelines.storage_backend` with `storage.database_url`, `storage.cache_backend` with
  `storage.cache_url`. In development and testing, a name that only `base.yaml` or the
  environment's file gives yields to the URL.
- `storage.replication_factor` is at most one more than `storage.secondary_urls` has.
- `storage.encryption_enabled` needs `security.key_file` or `security.master_key`, and not both.
- Staging and production refuse `system.debug_mode`, a broker, database or cache URL that has
  neither a password nor TLS (`rediss://`, `amqps://`, `sslmode=require` and stricter), and, as
  tasks cannot be signed yet, to start without `security.allow_unsigned_tasks: true`.
- Flower refuses to start without `monitoring.flower_auth` in staging and production, and wherever
  `monitoring.flower_address` is one that other machines can reach.
"""


def page() -> str:
    """Return the whole page as Markdown."""
    parts = [_INTRODUCTION, "## Settings\n"]
    for section, members in groupby(settings(), key=lambda setting: setting.path[0]):
        parts.extend(_section(section, list(members)))
    return "\n".join(parts)


def _section(name: str, members: list[Setting]) -> Iterator[str]:
    title = f"{name}.{ANY_NAME[name]}" if name in ANY_NAME else name
    yield f"### `{title}`\n"
    yield f"{_about(name)}\n"
    yield "| setting | type | default | meaning |"
    yield "| --- | --- | --- | --- |"
    yield from (_line(setting) for setting in members)
    yield ""


def _about(section: str) -> str:
    annotation = GlobalConfig.model_fields[section].annotation
    model = getattr(annotation, "__args__", (None, annotation))[1]
    is_model = isinstance(model, type) and issubclass(model, BaseModel)
    return (model.__doc__ or "").strip().splitlines()[0] if is_model else ""


def _line(setting: Setting) -> str:
    cells = (f"`{setting.name}`", kind_of(setting), _default(setting), setting.description)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _default(setting: Setting) -> str:
    default = default_of(setting)
    return default if default in {"–", "required"} else f"`{default}`"  # noqa: RUF001  a dash


if __name__ == "__main__":
    sys.stdout.write(page())
