"""The `trading` pool: `celery -A workers.trading worker`."""

import datamcp

app = datamcp.worker_app("trading")
