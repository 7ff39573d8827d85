"""Waiting where nobody else works: whoever waits for an end brings it about."""

from datamcp.tasks.notify import PollingListener
from datamcp.testing.app import MailboxCelery


class WorkingListener(PollingListener):
    """Hears of ends as where no Redis is; and before it listens for one, the work is done."""

    def __init__(self, app: MailboxCelery) -> None:
        """Take the app that knows how to work."""
        super().__init__(interval=0.01)
        self._app = app

    def listen(self, key: str) -> None:
        """Do what there is to do until this id has ended; raises NobodyRunsItError."""
        if key:  # else the waiter only wakes itself up
            self._app.work_for(key)
        super().listen(key)
