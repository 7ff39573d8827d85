"""The `pipelines` pool: `celery -A workers.pipelines worker`."""

import datamcp

app = datamcp.worker_app("pipelines")
