"""The `research` pool: `celery -A workers.research worker`."""

import datamcp

app = datamcp.worker_app("research")
