"""Which processes are there: every worker and every beat says so itself, in the ledger.

`process` is what a process says of itself, and how its silence is judged. `tables` and `ledger`
are its row and every statement on it. `alive` is the file that it touches for health checks.
`reporter` says all that every few seconds, from threads of its own.
"""
