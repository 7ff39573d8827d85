"""The app of workers whose broker is told to wait for nobody: its timeouts are five seconds."""

from typing import Final

import datamcp

TIMEOUT: Final = 5  # seconds

app = datamcp.celery
app.conf.visibility_timeout = TIMEOUT
app.conf.broker_transport_options = {
    **app.conf.broker_transport_options,
    "visibility_timeout": TIMEOUT,
    "unacked_restore_interval": 1,
    "socket_timeout": TIMEOUT,
}
