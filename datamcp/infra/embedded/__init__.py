"""Servers of our own for a laptop and for tests: nothing installed, nothing left behind.

Each runs as our direct child, listens on a private Unix socket only, and ends with us.

* `folder`: the short private folder that holds a server's socket, log and files.
* `server`: what all embedded servers share: start, check that it is ours, restart, stop.
* `valkey`: the broker of the demo and of the tests.
* `postgres`: the database of the tests; only the development extra brings its binaries.
"""
