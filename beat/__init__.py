"""The beat process of this deployment: `celery -A beat beat`. Any number may run."""

import datamcp

app = datamcp.celery
